"""ImageNet weights under timm's names."""

import pytest
import timm

from tests.benchmarks.tasks.imagenet import BLOCKS_OF_STAGES, renamed


@pytest.mark.parametrize(
    ("theirs", "timms"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.1._expand_conv.weight", "blocks.1.0.conv_pw.weight"),
        ("_blocks.4._bn2.running_mean", "blocks.2.1.bn3.running_mean"),
        ("_blocks.15._depthwise_conv.weight", "blocks.6.0.conv_dw.weight"),
        ("_fc.bias", "classifier.bias"),
    ],
)
def test_every_layer_has_its_place_in_timms_network(theirs: str, timms: str) -> None:
    assert renamed(theirs) == timms
    assert timms in timm.create_model("tf_efficientnet_lite0").state_dict()


def test_a_block_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="16 blocks"):
        renamed(f"_blocks.{sum(BLOCKS_OF_STAGES)}._bn1.weight")

from lrsearch.contract.datasets import Spread
from lrsearch.report.probe import probe_line
from tests.probes import a_probe


def test_the_line_says_how_much_there_is_and_what_the_source_knows_of_it() -> None:
    assert probe_line(a_probe()) == (
        "30 training images of 3 labels (10 each); "
        "frozen features 70.0 % linear, 60.0 % by neighbours; chance 33.3 %"
    )


def test_the_line_leaves_out_what_could_not_be_found() -> None:
    found = a_probe(
        images_per_label=Spread(min=1, median=2, max=5), knn_top1=None, linear_top1=None
    )
    assert probe_line(found) == "30 training images of 3 labels (1 to 5 each); chance 33.3 %"

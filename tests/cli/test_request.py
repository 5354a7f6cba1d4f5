import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from lrsearch.cli.errors import UsageError
from lrsearch.cli.request import job_request, scale_axis
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.protocols import Graduated, LogRange, Uniform
from lrsearch.contract.recipes import Views


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A whole request."""
    request = JobRequest(data_set="dogs", protocol=Uniform(il=[0.0, 0.01]), strategy="random")
    path = tmp_path / "request.json"
    path.write_text(request.model_dump_json())
    return path


def test_without_options_every_default_holds() -> None:
    assert job_request("cats", None, {"recipe.epochs": None}) == JobRequest(data_set="cats")


def test_options_reach_their_fields() -> None:
    request = job_request(
        "cats",
        None,
        {
            "recipe.epochs": 7,
            "budget.trials": 3,
            "protocol.name": "graduated",
            "protocol.scale": [1.0, 2.0],
            "recipe.augmentation.kind": "views",
            "recipe.augmentation.views": 2,
        },
    )

    assert request.recipe.epochs == 7
    assert request.budget.trials == 3
    assert request.protocol == Graduated(scale=[1.0, 2.0])
    assert request.recipe.augmentation == Views(views=2)


def test_a_file_holds_the_whole_request(file: Path) -> None:
    request = job_request(None, file, {})

    assert request.data_set == "dogs"
    assert request.protocol == Uniform(il=[0.0, 0.01])


def test_options_go_before_the_file(file: Path) -> None:
    request = job_request("cats", file, {"strategy": "tpe", "recipe.epochs": 3})

    assert (request.data_set, request.strategy, request.recipe.epochs) == ("cats", "tpe", 3)


def test_another_protocol_than_the_files_starts_from_its_own_defaults(file: Path) -> None:
    assert job_request(None, file, {"protocol.name": "graduated"}).protocol == Graduated()


def test_the_files_protocol_by_name_keeps_its_values(file: Path) -> None:
    request = job_request(None, file, {"protocol.name": "uniform"})

    assert request.protocol == Uniform(il=[0.0, 0.01])


@pytest.mark.parametrize("content", ["{", "[1, 2]"])
def test_a_file_that_is_no_json_object_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(content)

    with pytest.raises(UsageError, match="JSON"):
        job_request(None, tmp_path / "request.json", {})


def test_a_misspelt_field_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"data_set": "cats", "epochs": 3}))

    with pytest.raises(ValidationError, match="epochs"):
        job_request(None, tmp_path / "request.json", {})


@pytest.mark.parametrize(
    ("values", "axis"),
    [
        (["1", "2.5"], [1.0, 2.5]),
        (["1,2", "4"], [1.0, 2.0, 4.0]),
        (["0.25:10"], {"low": 0.25, "high": 10.0}),
    ],
)
def test_scales_are_numbers_or_a_range(values: list[str], axis: object) -> None:
    assert scale_axis(values) == axis


def test_a_scale_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="--scale much"):
        scale_axis(["much"])


def test_a_range_of_scales_is_a_log_range() -> None:
    options = {"protocol.name": "graduated", "protocol.scale": scale_axis(["0.5:4"])}

    assert job_request("cats", None, options).protocol == Graduated(scale=LogRange(low=0.5, high=4))

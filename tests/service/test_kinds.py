"""Numbers, flags and times are taken for what they are, and nothing else for one of them."""

from typing import Any

import pytest
from pydantic import ValidationError

from lrsearch.contract.base import Contract
from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.keys import Limits
from lrsearch.contract.leases import Checkpoint
from lrsearch.contract.logs import LogLine
from lrsearch.contract.protocols import Graduated, Staged


@pytest.mark.parametrize(
    ("kind", "sent", "place"),
    [
        (Budget, {"trials": "5"}, ("trials",)),
        (Budget, {"finetunes": True}, ("finetunes",)),
        (Limits, {"requests_per_second": False}, ("requests_per_second",)),
        (Graduated, {"scale": [0.5, True]}, ("scale", 1)),
        (Staged, {"frozen": ["1"]}, ("frozen", 0)),
        (JobRequest, {"data_set": "birds", "confirm": "yes"}, ("confirm",)),
        (JobRequest, {"data_set": "birds", "confirm": 1}, ("confirm",)),
        (JobRequest, {"data_set": "birds", "budget": {"seconds": "60"}}, ("budget", "seconds")),
    ],
)
def test_what_only_might_be_taken_for_what_is_wanted_is_refused_where_it_stands(
    kind: type[Contract], sent: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(sent)
    [error] = caught.value.errors()
    assert error["loc"] == place
    assert error["msg"].startswith("Input should be a valid")


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (Budget, {"trials": 5.0}),
        (Budget, {"finetunes": 3}),
        (Budget, {"trials": None}),
        (Graduated, {"scale": [1, 2.5]}),
        (JobRequest, {"data_set": "birds", "confirm": False}),
    ],
)
def test_whatever_is_a_number_or_a_flag_is_taken(
    kind: type[Contract], sent: dict[str, Any]
) -> None:
    assert kind.model_validate(sent).model_dump(include={*sent}) == sent


def test_a_list_is_refused_for_its_first_wrong_value_however_many_there_are() -> None:
    with pytest.raises(ValidationError) as caught:
        Graduated.model_validate({"scale": [0.5] + 100_000 * [True]})
    assert [error["loc"] for error in caught.value.errors()] == [("scale", 1)]


def test_a_number_is_no_time() -> None:
    with pytest.raises(ValidationError, match="is the number 0; must be a time"):
        LogLine.model_validate({"number": 1, "at": 0, "level": "info", "text": ""})


def test_in_a_query_numbers_are_text() -> None:
    assert Checkpoint.model_validate({"sha256": "0" * 64, "epochs": "5"}).epochs == 5

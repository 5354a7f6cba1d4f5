"""Requests: what they are taken to mean where they leave something open."""

from typing import Any

import pytest
from pydantic import ValidationError

from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.protocols import Graduated, LastLayer, Staged
from lrsearch.contract.recipes import Recipe

EPOCHS = 20


def resolved(**request: Any) -> JobRequest:
    return JobRequest(data_set="animals", recipe=Recipe(epochs=EPOCHS), **request).resolved()


@pytest.mark.parametrize(
    ("asked", "protocol", "strategy", "budget"),
    [
        ({}, Staged(), "recommend", Budget(finetunes=3.0, epochs=60)),
        ({"protocol": LastLayer()}, LastLayer(), "recommend", Budget(finetunes=3.0, epochs=60)),
        ({"strategy": "exhaustive"}, Graduated(), "exhaustive", Budget()),
        ({"strategy": "tpe"}, Graduated(), "tpe", Budget(trials=20)),
        ({"budget": Budget(trials=2)}, Staged(), "recommend", Budget(trials=2)),
        ({"budget": Budget(seconds=9.0)}, Staged(), "recommend", Budget(seconds=9.0)),
        (
            {"budget": Budget(target_accuracy=0.9)},
            Staged(),
            "recommend",
            Budget(target_accuracy=0.9, finetunes=3.0, epochs=60),
        ),
        (
            {"strategy": "random", "budget": Budget(finetunes=1.5)},
            Graduated(),
            "random",
            Budget(finetunes=1.5, epochs=30),
        ),
    ],
)
def test_what_is_left_open_is_filled_in(
    asked: dict[str, Any], protocol: Any, strategy: str, budget: Budget
) -> None:
    request = resolved(**asked)
    assert (request.protocol, request.strategy, request.budget) == (protocol, strategy, budget)


@pytest.mark.parametrize(
    ("finetunes", "epochs"), [(1.0, 20), (1.15, 23), (1.5, 30), (2.0, 40), (2.99, 59), (4.35, 87)]
)
def test_finetunes_come_to_whole_epochs(finetunes: float, epochs: int) -> None:
    budget = resolved(budget=Budget(finetunes=finetunes)).budget
    assert (budget.finetunes, budget.epochs) == (finetunes, epochs)


def test_a_request_as_it_is_shown_can_be_submitted_again() -> None:
    shown = resolved(budget=Budget(finetunes=2.5))
    again = JobRequest.model_validate_json(shown.model_dump_json())
    assert again.resolved() == shown


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        (Budget(finetunes=2.0, epochs=50), "comes to 40 epochs.*budget.epochs is 50; give one"),
        (Budget(epochs=19), "does not pay for one finetune"),
    ],
)
def test_a_budget_that_contradicts_the_recipe_or_itself_is_refused(
    budget: Budget, says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        resolved(budget=budget)

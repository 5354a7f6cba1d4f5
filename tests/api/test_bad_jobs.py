"""Requests for jobs that cannot be right: each told by field, with what would be right."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Json, problem, uploaded
from tests.api.fake_worker import FakeWorker
from tests.api.samples import silhouettes, zip_of
from tests.api.serving import Api

JOB: Json = {"data_set": "animals", "source_model": "random"}


def refusal(api: Api, changes: Json) -> Json:
    """The problem of the job with these changes; it is not submitted."""
    before = api.get("/v1/jobs", params={"limit": 1}).json()["items"]
    # Not as `json=`: httpx refuses to send NaN.
    answer = api.post(
        "/v1/jobs", content=json.dumps(JOB | changes), headers={"Content-Type": "application/json"}
    )
    refused = problem(answer, 422)
    assert api.get("/v1/jobs", params={"limit": 1}).json()["items"] == before
    return refused


@pytest.mark.parametrize(
    ("protocol", "field"),
    [
        ({"name": "last_layer", "ll": [-0.01]}, "protocol.ll.0"),
        ({"name": "last_layer", "ll": [0.0]}, "protocol.ll.0"),
        ({"name": "last_layer", "ll": [0.1, float("nan")]}, "protocol.ll.1"),
        ({"name": "last_layer", "ll": [float("inf")]}, "protocol.ll.0"),
        ({"name": "last_layer", "ll": [1e4]}, "protocol.ll.0"),
        ({"name": "last_layer", "ll": {"low": -1e-3, "high": 0.1}}, "protocol.ll.low"),
        ({"name": "last_layer", "ll": {"low": 1e-3, "high": float("nan")}}, "protocol.ll.high"),
        ({"name": "uniform", "il": [-1e-4]}, "protocol.il.0"),
        ({"name": "uniform", "il": [0.0, float("-inf")]}, "protocol.il.1"),
        ({"name": "graduated", "base": -0.001}, "protocol.base"),
        ({"name": "graduated", "base": 0.0}, "protocol.base"),
        ({"name": "graduated", "scale": [1.0, -1.0]}, "protocol.scale.1"),
        ({"name": "graduated", "multipliers": [[0, 1, 2, 4, -8, 16]]}, "protocol.multipliers.0.4"),
        ({"name": "graduated", "multipliers": [[0, 1, 2, 4, 8, 0]]}, "protocol.multipliers.0.5"),
        ({"name": "graduated", "multipliers": [[0, 1, 2, 4, 8]]}, "protocol.multipliers.0.5"),
        ({"name": "staged", "il": {"low": 0.0, "high": 0.1}}, "protocol.il.low"),
        ({"name": "staged", "growth": [float("nan")]}, "protocol.growth.0"),
        ({"name": "staged", "frozen": [6]}, "protocol.frozen.0"),
    ],
)
def test_rates_must_be_finite_and_positive(shared: Api, protocol: Json, field: str) -> None:
    refused = refusal(shared, {"protocol": protocol})
    assert [error["field"] for error in refused["errors"]] == [field]
    assert refused["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        ({"name": "uniform", "il": [0.1], "ll": [0.01]}, "no point has IL ≤ LL"),
        (
            {"name": "uniform", "il": {"low": 0.2, "high": 0.5}, "ll": {"low": 0.01, "high": 0.1}},
            "the smallest IL is 0.2, the largest LL is 0.1",
        ),
        ({"name": "graduated", "multipliers": [[0, 1, 2, 4, 32, 16]]}, "IL may not exceed LL"),
        ({"name": "last_layer", "ll": {"low": 0.1, "high": 0.01}}, "low 0.1 must be below high"),
    ],
)
def test_an_inner_rate_may_not_exceed_the_last_layers(
    shared: Api, protocol: Json, says: str
) -> None:
    refused = refusal(shared, {"protocol": protocol})
    assert refused["errors"][0]["field"].startswith("protocol")
    assert says in refused["detail"]


@pytest.mark.parametrize(
    ("protocol", "field"),
    [
        ({"name": "last_layer", "ll": []}, "protocol.ll"),
        ({"name": "uniform", "il": []}, "protocol.il"),
        ({"name": "graduated", "scale": []}, "protocol.scale"),
        ({"name": "graduated", "multipliers": []}, "protocol.multipliers"),
        ({"name": "staged", "frozen": []}, "protocol.frozen"),
    ],
)
def test_a_grid_must_have_a_point(shared: Api, protocol: Json, field: str) -> None:
    refused = refusal(shared, {"protocol": protocol})
    assert [error["field"] for error in refused["errors"]] == [field]
    assert "at least 1 item" in refused["detail"]


@pytest.mark.parametrize(
    "protocol",
    [
        {"name": "uniform", "il": [1e-3] * 1000, "ll": [0.1] * 1000},
        {"name": "graduated", "multipliers": [[0, 1, 2, 4, 8, 16]] * 100, "scale": [1.0] * 1000},
        {
            "name": "staged",
            "frozen": [0] * 6,
            "il": [1e-3] * 1000,
            "growth": [1.0] * 1000,
            "ll": [0.1] * 1000,
        },
    ],
)
def test_a_grid_of_very_many_points_is_refused(shared: Api, protocol: Json) -> None:
    refused = refusal(shared, {"protocol": protocol})
    assert "points" in refused["detail"]
    assert "range" in refused["detail"]


@pytest.mark.parametrize(
    "protocol",
    [
        {"name": "graduated", "base": 1000, "scale": [1000]},
        {"name": "graduated", "base": 1000, "scale": {"low": 1, "high": 1000}},
        {"name": "graduated", "base": 1e-300, "scale": [1e-300]},
    ],
)
def test_base_scale_and_multipliers_together_must_give_rates(shared: Api, protocol: Json) -> None:
    refused = refusal(shared, {"protocol": protocol})
    assert refused["errors"][0]["field"] == "protocol"
    assert "scale" in refused["detail"]


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        ({"trials": 0}, "budget.trials"),
        ({"epochs": 0}, "budget.epochs"),
        ({"seconds": 0}, "budget.seconds"),
        ({"trials": -1}, "budget.trials"),
        ({"seconds": float("nan")}, "budget.seconds"),
        ({"target_accuracy": 1.5}, "budget.target_accuracy"),
        ({"trials": 2.5}, "budget.trials"),
    ],
)
def test_a_budget_must_buy_something(shared: Api, budget: Json, field: str) -> None:
    refused = refusal(shared, {"budget": budget})
    assert [error["field"] for error in refused["errors"]] == [field]


def test_a_budget_must_pay_for_one_finetune(shared: Api) -> None:
    refused = refusal(shared, {"budget": {"epochs": 5}, "recipe": {"epochs": 6}})
    assert "budget.epochs 5" in refused["detail"]
    assert "lower recipe.epochs" in refused["detail"]


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ({"epochs": 0}, "recipe.epochs"),
        ({"batch_size": 0}, "recipe.batch_size"),
        ({"momentum": 1.0}, "recipe.momentum"),
        ({"weight_decay": -1e-4}, "recipe.weight_decay"),
        ({"seed": -1}, "recipe.seed"),
        ({"schedule": "warm"}, "recipe.schedule"),
        ({"input_size": 8}, "recipe.input_size"),
        ({"splits": {"validation": 0.0}}, "recipe.splits.validation"),
        ({"splits": {"validation": 0.5, "test": 0.5}}, "recipe.splits"),
        ({"augmentation": {"kind": "views", "views": 0}}, "recipe.augmentation.views"),
        ({"augmentation": {"kind": "mixup"}}, "recipe.augmentation"),
    ],
)
def test_a_recipe_is_told_field_by_field(shared: Api, recipe: Json, field: str) -> None:
    refused = refusal(shared, {"recipe": recipe})
    assert [error["field"] for error in refused["errors"]] == [field]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"protocol": {"name": "staged"}, "strategy": "exhaustive"}, "choose strategy 'recommend'"),
        ({"strategy": "grid"}, "'exhaustive', 'random'"),
        ({"pruning": "hard"}, "'median'"),
        ({"budget": {"finetunes": 0.9}}, "greater than or equal to 1"),
        ({"budget": {"finetunes": 2, "epochs": 41}}, "2 comes to 40 epochs"),
        ({"images_per_label": 0}, "greater than or equal to 1"),
        ({"device": "tpu"}, "'cuda'"),
        ({"priority": 101}, "less than or equal to 100"),
        ({"name": "no name"}, "pattern"),
    ],
)
def test_whatever_else_is_wrong_is_told_with_what_would_be_right(
    shared: Api, changes: Json, says: str
) -> None:
    assert says in refusal(shared, changes)["detail"]


def test_an_unknown_data_set_is_told_with_how_to_upload_it(shared: Api) -> None:
    answer = shared.post("/v1/jobs", json=JOB | {"data_set": "nowhere"})
    refused = problem(answer, 404, "data_set_unknown")
    assert refused["detail"] == "data_set: there is no data set 'nowhere'."
    assert "POST /v1/datasets" in refused["remedy"]


@pytest.mark.parametrize("images", [14, 1000, 2**70])
def test_more_images_per_label_than_there_are_is_told_with_how_many_there_are(
    shared: Api, images: int
) -> None:
    refused = refusal(shared, {"images_per_label": images})
    assert refused["code"] == "too_many_images_per_label"
    assert refused["errors"][0]["field"] == "images_per_label"
    assert "at most 13" in refused["detail"]


def test_a_label_with_fewer_images_than_the_splits_need_is_told_by_name(shared: Api) -> None:
    images = silhouettes()
    few = {path: content for path, content in images.items() if not path.startswith("bear/")}
    few |= {path: images[path] for path in sorted(images)[:1]}
    assert uploaded(shared, "few", zip_of(few))["state"] == "ready"
    refused = refusal(shared, {"data_set": "few"})
    assert refused["code"] == "too_few_images"
    assert refused["errors"][0]["field"] == "data_set"
    assert "'bear'" in refused["detail"]
    assert "give it more images or lower the shares" in refused["detail"]


def test_a_job_is_cancelled_once(api: Api, submit: Callable[[Json], Json]) -> None:
    job = submit(JOB)
    cancelled = api.post(f"/v1/jobs/{job['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    refused = problem(api.post(f"/v1/jobs/{job['id']}/cancel"), 409, "job_finished")
    assert job["id"] in refused["detail"]
    assert "cancelled already" in refused["detail"]
    assert FakeWorker(api).ask().status_code == 204


def test_a_finished_job_cannot_be_cancelled(shared: Api, finished: Json) -> None:
    answer = shared.post(f"/v1/jobs/{finished['id']}/cancel")
    refused = problem(answer, 409, "job_finished")
    assert "complete already" in refused["detail"]
    assert "its result stays" in refused["remedy"]
    assert shared.get(f"/v1/jobs/{finished['id']}").json() == finished


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("job", ["nobody", "00000000-0000-7000-8000-000000000000", "%00"])
def test_a_job_that_does_not_exist_is_told(shared: Api, method: str, job: str) -> None:
    path = f"/v1/jobs/{job}" + ("/cancel" if method == "POST" else "")
    assert "GET /v1/jobs" in problem(shared.request(method, path), 404, "not_found")["remedy"]


def test_a_strategy_that_is_not_installed_is_told_with_its_extra(
    shared: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(_: str) -> Any:
        return None

    monkeypatch.setattr("lrsearch.search.proposals.find_spec", find_spec)
    refused = refusal(shared, {"protocol": {"name": "staged"}, "strategy": "gp"})
    assert refused["code"] == "strategy_unavailable"
    assert refused["errors"][0]["field"] == "strategy"
    assert "lrsearch[service,gp]" in refused["detail"]

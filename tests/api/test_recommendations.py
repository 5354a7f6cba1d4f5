"""Recommendations over HTTP."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.contract.protocols import PAPER_SCALES
from lrsearch.contract.recommendations import Recommendation
from lrsearch.priors import keep_prior, reset_prior
from lrsearch.search.prior.features import FEATURES
from tests.api.conftest import Json, bearer, problem, secret
from tests.api.serving import Api
from tests.probes import a_probe
from tests.search.prior.made_up import prior

SIZES = {"images_per_label": 10, "labels": 5}
PROBE = a_probe().model_dump(mode="json")
GRADUATED = {"name": "graduated"}


def recommended(api: Api, **request: Any) -> Recommendation:
    answer = api.post("/v1/recommendations", json=request)
    assert answer.status_code == 200, answer.text
    return Recommendation.model_validate_json(answer.content)


def test_sizes_alone_give_the_best_points_in_order(shared: Api) -> None:
    found = recommended(shared, **SIZES)

    assert found.based_on == "sizes"
    assert len(found.recommended) == 5
    tops = [each.expected_top1 for each in found.recommended]
    assert tops == sorted(tops, reverse=True)
    assert found.recommended[0].gain_points > 0.0
    assert set(found.recommended[0].point) == {"frozen", "il", "growth", "ll"}
    known = {effect.name for effect in found.explanation.features if effect.known}
    assert known == {"images per label", "labels", "steps"}
    assert len(found.explanation.features) == len(FEATURES)
    assert len(found.explanation.nearest_tasks) == 3
    assert recommended(shared, **SIZES) == found


def test_the_protocols_points_are_what_is_recommended(shared: Api) -> None:
    found = recommended(shared, **SIZES, protocol=GRADUATED, count=50)

    assert sorted(each.point["scale"] for each in found.recommended) == list(PAPER_SCALES)
    for each in found.recommended:
        assert each.rates.head == pytest.approx(0.016 * each.point["scale"])


def test_a_job_is_recommended_for_by_its_probe_and_recipe(shared: Api, finished: Json) -> None:
    assert finished["probe"] is not None

    by_job = recommended(shared, job=finished["id"])
    by_probe = recommended(
        shared, probe=finished["probe"], recipe=finished["request"]["recipe"], count=5
    )

    assert by_job == by_probe
    assert by_job.based_on == "probe"
    assert all(effect.known for effect in by_job.explanation.features)
    other_recipe = recommended(shared, job=finished["id"], recipe={"epochs": 50})
    steps = {it.name: it.value for it in other_recipe.explanation.features}["steps"]
    steps_before = {it.name: it.value for it in by_job.explanation.features}["steps"]
    assert steps > steps_before


def test_a_job_without_a_probe_is_told_what_to_do(api: Api, submit: Callable[[Json], Json]) -> None:
    job = submit({"data_set": "animals", "source_model": "random"})

    found = problem(api.post("/v1/recommendations", json={"job": job["id"]}), 409, "not_probed")

    assert "images_per_label" in found["remedy"]


def test_an_unknown_job_is_not_found(shared: Api) -> None:
    unknown = {"job": "01890a5d-ac96-774b-bcce-b302099a8057"}
    problem(shared.post("/v1/recommendations", json=unknown), 404, "not_found")


def test_the_installations_own_prior_is_used_as_soon_as_it_is_there(shared: Api) -> None:
    with shared.service.database.write() as session:
        keep_prior(session, prior())
    try:
        assert recommended(shared, **SIZES).prior_version == "made up"
    finally:
        with shared.service.database.write() as session:
            reset_prior(session)
    assert recommended(shared, **SIZES).prior_version != "made up"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "say what the task is in one way"),
        ({**SIZES, "probe": PROBE}, "say what the task is in one way"),
        ({"labels": 3}, "go together"),
        ({**SIZES, "labels": 0}, "greater than or equal to 1"),
        ({**SIZES, "count": 51}, "less than or equal to 50"),
        ({**SIZES, "labels": 10**9}, "less than or equal to 100000"),
        ({"probe": PROBE | {"images": 10**400}}, "probe.images: is more than 1,000,000,000"),
        (
            {**SIZES, "protocol": {"name": "staged", "il": [1e-3] * 99, "growth": [1.0] * 99,
                                   "ll": [0.1] * 99}},
            "a grid of 5821794 points",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_with_the_reason(
    shared: Api, request_: Json, message: str
) -> None:
    answer = shared.post("/v1/recommendations", json=request_)

    assert message in json.dumps(problem(answer, 422))


def extremes() -> Iterator[Json]:
    """Requests at the ends of what is taken."""
    spread = {"min": -(10**30), "median": 1.7e308, "max": 10**30}
    nothing = dict.fromkeys(PROBE["gradient_ratios"])
    widest = dict.fromkeys(PROBE["gradient_ratios"], 1.7e308)
    yield {"probe": PROBE | {"images_per_label": spread, "gradient_ratios": widest}}
    yield {"probe": PROBE | {"images_per_label": spread | {"median": -5.0}, "head_losses": []}}
    yield {"probe": PROBE | {"head_losses": [1e300, -1e300], "gradient_ratios": nothing}}
    yield {"probe": PROBE | {"chance": 1.0 - 2**-53, "linear_top1": 0.0}}
    yield {"probe": PROBE | {"chance": 1.0, "labels": 1, "images": 1}}
    yield {**SIZES, "images_per_label": 10**6, "labels": 10**5, "recipe": {"epochs": 1000}}
    yield {"images_per_label": 1, "labels": 1, "recipe": {"epochs": 1, "batch_size": 4096}}
    yield {**SIZES, "protocol": {"name": "last_layer", "ll": {"low": 5e-324, "high": 1e3}}}
    yield {**SIZES, "protocol": {"name": "last_layer", "ll": [5e-324]}}
    yield {**SIZES, "protocol": {**GRADUATED, "scale": [n / 100 for n in range(1, 1001)]}}
    yield {**SIZES, "protocol": {"name": "uniform", "il": {"low": 1e2, "high": 1e3}, "ll": [1e3]}}


@pytest.mark.parametrize("request_", list(extremes()))
def test_what_is_taken_is_answered_however_far_it_lies(shared: Api, request_: Json) -> None:
    found = recommended(shared, **request_)

    assert all(0.0 <= each.expected_top1 <= 1.0 for each in found.recommended)


@given(
    images=st.integers(1, 10**6),
    labels=st.integers(1, 10**5),
    low=st.floats(1e-300, 1e2),
    factor=st.floats(1.001, 10.0),
    frozen=st.lists(st.integers(0, 5), min_size=1, max_size=6),
)
def test_every_task_and_space_has_an_answer(
    shared: Api, images: int, labels: int, low: float, factor: float, frozen: list[int]
) -> None:
    axis = {"low": low, "high": low * factor}
    protocol = {"name": "staged", "frozen": frozen, "il": axis, "ll": axis}

    found = recommended(shared, images_per_label=images, labels=labels, protocol=protocol)

    for each in found.recommended:
        assert low <= each.rates.head <= low * factor
        assert each.rates.frozen_prefix in frozen


def test_names_of_what_others_may_own_are_for_administrators_only(guarded: Api) -> None:
    def near(scope: str) -> set[tuple[str, str]]:
        headers = bearer(secret(guarded, scope))
        answer = guarded.post("/v1/recommendations", json=SIZES, headers=headers)
        tasks = Recommendation.model_validate_json(answer.content).explanation.nearest_tasks
        return {(task.name, task.domain) for task in tasks}

    shipped = near("read")
    assert shipped == near("admin")
    with guarded.service.database.write() as session:
        keep_prior(session, prior())
    try:
        own = prior().evidence
        assert near("admin") <= set(zip(own.names, own.domains, strict=True))
        assert near("read") == {("a task of this installation", "this installation")}
    finally:
        with guarded.service.database.write() as session:
            reset_prior(session)


def test_a_key_that_may_read_is_enough(guarded: Api) -> None:
    reader, worker = secret(guarded, "read"), secret(guarded, "worker")

    def ask(key: str | None) -> Any:
        headers = bearer(key) if key else {}
        return guarded.post("/v1/recommendations", json=SIZES, headers=headers)

    assert ask(reader).status_code == 200
    problem(ask(worker), 403, "forbidden")
    problem(ask(None), 401, "unauthenticated")

"""The whole round, through HTTP alone: images in, rates and the finetuned model out."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from lrsearch.contract.jobs import Job
from lrsearch.contract.results import Result
from lrsearch.settings import Settings
from tests.api.conftest import problem, uploaded
from tests.api.fake_worker import FakeWorker
from tests.api.samples import silhouettes, weights, zip_of
from tests.api.serving import Api, serving
from tests.probes import a_probe

EPOCHS = 2

REQUEST = {
    "data_set": "animals",
    "source_model": "random",
    "name": "first",
    "strategy": "exhaustive",
    "protocol": {"name": "uniform", "il": [0.0, 0.001, 0.01], "ll": [0.01]},
    "recipe": {"epochs": EPOCHS, "splits": {"validation": 0.16, "test": 0.5}},
}
"""Its grid holds the baseline and two other points; of 3 × 20 images 30 are tested."""


@pytest.fixture
def either(settings: Settings) -> Iterator[Api]:
    """A service on SQLite, then on PostgreSQL."""
    with serving(settings) as api:
        yield api


def submitted(api: Api) -> Job:
    answer = api.post("/v1/jobs", json=REQUEST)
    assert answer.status_code == 201, answer.text
    job = Job.model_validate_json(answer.content)
    assert answer.headers["location"] == f"/v1/jobs/{job.id}"
    return job


def test_from_images_to_the_tested_winner(either: Api) -> None:
    data_set = uploaded(either, "animals", zip_of(silhouettes()))
    assert (data_set["state"], data_set["statistics"]["images"]) == ("ready", 60)

    job = submitted(either)
    assert (job.state, job.trials_planned, job.probe) == ("waiting", 3, None)
    assert "start one" in (job.reason or "")
    problem(either.get(f"/v1/jobs/{job.id}/result"), 409, "job_not_finished")

    FakeWorker(either).work_off({0: 0.5, 1: 0.9, 2: 0.7, 3: 0.8})

    job = Job.model_validate_json(either.get(f"/v1/jobs/{job.id}").content)
    assert (job.state, job.trials_planned, job.trials_finished) == ("complete", 4, 4)
    assert job.probe == a_probe()
    assert job.spent.model_dump() == {"trials": 3, "epochs": 3 * EPOCHS, "seconds": 6.0}

    trials = either.get(f"/v1/jobs/{job.id}/trials").json()["items"]
    assert [(t["number"], t["replicate"], t["state"], t["val_top1"]) for t in trials] == [
        (0, 0, "complete", 0.5),
        (1, 0, "complete", 0.9),
        (2, 0, "complete", 0.7),
        (3, 1, "complete", 0.8),
    ]
    assert [len(trial["curve"]) for trial in trials] == [EPOCHS] * 4

    result = Result.model_validate_json(either.get(f"/v1/jobs/{job.id}/result").content)
    assert (result.winner.trial, result.evaluation, result.test_images) == (1, "holdout", 30)
    assert result.winner.test_top1 == 0.9
    assert result.gain_points == pytest.approx(40.0)
    assert result.confirmation is not None
    assert (result.confirmation.trial, result.confirmation.val_top1) == (3, 0.8)
    assert result.winner.rates.conv1 == result.winner.point["il"] == 0.001
    assert result.weights_url == f"/v1/jobs/{job.id}/weights"

    events = either.get(f"/v1/jobs/{job.id}/events").text
    assert events.count("event: trial_finished") == 4
    assert events.count("event: job_finished") == 1
    assert events.count("event: probe_finished") == 1

    winner = either.get(result.weights_url)
    assert winner.content == weights(1)
    assert result.weights_sha256 == sha256(winner.content).hexdigest()


def test_too_few_test_images_end_in_a_result_without_test_figures(api: Api) -> None:
    request = REQUEST | {"recipe": {"epochs": EPOCHS}}  # 12 images are left to test
    job = api.post("/v1/jobs", json=request).json()
    FakeWorker(api).work_off({2: 0.8})
    result = api.get(f"/v1/jobs/{job['id']}/result").json()
    assert (result["winner"]["trial"], result["evaluation"]) == (2, "validation_only")
    assert (result["winner"]["test_top1"], result["gain_p_value"]) == (None, None)
    assert api.get(result["weights_url"]).content == weights(2)

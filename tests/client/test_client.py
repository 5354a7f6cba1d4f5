import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrsearch import Client, ProblemError
from lrsearch.client import RejectedError, WaitTimeoutError
from lrsearch.contract.events import EpochFinished, JobFinished, TrialFinished
from lrsearch.contract.jobs import Job, JobRequest
from lrsearch.contract.recipes import Recipe
from tests.client.images import write_images


@pytest.fixture
def waiting_job(client: Client, data_set: str) -> Iterator[Job]:
    """A job that no worker takes."""
    job = client.submit(JobRequest(data_set=data_set, source_model="random", name="waiting"))
    yield job
    if client.job(job.id).state == "waiting":
        client.cancel(job.id)


def test_an_uploaded_folder_becomes_a_data_set_with_its_labels(
    client: Client, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "three labels", labels=3, images=5)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "notes.txt").write_text("no image")
    sent: list[tuple[int, int]] = []

    uploaded = client.upload_data_set(folder, on_progress=lambda *bytes: sent.append(bytes))
    data_set = client.wait_for_data_set(uploaded.id, timeout_seconds=30)

    assert data_set.name == "three-labels"
    assert data_set.statistics is not None
    assert [(it.label, it.images) for it in data_set.statistics.labels] == [
        ("label-0", 5),
        ("label-1", 5),
        ("label-2", 5),
    ]
    assert data_set.statistics.unreadable_total == 0
    done, total = sent[-1]
    assert done == total > 0
    assert client.data_set("three-labels") == data_set
    assert "three-labels" in [it.name for it in client.data_sets()]


def test_an_archive_is_uploaded_as_it_is(client: Client, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", images=6)
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in folder.rglob("*.png"):
            packed.write(path, path.relative_to(folder))

    client.upload_data_set(archive)

    assert client.wait_for_data_set("packed", timeout_seconds=30).state == "ready"


def test_a_data_set_without_images_is_rejected_with_the_reason(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "texts" / "label").mkdir(parents=True)
    (tmp_path / "texts" / "label" / "a.txt").write_text("no image")

    uploaded = client.upload_data_set(tmp_path / "texts")

    with pytest.raises(RejectedError, match="'texts' cannot be used"):
        client.wait_for_data_set(uploaded.id, timeout_seconds=30)


def test_a_taken_name_is_a_problem_with_a_remedy(
    client: Client, data_set: str, tmp_path: Path
) -> None:
    with pytest.raises(ProblemError, match="already") as caught:
        client.upload_data_set(write_images(tmp_path / "other"), name=data_set)

    assert caught.value.problem.status == 409
    assert caught.value.problem.remedy is not None
    assert caught.value.problem.remedy in str(caught.value)


def test_a_folder_outside_the_image_roots_is_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        client.register_folder(tmp_path, "elsewhere")

    assert caught.value.problem.status in (403, 422)


def test_an_unknown_data_set_is_a_problem_that_names_the_field(client: Client) -> None:
    with pytest.raises(ProblemError, match="no-such-thing"):
        client.submit(JobRequest(data_set="no-such-thing", source_model="random"))


def test_the_same_idempotency_key_makes_one_job(client: Client, data_set: str) -> None:
    request = JobRequest(data_set=data_set, source_model="random", name="once")

    first = client.submit(request, idempotency_key="key-1")
    second = client.submit(request, idempotency_key="key-1")

    assert first.id == second.id
    assert len(list(client.jobs(name="once"))) == 1
    client.cancel(first.id)


def test_jobs_are_listed_by_state_and_name(
    client: Client, waiting_job: Job, complete_job: Job
) -> None:
    assert [it.id for it in client.jobs(name="waiting", state="waiting")] == [waiting_job.id]
    assert complete_job.id in [it.id for it in client.jobs(state="complete")]
    assert waiting_job.id not in [it.id for it in client.jobs(state="complete")]


def test_lists_go_on_over_their_pages(
    client: Client, data_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [
        client.submit(JobRequest(data_set=data_set, source_model="random", name="paged")).id
        for _ in range(3)
    ]
    monkeypatch.setattr("lrsearch.client.client._PAGE_ITEMS", 2)

    assert [it.id for it in client.jobs(name="paged")] == ids[::-1]

    for job_id in ids:
        client.cancel(job_id)


def test_waiting_for_a_job_ends_with_the_time_allowed(client: Client, waiting_job: Job) -> None:
    with pytest.raises(WaitTimeoutError, match=waiting_job.id):
        client.wait(waiting_job.id, timeout_seconds=0.01)


def test_a_cancelled_job_says_so_in_its_last_event(client: Client, waiting_job: Job) -> None:
    client.cancel(waiting_job.id)

    *_, last = client.events(waiting_job.id)

    assert isinstance(last.body, JobFinished)
    assert last.body.state == "cancelled"


def test_the_events_of_a_job_come_once_each_and_in_order(client: Client, complete_job: Job) -> None:
    events = list(client.events(complete_job.id))

    assert [event.id for event in events] == list(range(1, len(events) + 1))
    finished = [event.body for event in events if isinstance(event.body, TrialFinished)]
    assert sorted(it.trial for it in finished) == list(range(13))
    assert sum(isinstance(event.body, EpochFinished) for event in events) == 13 * 2


def test_events_can_be_had_from_any_on(client: Client, complete_job: Job) -> None:
    events = list(client.events(complete_job.id))

    assert list(client.events(complete_job.id, after=events[9].id)) == events[10:]


def test_a_complete_job_has_trials_and_a_tested_winner(client: Client, complete_job: Job) -> None:
    trials = list(client.trials(complete_job.id))
    result = client.result(complete_job.id)

    assert [trial.number for trial in trials] == list(range(13))
    assert [trial.number for trial in trials if trial.replicate] == [12]
    assert trials[12].rates == result.winner.rates
    assert result.confirmation is not None
    assert result.confirmation.trial == 12
    assert client.trial(complete_job.id, 3) == trials[3]
    assert result.winner.point == {"scale": 2.5}
    assert result.winner.test_top1 == 0.75
    assert result.gain_points == pytest.approx(25.0)


def test_the_winners_weights_are_downloaded_whole(
    client: Client, complete_job: Job, tmp_path: Path
) -> None:
    path = client.download_weights(complete_job.id, tmp_path / "winner.safetensors")

    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == client.result(complete_job.id).weights_sha256
    assert content == f"weights of trial {client.result(complete_job.id).winner.trial}".encode()
    assert [it.name for it in tmp_path.iterdir()] == ["winner.safetensors"]


def test_a_waiting_job_has_no_result_yet(client: Client, waiting_job: Job) -> None:
    with pytest.raises(ProblemError) as caught:
        client.result(waiting_job.id)

    assert caught.value.problem.code == "job_not_finished"


def test_workers_and_source_models_are_listed(client: Client, complete_job: Job) -> None:
    assert complete_job.state == "complete"
    assert [worker.name for worker in client.workers()] == ["scripted"]
    assert client.source_model("random").state == "ready"
    assert "random" in [model.name for model in client.source_models()]


def test_a_recipe_that_the_service_refuses_is_explained_field_by_field(
    client: Client, data_set: str
) -> None:
    request = JobRequest(
        data_set=data_set, source_model="random", images_per_label=1000, recipe=Recipe(epochs=1)
    )

    with pytest.raises(ProblemError, match="images_per_label") as caught:
        client.submit(request)

    assert [error.field for error in caught.value.problem.errors] == ["images_per_label"]

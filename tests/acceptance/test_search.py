"""A whole search, from the upload to the finetuned model, with workers that die on the way."""

import signal
import subprocess
from pathlib import Path

import optuna
import pytest
import torch
from sqlalchemy.orm import Session

from lrsearch.client import Client
from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import EpochFinished, TrialPutBack, TrialStarted
from lrsearch.contract.jobs import Job, JobRequest
from lrsearch.contract.leases import Checkpoint
from lrsearch.contract.protocols import Graduated, Staged
from lrsearch.contract.recipes import Recipe
from lrsearch.db.engine import Database
from lrsearch.db.tables import TrialRow
from lrsearch.embedded import Embedded
from lrsearch.leasing.checkpoints import note_checkpoint
from lrsearch.search.ledger import Ledger
from lrsearch.search.prior.candidates import candidate_points
from lrsearch.search.prior.features import task_features
from lrsearch.search.prior.prior import Observation, Prior
from lrsearch.upkeep.outbox import drain_outbox
from lrsearch_worker.data.images import ImageStore
from lrsearch_worker.engine.finetune import Finetune
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.weights import load
from tests.acceptance.conftest import StartWorker

EPOCHS = 12

VALIDATION_IMAGES = 30
"""Of three labels of 60."""

Curves = list[list[tuple[float, float, float]]]


def test_a_worker_killed_in_mid_trial_costs_nothing_but_time(
    service: Embedded,
    client: Client,
    start_worker: StartWorker,
    animals: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.upload_data_set(animals, name="animals")
    client.wait_for_data_set("animals")
    job = client.submit(_request())
    victim = start_worker("victim")
    killed = _killed_once_saved(victim, monkeypatch)
    assert victim.wait(timeout=60) == -signal.SIGKILL
    heir = start_worker("heir")
    client.wait(job.id)

    trials = list(client.trials(job.id))
    assert [(t.number, t.replicate, t.state, len(t.curve)) for t in trials] == [
        (number, replicate, "complete", EPOCHS) for number, replicate in enumerate([0, 0, 0, 0, 1])
    ]
    (number,) = killed
    assert [t.attempts for t in trials] == [1 + (t.number == number) for t in trials]
    assert [t.worker for t in trials] == ["victim"] * number + ["heir"] * (5 - number)
    assert _ledger(service, job) == [(n, t.val_top1, EPOCHS) for n, t in enumerate(trials)]

    resumed_after, told = _second_attempt(client, job, number)
    assert resumed_after >= 1
    assert told == list(range(1, EPOCHS + 1))
    assert "trial resumed" in (tmp_path / "heir.log").read_text()

    undisturbed = client.submit(_request())
    client.wait(undisturbed.id)
    assert _curves(client, undisturbed) == _curves(client, job)
    delivered = [client.result(each.id).weights_sha256 for each in (undisturbed, job)]
    assert delivered[0] == delivered[1]

    heir.send_signal(signal.SIGTERM)
    assert heir.wait(timeout=30) == 0


def test_the_delivered_weights_reproduce_the_reported_accuracies(
    client: Client, start_worker: StartWorker, animals: Path, tmp_path: Path
) -> None:
    data_set = client.upload_data_set(animals, name="animals")
    client.wait_for_data_set("animals")
    start_worker("worker")
    job = client.submit(_request())
    client.wait(job.id)
    result = client.result(job.id)
    weights = load(client.download_weights(job.id, tmp_path / "winner.safetensors"))

    archive = next((tmp_path / "worker").rglob("*.zip"))
    fingerprint = client.data_set(data_set.id).fingerprint
    assert fingerprint is not None
    images = ImageStore(tmp_path / "again").images(archive, fingerprint, 16)
    torch.set_num_threads(1)
    task = LoadedTask(images, weights.spec, result.recipe)
    assert task.evaluate(weights, "validation").top1 == result.winner.val_top1
    assert task.evaluate(weights, "test").top1 == result.winner.test_top1
    assert result.test_images == 36

    assert result.confirmation is not None
    second = LoadedTask(images, weights.spec, result.recipe, replicate=1)
    *_, last = Finetune(second, result.winner.rates).epochs()
    assert last.val_top1 == result.confirmation.val_top1
    assert result.confirmation.validation_images == second.size("validation")


def test_by_default_two_finetunes_are_spent_on_what_is_recommended(
    client: Client, start_worker: StartWorker, animals: Path
) -> None:
    client.upload_data_set(animals, name="animals")
    client.wait_for_data_set("animals")
    start_worker("worker")
    recipe = Recipe(epochs=EPOCHS, input_size=16)
    request = JobRequest(data_set="animals", recipe=recipe, budget=Budget(finetunes=2))
    job = client.wait(client.submit(request).id)

    assert (job.state, job.request.strategy) == ("complete", "recommend")
    trials = list(client.trials(job.id))
    assert [trial.expected_top1 is not None for trial in trials] == [False, True, True]
    assert [trial.state for trial in trials[:2]] == ["complete", "complete"]
    second = trials[2]
    if second.state == "pruned":  # told in time that it gives way to the first
        assert EPOCHS / 2 <= len(second.curve) < EPOCHS
        assert "accuracy" in (second.reason or "")
    assert job.spent.epochs == EPOCHS + len(second.curve) <= 2 * EPOCHS
    assert job.probe is not None
    assert trials[0].val_top1 is not None
    baseline = Observation(trials[0].rates, trials[0].val_top1, VALIDATION_IMAGES)
    candidates = [Staged().rates(point) for point in candidate_points(Staged())]
    ranked = Prior.read().rank(task_features(job.probe, recipe), candidates, [baseline])
    assert trials[1].rates == ranked[0].rates
    result = client.result(job.id)
    assert result.winner.expected_top1 is not None
    assert result.evaluation == "holdout"


def _request() -> JobRequest:
    return JobRequest(
        data_set="animals",
        source_model="random",
        protocol=Graduated(scale=[0.5, 1.0, 2.0]),
        strategy="exhaustive",
        recipe=Recipe(epochs=EPOCHS, input_size=16),
    )


def _killed_once_saved(
    victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Have a worker killed as soon as the service has one of its checkpoints; the trial's number.

    It is an early checkpoint of a trial that takes its time, so that the worker is in the midst.
    """
    killed: list[int] = []

    def note(
        session: Session, lease_id: str, token: str, work_id: str, checkpoint: Checkpoint
    ) -> str | None:
        former = note_checkpoint(session, lease_id, token, work_id, checkpoint)
        number = session.get_one(TrialRow, work_id).number
        if not killed and number > 0 and checkpoint.epochs <= EPOCHS // 2:
            killed.append(number)
            victim.kill()
            victim.wait()
        return former

    monkeypatch.setattr("lrsearch.api.routes.leases.note_checkpoint", note)
    return killed


def _second_attempt(client: Client, job: Job, number: int) -> tuple[int, list[int]]:
    """After which epoch the killed trial was resumed, and the epochs told of it that count."""
    after, told = -1, []
    for event in client.events(job.id):
        match event.body:
            case TrialPutBack(trial=trial, epochs_kept=kept) if trial == number:
                told = [epoch for epoch in told if epoch <= kept]
            case TrialStarted(trial=trial, attempt=2, epochs_done=done) if trial == number:
                after = done
            case EpochFinished(trial=trial, metrics=metrics) if trial == number:
                told.append(metrics.epoch)
    return after, told


def _curves(client: Client, job: Job) -> Curves:
    return [
        [(m.train_loss, m.val_loss, m.val_top1) for m in trial.curve]
        for trial in client.trials(job.id)
    ]


def _ledger(service: Embedded, job: Job) -> list[tuple[int, float | None, int]]:
    """Trials in the Optuna study: number, value, intermediate values; all must be complete."""
    ledger, database = Ledger(service.settings.ledger), Database(service.settings.database)
    drain_outbox(database, ledger)
    names = optuna.study.get_all_study_names(ledger.storage)
    name = next(name for name in names if job.id in name)
    trials = optuna.load_study(study_name=name, storage=ledger.storage).trials
    assert {trial.state for trial in trials} == {optuna.trial.TrialState.COMPLETE}
    database.dispose()
    ledger.storage.engine.dispose()
    return [(t.user_attrs["trial"], t.value, len(t.intermediate_values)) for t in trials]

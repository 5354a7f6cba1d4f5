"""A service without HTTP: submits jobs and plays the workers, every call a transaction."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Self

import pytest
from sqlalchemy import select, update

from lrsearch import source_models
from lrsearch.access.principals import NOBODY, SHARED, Principal
from lrsearch.contract.datasets import DataSetStatistics, LabelCount, Spread
from lrsearch.contract.events import Event
from lrsearch.contract.jobs import Job, JobChange, JobRequest
from lrsearch.contract.leases import (
    Checkpoint,
    Claim,
    Directive,
    Epoch,
    FinalReport,
    FinalWork,
    Heartbeat,
    HeartbeatReply,
    Lease,
    ProbeReport,
    ProbeWork,
    Report,
    ReportReply,
    TestScore,
    TrialReport,
    TrialWork,
    Work,
)
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.results import Result
from lrsearch.contract.sources import ResNet27, SourceModel, SourceSpec
from lrsearch.contract.trials import EpochMetrics, Trial
from lrsearch.contract.workers import Device, DeviceKind, WorkerRegistration
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import DataSetRow, LeaseRow, OutboxRow, WorkRow
from lrsearch.ids import new_id
from lrsearch.jobs import control, endings, events, jobs, submission, trials
from lrsearch.jobs.results import get_result
from lrsearch.leasing import heartbeats, put_back, reports, workers
from lrsearch.leasing.checkpoints import note_checkpoint
from lrsearch.leasing.claims import Asked, claim_lease, claim_leases
from lrsearch.settings import Settings
from lrsearch.store import Blob
from tests.probes import a_probe

EPOCHS = 2
"""Of the recipe, where a test says nothing else."""

WEIGHTS_BYTES = 100
"""Of each trial."""

TEST_IMAGES = 60
"""Of the data set `animals`."""

one_database = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
"""Marks a test of something in which the kind of database has no part."""


class Rig:
    """A service whose data set `animals` (3 labels of 100 images) is ready."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.add_data_set("animals", images_per_label=100)

    @classmethod
    def of(cls, database: Database, settings: Settings) -> Self:
        """A service that goes on with what its database holds."""
        rig = cls.__new__(cls)
        rig.database, rig.settings = database, settings
        return rig

    def add_data_set(self, name: str, images_per_label: int, owner: str = SHARED) -> None:
        """A data set of 3 labels that is ready."""
        spread = Spread(min=images_per_label, median=images_per_label, max=images_per_label)
        side = Spread(min=32, median=32, max=32)
        statistics = DataSetStatistics(
            labels=[
                LabelCount(label=label, images=images_per_label, distinct=images_per_label)
                for label in ("cat", "cow", "dog")
            ],
            images=3 * images_per_label,
            distinct_images=3 * images_per_label,
            duplicates_within_label=0,
            images_per_label=spread,
            widths=side,
            heights=side,
            modes={"RGB": 3 * images_per_label},
            formats={"PNG": 3 * images_per_label},
            bytes=3000 * images_per_label,
        )
        with self.database.write() as session:
            session.add(
                DataSetRow(
                    id=new_id(),
                    name=name,
                    owner=owner,
                    state="ready",
                    problems=[],
                    progress_done=3 * images_per_label,
                    fingerprint=sha256(name.encode()).hexdigest(),
                    content_sha256=sha256(name.encode()).hexdigest(),
                    content_bytes=3000 * images_per_label,
                    statistics=statistics.model_dump(mode="json"),
                    created_at=database_now(session),
                )
            )

    def submit(
        self,
        *,
        epochs: int = EPOCHS,
        key: str | None = None,
        probe: bool = False,
        principal: Principal = NOBODY,
        **request: Any,
    ) -> Job:
        """A job on `animals`, exhaustive and without confirmation, unless `request` says else.

        Its probe waits with the baseline if `probe`; else it is out of the way.
        """
        usual = {"data_set": "animals", "source_model": "random", "strategy": "exhaustive"}
        wanted = JobRequest(**{**usual, "confirm": False, **request}, recipe=Recipe(epochs=epochs))
        with self.database.write() as session:
            job, _ = submission.submit_job(session, wanted, principal, key)
            if not probe:
                session.execute(
                    update(WorkRow)
                    .where(WorkRow.job_id == job.id, WorkRow.kind == "probe")
                    .values(state="done")
                )
        return job

    def cancel(self, job_id: str) -> Job:
        with self.database.write() as session:
            return endings.cancel_job(session, job_id, NOBODY)

    def change(self, job: Job, **change: Any) -> Job:
        with self.database.write() as session:
            return control.change_job(session, job.id, NOBODY, JobChange(**change))

    def delete(self, job: Job) -> None:
        with self.database.write() as session:
            control.delete_job(session, job.id, NOBODY)

    def register_source_model(self, name: str) -> SourceModel:
        """A source model that a worker must check."""
        spec = SourceSpec(architecture=ResNet27(width=0.25), input_size=32)
        weights = Blob(sha256(name.encode()).hexdigest(), size_bytes=1000)
        with self.database.write() as session:
            return source_models.register_source_model(session, name, spec, weights, NOBODY)

    def worker(self, kind: DeviceKind = "cpu", name: str = "worker") -> str:
        """Id of a new worker."""
        registration = WorkerRegistration(name=name, device=Device(kind=kind, name="made up"))
        with self.database.write() as session:
            return workers.register_worker(session, registration).id

    def try_claim(
        self, worker: str | None = None, max_trials: int = 1, holds: list[str] | None = None
    ) -> Lease | None:
        claim = Claim(worker_id=worker or self.worker(), max_trials=max_trials, holds=holds)
        return claim_lease(self.database, claim, self.settings)

    def claim(self, worker: str | None = None, max_trials: int = 1) -> Lease:
        """A lease, where there must be work for the worker (or for a new one)."""
        lease = self.try_claim(worker, max_trials)
        assert lease is not None
        return lease

    def claim_together(self, *workers: str) -> list[Lease | Exception | None]:
        """Claims of a trial each that came in at the same time."""
        claims = [Asked(Claim(worker_id=worker)) for worker in workers]
        return claim_leases(self.database, claims, self.settings)

    def beat(
        self, lease: Lease, val_top1s: Sequence[float] = (), work: Work | None = None
    ) -> Directive:
        """A heartbeat with all epochs of the one trial so far; returns the directive for it."""
        work = work or lease.work[-1]
        return self.heartbeat(lease, {work.id: val_top1s}).directives[work.id]

    def heartbeat(self, lease: Lease, curves: dict[str, Sequence[float]]) -> HeartbeatReply:
        """A heartbeat with all epochs so far of each piece of work."""
        beat = Heartbeat(
            epochs=[
                Epoch(work_id=work_id, metrics=metrics)
                for work_id, values in curves.items()
                for metrics in curve(*values)
            ]
        )
        with self.database.write() as session:
            return heartbeats.heartbeat(session, lease.id, lease.token, beat, self.settings)

    def upload(self, lease: Lease, work: Work, content: str = "") -> str:
        """SHA-256 of weights that are noted as uploaded."""
        digest = sha256(f"{work.id}{content}".encode()).hexdigest()
        with self.database.write() as session:
            reports.note_upload(
                session, lease.id, lease.token, work.id, Blob(digest, WEIGHTS_BYTES)
            )
        return digest

    def checkpoint(self, lease: Lease, epochs: int, content: str = "") -> Checkpoint:
        """A checkpoint of the lease's one trial that is noted as uploaded."""
        digest = sha256(f"{lease.work[-1].id} {epochs}{content}".encode()).hexdigest()
        checkpoint = Checkpoint(sha256=digest, epochs=epochs)
        with self.database.write() as session:
            note_checkpoint(session, lease.id, lease.token, lease.work[-1].id, checkpoint)
        return checkpoint

    def report(self, lease: Lease, work: Work, report: Report) -> ReportReply:
        [answer] = self.report_together((lease, work, report))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def report_together(self, *sent: tuple[Lease, Work, Report]) -> list[ReportReply | Exception]:
        """Reports that came in at the same time."""
        return reports.take_reports(
            self.database,
            [reports.Sent(lease.id, lease.token, work.id, report) for lease, work, report in sent],
        )

    def end(
        self, lease: Lease, outcome: str, *val_top1s: float, seconds: float = 1.0
    ) -> ReportReply:
        """Report that the lease's one trial ended early, after these epochs."""
        report = TrialReport(outcome=outcome, curve=curve(*val_top1s), seconds=seconds)
        return self.report(lease, lease.work[-1], report)

    def complete(
        self,
        lease: Lease,
        val_top1: float,
        val_loss: float = 1.0,
        seconds: float = 1.0,
        work: Work | None = None,
    ) -> TrialReport:
        """Upload weights and report a complete trial; returns the report."""
        work = work or lease.work[-1]
        assert lease.task is not None
        report = TrialReport(
            outcome="complete",
            curve=curve(*[val_top1] * lease.task.recipe.epochs, val_loss=val_loss),
            seconds=seconds,
            weights_sha256=self.upload(lease, work),
        )
        self.report(lease, work, report)
        return report

    def release(self, lease: Lease) -> None:
        with self.database.write() as session:
            put_back.release_lease(session, lease.id, lease.token)

    def unlinked_report(self, lease: Lease) -> TrialReport:
        """A complete trial's report whose weights were never uploaded."""
        assert lease.task is not None
        epochs = lease.task.recipe.epochs
        return TrialReport(outcome="complete", curve=curve(*[0.5] * epochs), seconds=1.0)

    def wait(self, seconds: float) -> None:
        """Let all that waits have done so for longer."""
        with self.database.write() as session:
            for row in [*session.scalars(select(WorkRow)), *session.scalars(select(OutboxRow))]:
                column = "waits_since" if isinstance(row, WorkRow) else "created_at"
                setattr(row, column, getattr(row, column) - timedelta(seconds=seconds))

    def pass_time(self, lease: Lease, seconds: float) -> None:
        """Let the lease grow older, as if no heartbeat had come for so long."""
        with self.database.write() as session:
            row = session.get_one(LeaseRow, lease.id)
            row.expires_at -= timedelta(seconds=seconds)

    def expire_leases(self) -> int:
        return put_back.expire_leases(self.database, self.settings)

    def lose(self, lease: Lease) -> None:
        """The worker dies: its lease expires."""
        self.pass_time(lease, self.settings.lease_seconds + 1.0)
        assert self.expire_leases() == 1

    def run(
        self, accuracy: Callable[[TrialWork], float] = lambda work: 0.5, max_trials: int = 1
    ) -> None:
        """Play one worker until there is nothing left to do."""
        worker = self.worker()
        while (lease := self.try_claim(worker, max_trials)) is not None:
            for work in lease.work:
                if isinstance(work, TrialWork):
                    self.complete(lease, accuracy(work), work=work)
                elif isinstance(work, ProbeWork):
                    self.report(lease, work, ProbeReport(probe=a_probe()))
                elif isinstance(work, FinalWork):
                    self.report(lease, work, final_report_of(work))

    def job(self, job: Job) -> Job:
        with self.database.read() as session:
            return jobs.job_as_contract(session, jobs.find_job(session, job.id, NOBODY))

    def trials(self, job: Job) -> list[Trial]:
        """By number."""
        with self.database.read() as session:
            return trials.list_trials(
                session, jobs.find_job(session, job.id, NOBODY), None, 10_000
            ).items

    def events(self, job: Job, after: int = 0) -> list[Event]:
        with self.database.read() as session:
            return events.events_after(session, job.id, after, limit=100_000)

    def result(self, job: Job) -> Result:
        with self.database.read() as session:
            return get_result(jobs.find_job(session, job.id, NOBODY))


def curve(*val_top1s: float, val_loss: float = 1.0) -> list[EpochMetrics]:
    """A learning curve."""
    return [
        EpochMetrics(epoch=i, train_loss=1.0, val_loss=val_loss, val_top1=val_top1, seconds=0.5)
        for i, val_top1 in enumerate(val_top1s, start=1)
    ]


def final_report_of(work: FinalWork) -> FinalReport:
    """Test scores of a winner and a baseline, which may be one or missing."""
    if work.baseline_weights is None:
        return final_report(50, None, only_winner=0, only_baseline=0)
    if work.baseline_weights == work.winner_weights:
        return final_report(50, 50, only_winner=0, only_baseline=0)
    return final_report()


def final_report(
    winner: int = 50, baseline: int | None = 40, only_winner: int = 12, only_baseline: int = 2
) -> FinalReport:
    """Test scores, out of `TEST_IMAGES`."""
    return FinalReport(
        winner=TestScore(images=TEST_IMAGES, correct=winner, loss=0.5),
        baseline=None
        if baseline is None
        else TestScore(images=TEST_IMAGES, correct=baseline, loss=0.7),
        only_winner_correct=only_winner,
        only_baseline_correct=only_baseline,
        seconds=1.0,
    )

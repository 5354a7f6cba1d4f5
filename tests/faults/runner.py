"""What runs a lease's work in place of torch: recorded finetunes, told at their own pace.

Everything else is the real worker's: its loop, its heart, its connections and its patience.
"""

import hashlib
import io
import json
from contextlib import suppress
from functools import partial

import structlog

from lrsearch.contract.leases import (
    CheckModelReport,
    CheckModelWork,
    Checkpoint,
    FailedReport,
    FinalWork,
    Lease,
    ProbeReport,
    ProbeWork,
    Report,
    TrialReport,
    TrialWork,
    Work,
)
from lrsearch_worker.errors import LeaseLostError, ServiceAwayError, ServiceRefusedError
from lrsearch_worker.heart import Heart
from lrsearch_worker.service import Service
from tests.faults.curves import Curves, Recorded
from tests.faults.journal import Journal

log = structlog.get_logger(__name__)


class Replay:
    """Runs leases by replay, for `lrsearch_worker.loop.Loop`.

    Args:
        service: A connection that nobody else uses meanwhile.
        curves: What is replayed.
        journal: Is told what the service has said.
        epoch_seconds: How long an epoch takes.
    """

    def __init__(
        self, service: Service, curves: Curves, journal: Journal, epoch_seconds: float
    ) -> None:
        self._service, self._curves, self._journal = service, curves, journal
        self._epoch_seconds = epoch_seconds

    def run(self, lease: Lease, heart: Heart) -> None:
        """Do all the work of a lease, its trials side by side."""
        try:
            for work in lease.work:
                if not isinstance(work, TrialWork):
                    heart.check()
                    self._report(lease, work, self._done(lease, work, heart), heart)
            trials = [work for work in lease.work if isinstance(work, TrialWork)]
            running = {work.id: (work, self._resumed(lease, work, heart)) for work in trials}
            while running:
                heart.over.wait(self._epoch_seconds)
                for work, epochs in list(running.values()):
                    heart.check()
                    if self._step(lease, work, epochs + 1, heart):
                        running[work.id] = work, epochs + 1
                    else:
                        del running[work.id]
        except LeaseLostError:
            self._journal.note("lost", lease=lease.id)
            raise

    def _step(self, lease: Lease, work: TrialWork, epoch: int, heart: Heart) -> bool:
        """One epoch of a trial, and its report after the last; whether it goes on."""
        recorded = self._recorded(lease, work)
        directive = heart.directive(work.id)
        if directive in ("cancel", "prune"):
            outcome = "cancelled" if directive == "cancel" else "pruned"
            report = _trial_report(recorded, outcome, epoch - 1)
        elif epoch > len(recorded.curve):
            report = _trial_report(recorded, "diverged", epoch - 1)
        else:
            log.info("epoch", job=_job(lease), trial=work.number, epoch=epoch)
            heart.beat(work.id, recorded.curve[epoch - 1])
            if epoch < len(recorded.curve) or recorded.diverged:
                if epoch % 2 == 0:
                    self._save(lease, work, epoch)
                return True
            report = self._complete(lease, work, recorded, heart)
        self._report(lease, work, report, heart)
        return False

    def _complete(
        self, lease: Lease, work: TrialWork, recorded: Recorded, heart: Heart
    ) -> TrialReport:
        report = _trial_report(recorded, "complete", len(recorded.curve))
        to_beat = heart.val_top1_to_beat
        beaten = to_beat is not None and report.curve[-1].val_top1 < to_beat
        if work.replicate or (beaten and not work.baseline):
            return report
        content = _weights(work)
        uploaded = heart.insist(partial(self._service.upload, lease, work.id, content))
        if uploaded.sha256 != hashlib.sha256(content).hexdigest():
            self._journal.note("damaged", trial=work.id)
        return report.model_copy(update={"weights_sha256": uploaded.sha256})

    def _done(
        self, lease: Lease, work: ProbeWork | FinalWork | CheckModelWork, heart: Heart
    ) -> Report:
        if isinstance(work, CheckModelWork):
            return CheckModelReport(accepted=True)
        task = self._curves.of(_job(lease))
        if isinstance(work, ProbeWork):
            return ProbeReport(probe=task.probe)
        winner = json.loads(self._blob(work.winner_weights, heart))
        if work.baseline_weights is not None:
            self._blob(work.baseline_weights, heart)
        return task.final(task.finetune(winner["trial"], winner["number"]))

    def _blob(self, sha256: str, heart: Heart) -> bytes:
        def download() -> bytes:
            out = io.BytesIO()
            self._service.blob(sha256, out)
            return out.getvalue()

        content = heart.insist(download)
        if hashlib.sha256(content).hexdigest() != sha256:
            self._journal.note("damaged", blob=sha256)
        return content

    def _save(self, lease: Lease, work: TrialWork, epoch: int) -> None:
        """Upload a checkpoint; one that does not arrive is not missed."""
        content = _checkpoint(work, epoch)
        checkpoint = Checkpoint(sha256=hashlib.sha256(content).hexdigest(), epochs=epoch)
        with suppress(ServiceAwayError, ServiceRefusedError):
            self._service.upload_checkpoint(lease, work.id, checkpoint, content)

    def _resumed(self, lease: Lease, work: TrialWork, heart: Heart) -> int:
        """Epochs that an earlier attempt has done, as its checkpoint says."""
        if work.checkpoint is None:
            return 0

        def download() -> bytes:
            out = io.BytesIO()
            self._service.checkpoint(lease, work.id, out)
            return out.getvalue()

        epochs = work.checkpoint.epochs
        try:
            content = heart.insist(download)
        except ServiceRefusedError as error:
            self._journal.note("refused", trial=work.id, reason=str(error))
            return 0
        if content != _checkpoint(work, epochs):
            self._journal.note("damaged", trial=work.id)
            return 0
        self._journal.note("resumed", trial=work.id)
        for metrics in self._recorded(lease, work).curve[:epochs]:
            heart.beat(work.id, metrics)  # the service may not have heard of all of them
        return epochs

    def _report(self, lease: Lease, work: Work, report: Report, heart: Heart) -> None:
        try:
            heart.reported(work.id, partial(self._service.report, lease, work.id, report))
        except ServiceRefusedError as error:
            self._journal.note("refused", work=work.id, reason=str(error))
            report = _failure(work, str(error))
            heart.reported(work.id, partial(self._service.report, lease, work.id, report))
        outcome = report.outcome if isinstance(report, TrialReport) else report.kind
        self._journal.note("accepted", work=work.id, lease=lease.id, outcome=outcome)

    def _recorded(self, lease: Lease, work: TrialWork) -> Recorded:
        return self._curves.of(_job(lease)).finetune(work.id, work.number)


def _job(lease: Lease) -> str:
    assert lease.task is not None
    return lease.task.job_id


def _trial_report(recorded: Recorded, outcome: str, epochs: int) -> TrialReport:
    curve = recorded.curve[:epochs]
    return TrialReport(
        outcome=outcome,
        reason="the loss is not finite" if outcome == "diverged" else None,
        curve=curve,
        seconds=sum(metrics.seconds for metrics in curve),
    )


def _failure(work: Work, reason: str) -> Report:
    if isinstance(work, TrialWork):
        return TrialReport(outcome="failed", reason=reason[:2000], curve=[], seconds=0.0)
    return FailedReport(reason=reason[:2000])


def _weights(work: TrialWork) -> bytes:
    return json.dumps({"trial": work.id, "number": work.number}).encode()


def _checkpoint(work: TrialWork, epochs: int) -> bytes:
    return json.dumps({"trial": work.id, "epochs": epochs}).encode()

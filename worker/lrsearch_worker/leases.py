"""A lease's work: done piece by piece, each reported once."""

import hashlib
from contextlib import closing
from functools import partial
from typing import Final

import structlog
import torch

from lrsearch.contract.leases import (
    CheckModelReport,
    CheckModelWork,
    FailedReport,
    FinalWork,
    Lease,
    ProbeReport,
    ProbeWork,
    Report,
    Task,
    TestScore,
    TrialReport,
    TrialWork,
    UploadReply,
    Work,
)
from lrsearch.contract.sources import Card, SourceSpec
from lrsearch_worker.cache import Cache
from lrsearch_worker.courier import Courier, Saver
from lrsearch_worker.engine.checkpoints import Progress, from_bytes
from lrsearch_worker.engine.memory import steps_that_fit
from lrsearch_worker.engine.probe import probe
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.errors import (
    DeviceLostError,
    LeaseLostError,
    ServiceAwayError,
    ServiceRefusedError,
    StoppedError,
)
from lrsearch_worker.fetch import Fetcher
from lrsearch_worker.final import run_final
from lrsearch_worker.heart import Heart
from lrsearch_worker.service import Service
from lrsearch_worker.trial import REASON_LENGTH, Observer, Outcome, reason_of, run_trials
from lrsearch_worker.trial_logs import TRIAL_LOGS
from lrsearch_worker.weights import WeightsError, complete_network

RECIPE_IN_CARD: Final = {"epochs", "batch_size", "schedule", "momentum", "weight_decay", "seed"}

OtherWork = ProbeWork | FinalWork | CheckModelWork
"""Work that is no trial."""

log = structlog.get_logger(__name__)


class _CancelledError(Exception):
    """The service wants the rest of a piece of work no more."""


class Runner:
    """Runs the work of one lease after another; the last task stays loaded for the next lease.

    Args:
        service: A connection that nobody else uses meanwhile.
        cache: Of data sets and weights.
        device: What computes.
        courier: Takes checkpoints to the service.
        threads: Trials of a lease that compute at a time, as far as memory suffices.
        observer: Is shown every finetune after each of its epochs, for measurements.
    """

    def __init__(
        self,
        service: Service,
        cache: Cache,
        device: torch.device,
        courier: Courier,
        threads: int = 1,
        observer: Observer | None = None,
    ) -> None:
        self._service = service
        self._cache = cache
        self._device = device
        self._courier = courier
        self._threads = threads
        self._observer = observer
        self._loaded: tuple[tuple[str, int], LoadedTask] | None = None

    def run(self, lease: Lease, heart: Heart) -> None:
        """Do all the work of a lease. What goes wrong in a piece is told in its report.

        Raises:
            LeaseLostError: The lease is lost; what has not been reported is another's to do.
            StoppedError: The worker is to stop; the same.
            DeviceLostError: The device is of no more use to this process.
        """
        fetcher = Fetcher(self._service, self._cache, heart)
        trials = [work for work in lease.work if isinstance(work, TrialWork)]
        others = [work for work in lease.work if not isinstance(work, TrialWork)]
        for work in others:  # of these, only a probe comes together with trials, and is soon done
            heart.check()
            with structlog.contextvars.bound_contextvars(**_name_of(work)):
                self._do(lease, work, fetcher, heart)
        for replicate in sorted({work.replicate for work in trials}):
            heart.check()
            together = [work for work in trials if work.replicate == replicate]
            self._trials(lease, together, fetcher, heart)

    def _trials(self, lease: Lease, works: list[TrialWork], fetcher: Fetcher, heart: Heart) -> None:
        """Train trials of one replicate together, and report each as it ends."""
        try:
            task = _task_of(lease)
            loaded = self._task(task, fetcher, works[0].replicate)
            cards = [_card(task, work, loaded) for work in works]
            threads = self._threads_for(loaded)
        except (LeaseLostError, StoppedError):
            raise
        except Exception as error:
            log.exception("task not loaded")
            for work in works:
                self._report(lease, work, _failure(work, error), heart)
            self._recover()
            return
        failed = False
        savers = [
            Saver(self._courier, lease, work, _progress(lease, work, fetcher)) for work in works
        ]
        trials = run_trials(works, loaded, cards, savers, heart, threads, self._observer)
        with closing(trials) as outcomes:
            for work, outcome in outcomes:
                with structlog.contextvars.bound_contextvars(trial=work.number):
                    report = self._uploaded(lease, work, outcome, heart)
                    self._report(lease, work, report, heart)
                failed = failed or report.outcome == "failed"
        if failed:
            self._recover()

    def _threads_for(self, loaded: LoadedTask) -> int:
        """Trials of a task that compute at a time."""
        if self._threads == 1:
            return 1
        return min(self._threads, steps_that_fit(loaded.step_bytes))

    def _uploaded(
        self, lease: Lease, work: TrialWork, outcome: Outcome, heart: Heart
    ) -> TrialReport:
        """The report, with the address of the weights where the service may want them."""
        report, weights = outcome.report, outcome.weights
        if weights is None or not _may_win(work, report, heart.val_top1_to_beat):
            return report
        try:
            uploaded = heart.insist(partial(self._upload, lease, work.id, weights))
        except (LeaseLostError, StoppedError):
            raise
        except Exception as error:
            log.exception("weights not uploaded")
            return _failed_trial(error)
        return report.model_copy(update={"weights_sha256": uploaded.sha256})

    def _do(self, lease: Lease, work: OtherWork, fetcher: Fetcher, heart: Heart) -> None:
        report: Report
        try:
            match work:
                case CheckModelWork():
                    report = _check_model(work, fetcher)
                case ProbeWork():
                    report = _probe(work, self._task(_task_of(lease), fetcher), heart)
                case FinalWork():
                    report = self._final(work, self._task(_task_of(lease), fetcher), fetcher)
        except (LeaseLostError, StoppedError):
            raise
        except Exception as error:
            log.exception("work broke down")
            report = _failure(work, error)
        self._report(lease, work, report, heart)
        if report.kind == "failed":
            self._recover()

    def _final(self, work: FinalWork, task: LoadedTask, fetcher: Fetcher) -> Report:
        winner = fetcher.weights(work.winner_weights)
        baseline = fetcher.weights(work.baseline_weights) if work.baseline_weights else None
        report = run_final(task, winner, baseline)
        log.info("final test done", winner=_top1(report.winner), baseline=_top1(report.baseline))
        return report

    def _task(self, task: Task, fetcher: Fetcher, replicate: int = 0) -> LoadedTask:
        """The task with its images and weights: what the last lease left, if it is the same."""
        wanted = task.model_dump_json(
            include={
                "fingerprint": True,
                "source_model": {"spec", "weights_sha256"},
                "images_per_label": True,
                "recipe": True,
            }
        )
        key = wanted, replicate
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # its memory goes before the next one's comes
            images = fetcher.images(task)
            source = fetcher.source(task.source_model)
            loaded = LoadedTask(
                images,
                source,
                task.recipe,
                task.images_per_label,
                self._device,
                replicate=replicate,
            )
            self._loaded = key, loaded
        return self._loaded[1]

    def _upload(self, lease: Lease, work_id: str, weights: bytes) -> UploadReply:
        reply = self._service.upload(lease, work_id, weights)
        if reply.sha256 != hashlib.sha256(weights).hexdigest():
            raise ServiceAwayError("the weights arrived damaged")
        return reply

    def _report(self, lease: Lease, work: Work, report: Report, heart: Heart) -> None:
        report = _with_log(lease, work, report)
        try:
            heart.reported(work.id, partial(self._service.report, lease, work.id, report))
        except ServiceRefusedError as error:
            log.error("report refused", reason=str(error))
            report = _with_log(lease, work, _failure(work, error))
            heart.reported(work.id, partial(self._service.report, lease, work.id, report))
        log.info("report accepted", kind=report.kind)

    def _recover(self) -> None:
        """Give back the device's memory, and see whether the device still computes."""
        self._loaded = None
        try:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            torch.ones(1, device=self._device).sum().item()
        except RuntimeError as error:
            raise DeviceLostError(f"the device fails: {error}") from error


def _name_of(work: OtherWork) -> dict[str, object]:
    """What a piece of work is called in the log."""
    if isinstance(work, CheckModelWork):
        return {"work": work.kind, "source_model": work.source_model.name}
    return {"work": work.kind}


def _progress(lease: Lease, work: TrialWork, fetcher: Fetcher) -> Progress | None:
    """Where an earlier attempt got to; none where there was none, or it cannot be read."""
    if work.checkpoint is None:
        return None
    try:
        return from_bytes(fetcher.checkpoint(lease, work.id, work.checkpoint.sha256), work)
    except (LeaseLostError, StoppedError):
        raise
    except Exception as error:
        log.warning(
            "checkpoint not used; the trial begins anew", trial=work.number, reason=str(error)
        )
        return None


def _probe(work: ProbeWork, task: LoadedTask, heart: Heart) -> Report:
    """Look at the task, until it is cancelled."""

    def check() -> None:
        heart.check()
        if heart.directive(work.id) == "cancel":
            raise _CancelledError

    try:
        found = probe(task, check)
    except _CancelledError:
        return FailedReport(reason="the service cancelled it")
    log.info(
        "task probed",
        images=found.images,
        labels=found.labels,
        linear_top1=found.linear_top1 and round(found.linear_top1, 4),
        seconds=round(found.seconds, 2),
    )
    return ProbeReport(probe=found)


def _check_model(work: CheckModelWork, fetcher: Fetcher) -> CheckModelReport:
    """Load the weights into their network; nothing of them is run before they are found to fit."""
    try:
        source = fetcher.source(work.source_model)
        if not isinstance(source, SourceSpec):
            complete_network(source)
    except WeightsError as error:
        log.info("source model rejected", reason=str(error))
        return CheckModelReport(accepted=False, reason=str(error)[:REASON_LENGTH])
    log.info("source model accepted")
    return CheckModelReport(accepted=True)


def _top1(score: TestScore | None) -> float | None:
    return None if score is None else round(score.correct / score.images, 4)


def _may_win(work: TrialWork, report: TrialReport, to_beat: float | None) -> bool:
    """Whether the service may want a trial's weights."""
    if work.replicate:
        return False
    return work.baseline or to_beat is None or report.curve[-1].val_top1 >= to_beat


def _with_log(lease: Lease, work: Work, report: Report) -> Report:
    """The report with what has not been sent of the trial's log."""
    lines = [log.lines for log in TRIAL_LOGS.pending(lease) if log.work_id == work.id]
    if not isinstance(report, TrialReport) or not lines:
        return report
    return report.model_copy(update={"log": lines[0]})


def _failure(work: Work, error: Exception) -> Report:
    if isinstance(work, TrialWork):
        return _failed_trial(error)
    return FailedReport(reason=reason_of(error))


def _failed_trial(error: Exception) -> TrialReport:
    return TrialReport(outcome="failed", reason=reason_of(error), curve=[], seconds=0.0)


def _task_of(lease: Lease) -> Task:
    if lease.task is None:
        raise ValueError(f"a lease with {lease.work[0].kind} work came without its task")
    return lease.task


def _card(task: Task, work: TrialWork, loaded: LoadedTask) -> Card:
    """What finetuned weights say of their origin."""
    source = task.source_model
    origin = source.spec.card
    rates = {f"rate_{stage}": rate for stage, rate in work.rates.items()}
    recipe = task.recipe.model_dump(include=RECIPE_IN_CARD)
    return Card(
        description=f"{source.name}, finetuned on a target data set",
        data=[*origin.data, f"data set {task.fingerprint}"],
        licence=f"of the source model: {origin.licence}"[:500] if origin.licence else "",
        recipe=rates | recipe,
        images=loaded.size("train"),
        labels=len(loaded.images.label_names),
    )

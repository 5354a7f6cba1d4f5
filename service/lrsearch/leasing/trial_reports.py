"""Reports on trials: a trial ends, and its job may have a new best."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.contract.events import TrialFinished
from lrsearch.contract.leases import TrialReport
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics
from lrsearch.db.engine import database_now
from lrsearch.db.tables import JobRow, TrialRow, WorkRow
from lrsearch.errors import invalid_field
from lrsearch.jobs.cuts import cuts_of
from lrsearch.jobs.endings import settle_reservation
from lrsearch.jobs.events import append_event
from lrsearch.jobs.pruning import pruning_reason
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.tasks import known_task
from lrsearch.jobs.trials import forget_checkpoint, forget_epochs, record_epochs, tell_ledger
from lrsearch.metrics import count_trial
from lrsearch.search.winner import Contestant, Decision, decide

Curves = Mapping[str, list[EpochMetrics]]
"""What is recorded of trials, by id; empty or left out for a trial without epochs."""


class TrialReports:
    """Takes the reports on trials of one locked job, one after the other."""

    def __init__(self, session: Session, job: JobRow, curves: Curves) -> None:
        self._session, self._job, self._curves = session, job, curves
        self._request = request_of(job)
        self._known: dict[int, TrialRow] = {}
        """Trials that were the best when they were asked for, by number."""

    def require_fit(self, work: WorkRow, trial: TrialRow, report: TrialReport) -> None:
        """Raise `InvalidError` where a report does not fit its trial, before anything changes.

        Under strategy `recommend` it is found out later whether weights are missing.
        """
        _check_curve(report, self._request.recipe.epochs)
        if report.outcome != "complete" or self._request.strategy == "recommend":
            return
        last = report.curve[-1]
        reported = _contestant(trial, last.val_top1, last.val_loss)
        if not trial.replicate and (trial.baseline or self._decide(reported).leads):
            _require_weights(work, report)

    def finish(self, work: WorkRow, trial: TrialRow, report: TrialReport) -> None:
        """End a trial, as its report says.

        Raises:
            InvalidError: its weights are missing.
        """
        session, job = self._session, self._job
        told = self._record(trial, report)
        cut = cuts_of(session, job).get(trial.number)
        settle_reservation(session, job, trial, len(report.curve))
        forget_checkpoint(trial)
        trial.state, trial.reason = report.outcome, report.reason
        if report.outcome in ("pruned", "cancelled") and cut is not None:
            trial.reason = cut.reason
        elif report.outcome == "pruned" and not report.reason:
            trial.reason = told or pruning_reason(session, job, trial)
        trial.seconds, trial.finished_at = report.seconds, database_now(session)
        count_trial(session, report.outcome, report.seconds, baseline=trial.baseline)
        job.seconds_spent += report.seconds
        job.trials_finished += 1
        decision = self._score(work, trial, report) if trial.state == "complete" else None
        append_event(
            session,
            job,
            TrialFinished(
                trial=trial.number,
                state=report.outcome,
                reason=trial.reason,
                val_top1=trial.val_top1,
                expected_top1=decision.expected_top1 if decision else None,
                best=decision is not None and decision.leads,
            ),
        )
        tell_ledger(session, job, trial)

    def _record(self, trial: TrialRow, report: TrialReport) -> str | None:
        """Make the reported curve the trial's; returns the reason that the trial had before."""
        known = self._curves.get(trial.id, [])
        if len(known) > len(report.curve):
            forget_epochs(self._session, trial, after=len(report.curve))
        # It may overtake the last heartbeat.
        record_epochs(
            self._session,
            self._job,
            trial,
            known,
            report.curve,
            self._request.recipe.epochs,
        )
        return trial.reason

    def _score(self, work: WorkRow, trial: TrialRow, report: TrialReport) -> Decision | None:
        """Note a complete trial's accuracy; keep its weights if they are the best's or baseline's.

        Returns:
            Whether it is the best so far; None for the confirmation, which cannot be.
        """
        job, last = self._job, report.curve[-1]
        trial.val_top1, trial.val_loss = last.val_top1, last.val_loss
        if trial.replicate:  # confirms the winner, whose weights stay
            return None
        former = self._best()
        decision = self._decide(_contestant(trial, last.val_top1, last.val_loss))
        if decision.leads or trial.baseline:
            _require_weights(work, report)
            trial.weights_sha256 = report.weights_sha256
        if decision.leads:
            if former is not None and not former.baseline:
                former.weights_sha256 = None
            job.best_trial, job.best_val_top1 = trial.number, last.val_top1
            self._known[trial.number] = trial
        job.best_expected_top1 = decision.best_expected_top1
        return decision

    def _decide(self, trial: Contestant) -> Decision:
        best = self._best()
        recommends = self._request.strategy == "recommend"
        return decide(
            trial,
            _contestant(best, best.val_top1, best.val_loss) if best is not None else None,
            known_task(self._session, self._job) if recommends else None,
        )

    def _best(self) -> TrialRow | None:
        """The job's best trial so far."""
        number = self._job.best_trial
        if number is None:
            return None
        if number not in self._known:
            self._known[number] = self._session.execute(
                select(TrialRow)
                .where(TrialRow.job_id == self._job.id, TrialRow.number == number)
                .execution_options(autoflush=False)  # what has been changed is here already
            ).scalar_one()
        return self._known[number]


def _check_curve(report: TrialReport, epochs: int) -> None:
    numbers = [metrics.epoch for metrics in report.curve]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > epochs:
        raise invalid_field("curve", f"wants epochs 1, 2, … up to {epochs}, each once", numbers)
    if report.outcome == "complete" and len(numbers) != epochs:
        raise invalid_field(
            "curve", f"a complete trial has all {epochs} epochs of the recipe", len(numbers)
        )


def _require_weights(work: WorkRow, report: TrialReport) -> None:
    if report.weights_sha256 is None or report.weights_sha256 != work.upload_sha256:
        raise invalid_field(
            "weights_sha256",
            "must name the weights uploaded for this trial under this lease: they are the "
            "best so far, or the baseline's",
            report.weights_sha256,
            code="weights_missing",
        )


def _contestant(trial: TrialRow, val_top1: float | None, val_loss: float | None) -> Contestant:
    assert val_top1 is not None
    assert val_loss is not None
    return Contestant(StageRates.model_validate(trial.rates), val_top1, val_loss)

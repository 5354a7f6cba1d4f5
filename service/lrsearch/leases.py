"""Leases: kept alive, reported on, handed back, expired."""

from collections import defaultdict
from contextvars import copy_context
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.advance import advance, complete
from lrsearch.contract.events import EpochFinished, TrialFinished, TrialPutBack
from lrsearch.contract.leases import (
    CheckModelReport,
    Directive,
    FailedReport,
    FinalReport,
    Heartbeat,
    HeartbeatReply,
    ProbeReport,
    Report,
    ReportReply,
    TrialReport,
)
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics
from lrsearch.cuts import cuts_of
from lrsearch.db.engine import database_now
from lrsearch.db.tables import JobRow, LeaseRow, SourceModelRow, TrialRow, WorkerRow, WorkRow
from lrsearch.errors import ConflictError, invalid_field, lease_lost
from lrsearch.events import append_event
from lrsearch.fence import fenced, locked, running_trial, work_of, works_of
from lrsearch.jobs import cancel_trials, end_job, request_of, settle_reservation
from lrsearch.metrics import EXPIRIES, count_trial, once_committed
from lrsearch.probes import finish_probe, give_up_probe
from lrsearch.search.budget import Cut
from lrsearch.search.elimination import doomed
from lrsearch.search.pruning import should_prune
from lrsearch.search.winner import Contestant, Decision, decide
from lrsearch.settings import Settings
from lrsearch.tasks import known_task
from lrsearch.trial_logs import note_lines
from lrsearch.trials import (
    curves_of,
    forget_checkpoint,
    forget_epochs,
    record_epochs,
    tell_ledger,
    trials_of,
)


def heartbeat(
    session: Session, lease_id: str, token: str, beat: Heartbeat, settings: Settings
) -> HeartbeatReply:
    """Keep a lease alive, record epochs, and say what to do with each piece of its work.

    Raises:
        ConflictError: the lease is not the worker's any more, code `lease_lost`.
    """
    lease, job = fenced(session, lease_id, token, also=("cancelled",))
    works = works_of(session, lease)
    if lease.state == "cancelled":
        return HeartbeatReply(
            directives=dict.fromkeys((w.id for w in works), "cancel"), val_top1_to_beat=None
        )
    now = database_now(session)
    lease.expires_at = now + timedelta(seconds=settings.lease_seconds)
    session.get_one(WorkerRow, lease.worker_id).seen_at = now
    directives: dict[str, Directive] = {
        work.id: "continue" for work in works if work.state == "leased"
    }
    if job is None:
        return HeartbeatReply(directives=directives, val_top1_to_beat=None)
    _record(session, job, beat, directives)
    for log in beat.logs:
        if log.work_id in directives and (trial := session.get(TrialRow, log.work_id)):
            note_lines(session, lease, trial, log.lines)
    cuts = cuts_of(session, job)
    for work_id in directives:
        directives[work_id] = "pause" if job.paused else _directive(session, job, work_id, cuts)
    recommends = request_of(job).strategy == "recommend"  # where the winner is not the highest
    return HeartbeatReply(
        directives=directives, val_top1_to_beat=None if recommends else job.best_val_top1
    )


def note_upload(
    session: Session, lease_id: str, token: str, work_id: str, weights_sha256: str
) -> None:
    """Remember weights that arrived under a lease, so that its report can link them.

    Raises:
        ConflictError: the lease is lost, or the work is reported already.
    """
    lease, _ = fenced(session, lease_id, token)
    running_trial(session, lease, work_id).upload_sha256 = weights_sha256


def report_work(
    session: Session, lease_id: str, token: str, work_id: str, report: Report
) -> ReportReply:
    """Take what came of a piece of work, once.

    The same report again gets the same reply, another one is refused.

    Raises:
        ConflictError: code `lease_lost`, or `report_conflict`.
        InvalidError: the report does not fit the work.
    """
    lease, job = fenced(session, lease_id, token, also=("done",))
    work = work_of(session, lease, work_id)
    digest = sha256(report.model_dump_json().encode()).hexdigest()
    if work.report_sha256 is not None:
        if work.report_sha256 != digest:
            raise ConflictError(
                detail=f"Work {work_id} was reported already, with another report.",
                remedy="The first report stands.",
                code="report_conflict",
            )
        return ReportReply()
    if work.state != "leased":
        raise lease_lost("the work was taken back")
    work.state, work.report_sha256 = "done", digest
    match (work.kind, report):
        case ("trial", TrialReport()):
            assert job is not None
            note_lines(session, lease, session.get_one(TrialRow, work.id), report.log)
            _finish_trial(session, job, work, report)
        case ("probe", ProbeReport()):
            assert job is not None
            finish_probe(session, job, report)
        case ("final", FinalReport()):
            assert job is not None
            complete(session, job, report)
        case ("check_model", CheckModelReport()):
            source_model = session.get_one(SourceModelRow, work.id)
            source_model.state = "ready" if report.accepted else "rejected"
            source_model.reason = report.reason
        case (_, FailedReport()):
            _give_up(session, job, work, report.reason)
        case _:
            raise invalid_field(
                "kind", f"{work.kind!r} work wants a report of its kind", report.kind
            )
    session.flush()
    if all(other.state == "done" for other in works_of(session, lease)):
        lease.state = "done"
    return ReportReply()


def release_lease(session: Session, lease_id: str, token: str) -> None:
    """Hand back what is not reported; the attempt is not counted."""
    lease, job = fenced(session, lease_id, token)
    lease.state = "released"
    paused = job is not None and job.paused
    reason = "the job was paused" if paused else "the worker was stopped and handed it back"
    for work in works_of(session, lease):
        if work.state == "leased":
            work.attempts -= 1
            _put_back(session, job, work, reason)
    go_on(session, job)


def expire_leases(session: Session, settings: Settings) -> int:
    """Put back the work of leases that were not kept alive; returns how many."""
    ids = session.scalars(
        select(LeaseRow.id)
        .where(LeaseRow.state == "active", LeaseRow.expires_at < database_now(session))
        .order_by(LeaseRow.job_id, LeaseRow.id)  # all replicas lock jobs in this order
    ).all()
    # In contexts of their own: what is said of one in the log is not said of the next.
    return sum(copy_context().run(_expire, session, lease_id, settings) for lease_id in ids)


def _expire(session: Session, lease_id: str, settings: Settings) -> bool:
    lease, job = locked(session, lease_id)
    if lease.state != "active" or lease.expires_at >= database_now(session):
        return False
    lease.state = "expired"
    once_committed(session, EXPIRIES)
    worker = session.get_one(WorkerRow, lease.worker_id).name
    for work in works_of(session, lease):
        if work.state != "leased":
            continue
        lost = f"worker {worker} was not heard of for {settings.lease_seconds:g} s"
        if work.attempts < settings.max_attempts:
            reason = f"attempt {work.attempts} of {settings.max_attempts} was lost: {lost}"
            _put_back(session, job, work, reason)
        else:
            work.state = "done"
            _give_up(session, job, work, f"lost {work.attempts} times; the last time {lost}")
    go_on(session, job)
    return True


def _record(
    session: Session, job: JobRow, beat: Heartbeat, directives: dict[str, Directive]
) -> None:
    epochs = request_of(job).recipe.epochs
    curves: dict[str, list[EpochMetrics]] = defaultdict(list)
    for epoch in beat.epochs:
        if epoch.work_id not in directives:
            continue  # reported meanwhile; the report held its whole curve
        if epoch.metrics.epoch > epochs:
            raise invalid_field("epochs", f"the recipe has {epochs} epochs", epoch.metrics.epoch)
        curves[epoch.work_id].append(epoch.metrics)
    for work_id, curve in curves.items():
        trial = session.get(TrialRow, work_id)
        if trial is None:
            raise invalid_field("epochs", "this work is no trial and has none", work_id)
        _tell_epochs(session, job, trial, curve)


def _tell_epochs(session: Session, job: JobRow, trial: TrialRow, curve: list[EpochMetrics]) -> None:
    """Record epochs, and tell of those that are new."""
    epochs = request_of(job).recipe.epochs
    for metrics in record_epochs(session, trial, curve):
        append_event(
            session, job, EpochFinished(trial=trial.number, epochs=epochs, metrics=metrics)
        )


def _directive(session: Session, job: JobRow, work_id: str, cuts: dict[int, Cut]) -> Directive:
    trial = session.get(TrialRow, work_id)
    if trial is None or trial.baseline:
        return "continue"
    if trial.number in cuts:
        return cuts[trial.number].directive
    if trial.replicate:
        return "continue"
    if _target_reached(job) is not None:
        return "cancel"
    if (reason := _pruning_reason(session, job, trial)) is None:
        return "continue"
    trial.reason = reason  # kept: when the report comes, its rivals have gone on
    return "prune"


def _target_reached(job: JobRow) -> float | None:
    """The target accuracy, if there is one and it is reached."""
    target = request_of(job).budget.target_accuracy
    return target if target is not None and (job.best_val_top1 or 0.0) >= target else None


def go_on(session: Session, job: JobRow | None) -> None:
    """What follows when trials have ended or wait again."""
    if job is None:
        return
    target = _target_reached(job)
    if target is not None:
        cancel_trials(session, job, f"the target accuracy {target:g} was reached", running=False)
    session.flush()
    advance(session, job)


def _pruning_reason(session: Session, job: JobRow, trial: TrialRow) -> str | None:
    request = request_of(job)
    if request.strategy == "recommend" and (reason := _elimination_reason(session, job, trial)):
        return reason
    if request.pruning == "none":
        return None
    trials = [t for t in trials_of(session, job) if not t.baseline]
    curves = {
        trial_id: [metrics.val_top1 for metrics in curve]
        for trial_id, curve in curves_of(session, trials).items()
    }
    others = [curve for trial_id, curve in curves.items() if trial_id != trial.id]
    return should_prune(request.pruning, curves.get(trial.id, []), others, request.recipe.epochs)


def _elimination_reason(session: Session, job: JobRow, trial: TrialRow) -> str | None:
    """Why a trial of strategy `recommend` should give way to another, or None."""
    task = known_task(session, job, curves=True)
    searched = {each.number: each for each in task.finetunes if each.number > 0}
    finetune = searched.pop(trial.number)
    return doomed(finetune, list(searched.values()), task)


def _finish_trial(session: Session, job: JobRow, work: WorkRow, report: TrialReport) -> None:
    trial = session.get_one(TrialRow, work.id)
    recipe = request_of(job).recipe
    _check_curve(report, recipe.epochs)
    cut = cuts_of(session, job).get(trial.number)
    forget_epochs(session, trial, after=len(report.curve))
    _tell_epochs(session, job, trial, report.curve)  # it may overtake the last heartbeat
    settle_reservation(session, job, trial, len(report.curve))
    forget_checkpoint(trial)
    told = trial.reason
    trial.state, trial.reason = report.outcome, report.reason
    if report.outcome in ("pruned", "cancelled") and cut is not None:
        trial.reason = cut.reason
    elif report.outcome == "pruned" and not report.reason:
        trial.reason = told or _pruning_reason(session, job, trial)
    trial.seconds, trial.finished_at = report.seconds, database_now(session)
    count_trial(session, report.outcome, report.seconds, baseline=trial.baseline)
    job.seconds_spent += report.seconds
    job.trials_finished += 1
    decision = _score(session, job, trial, work, report) if trial.state == "complete" else None
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
    go_on(session, job)


def _check_curve(report: TrialReport, epochs: int) -> None:
    numbers = [metrics.epoch for metrics in report.curve]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > epochs:
        raise invalid_field("curve", f"wants epochs 1, 2, … up to {epochs}, each once", numbers)
    if report.outcome == "complete" and len(numbers) != epochs:
        raise invalid_field(
            "curve", f"a complete trial has all {epochs} epochs of the recipe", len(numbers)
        )


def _score(
    session: Session, job: JobRow, trial: TrialRow, work: WorkRow, report: TrialReport
) -> Decision | None:
    """Note a complete trial's accuracy; keep its weights if they are the best so far or baseline's.

    Returns:
        Whether it is the best so far; None for the confirmation, which cannot be.
    """
    last = report.curve[-1]
    trial.val_top1, trial.val_loss = last.val_top1, last.val_loss
    if trial.replicate:  # confirms the winner, whose weights stay
        return None
    former = session.scalar(
        select(TrialRow).where(TrialRow.job_id == job.id, TrialRow.number == job.best_trial)
    )
    task = known_task(session, job) if request_of(job).strategy == "recommend" else None
    decision = decide(_contestant(trial), _contestant(former) if former else None, task)
    if decision.leads or trial.baseline:
        if report.weights_sha256 is None or report.weights_sha256 != work.upload_sha256:
            raise invalid_field(
                "weights_sha256",
                "must name the weights uploaded for this trial under this lease: they are the "
                "best so far, or the baseline's",
                report.weights_sha256,
                code="weights_missing",
            )
        trial.weights_sha256 = report.weights_sha256
    if decision.leads:
        if former is not None and not former.baseline:
            former.weights_sha256 = None
        job.best_trial, job.best_val_top1 = trial.number, last.val_top1
    job.best_expected_top1 = decision.best_expected_top1
    return decision


def _contestant(trial: TrialRow) -> Contestant:
    assert trial.val_top1 is not None
    assert trial.val_loss is not None
    return Contestant(StageRates.model_validate(trial.rates), trial.val_top1, trial.val_loss)


def _put_back(session: Session, job: JobRow | None, work: WorkRow, reason: str) -> None:
    work.state, work.reason, work.lease_id = "waiting", reason, None
    work.waits_since = database_now(session)
    if job is None or work.kind != "trial":
        return
    trial = session.get_one(TrialRow, work.id)
    kept = trial.checkpoint_epochs or 0
    forget_epochs(session, trial, after=kept)
    trial.state = "waiting"
    append_event(session, job, TrialPutBack(trial=trial.number, reason=reason, epochs_kept=kept))


def _give_up(session: Session, job: JobRow | None, work: WorkRow, reason: str) -> None:
    """The work cannot be done."""
    if work.kind == "trial":
        assert job is not None
        _finish_trial(
            session,
            job,
            work,
            TrialReport(outcome="failed", reason=reason, curve=[], seconds=0.0),
        )
    elif work.kind == "probe":
        assert job is not None
        give_up_probe(session, job, reason)
    elif work.kind == "final":
        assert job is not None
        end_job(session, job, "failed", f"the final test could not be run: {reason}")
    else:
        source_model = session.get_one(SourceModelRow, work.id)
        source_model.state, source_model.reason = "rejected", reason

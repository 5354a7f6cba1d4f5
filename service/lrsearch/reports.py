"""Reports: what came of a piece of work is taken once, and the job goes on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.advance import complete, go_on
from lrsearch.contract.events import TrialFinished
from lrsearch.contract.leases import (
    CheckModelReport,
    FailedReport,
    FinalReport,
    ProbeReport,
    Report,
    ReportReply,
    TrialReport,
)
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics
from lrsearch.cuts import cuts_of
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import JobRow, LeaseRow, SourceModelRow, TrialRow, WorkRow
from lrsearch.errors import ConflictError, LRSearchError, invalid_field, lease_lost
from lrsearch.events import append_event
from lrsearch.fence import Held, admitted, fenced, locked
from lrsearch.jobs import end_job, request_of, settle_reservation
from lrsearch.metrics import count_trial
from lrsearch.probes import finish_probe, give_up_probe
from lrsearch.pruning import pruning_reason
from lrsearch.search.winner import Contestant, Decision, decide
from lrsearch.tasks import known_task
from lrsearch.trial_logs import note_lines
from lrsearch.trials import curves_of, forget_checkpoint, forget_epochs, record_epochs, tell_ledger


def note_upload(
    session: Session, lease_id: str, token: str, work_id: str, weights_sha256: str
) -> None:
    """Remember weights that arrived under a lease, so that its report can link them.

    Raises:
        ConflictError: the lease is lost, or the work is reported already.
    """
    work, _ = fenced(session, lease_id, token).running_trial(work_id)
    work.upload_sha256 = weights_sha256


@dataclass(frozen=True)
class Sent:
    """A report as it came in."""

    lease_id: str
    token: str
    work_id: str
    report: Report
    context: Context = field(default_factory=copy_context)
    """What lines in the log are to say of it."""


Curves = Mapping[str, list[EpochMetrics]]
"""What is recorded of trials, by id; empty or left out for a trial without epochs."""

Answer = ReportReply | LRSearchError


def take_reports(database: Database, sent: Sequence[Sent]) -> list[Answer]:
    """What each report is answered: a reply, or the error with which it is refused.

    Those on one job are taken in one transaction, unless one of them is refused.
    """
    answers: dict[int, Answer] = {}
    for numbers in _by_job(database, sent):
        try:
            with database.write() as session:
                replies = report_together(session, [sent[number] for number in numbers])
            answers.update(zip(numbers, replies, strict=True))
        except LRSearchError as error:
            if len(numbers) == 1:
                answers[numbers[0]] = error
            else:
                alone = [take_reports(database, [sent[number]])[0] for number in numbers]
                answers.update(zip(numbers, alone, strict=True))
    return [answers[number] for number in range(len(sent))]


def report_together(session: Session, sent: Sequence[Sent]) -> list[ReportReply]:
    """Take what came of pieces of work of one job, once each.

    The same report again gets the same reply, another one is refused.

    Raises:
        ConflictError: code `lease_lost`, or `report_conflict`.
        InvalidError: a report does not fit its work.
    """
    found = locked(session, list({each.lease_id for each in sent}))
    work_ids = {each.work_id for each in sent}
    trials = [t for held in found.values() for t in held.trials.values() if t.id in work_ids]
    curves = curves_of(session, trials) if trials else {}
    replies = [each.context.run(_report, session, found, curves, each) for each in sent]
    if (job := next(iter(found.values())).job) is not None:
        sent[-1].context.run(go_on, session, job)
    return replies


def _by_job(database: Database, sent: Sequence[Sent]) -> list[list[int]]:
    """Numbers of the reports of each job; those that belong to none are alone."""
    if len(sent) == 1:
        return [[0]]
    with database.read() as session:
        leases = select(LeaseRow.id, LeaseRow.job_id).where(
            LeaseRow.id.in_({each.lease_id for each in sent})
        )
        jobs = dict(session.execute(leases).all())
    together: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(sent):
        together[jobs.get(each.lease_id) or f"report {number}"].append(number)
    return list(together.values())


def _report(session: Session, found: Mapping[str, Held], curves: Curves, sent: Sent) -> ReportReply:
    held = admitted(found, sent.lease_id, sent.token, also=("done",))
    work, report = held.work(sent.work_id), sent.report
    digest = sha256(report.model_dump_json().encode()).hexdigest()
    if work.report_sha256 is not None:
        if work.report_sha256 != digest:
            raise ConflictError(
                detail=f"Work {work.id} was reported already, with another report.",
                remedy="The first report stands.",
                code="report_conflict",
            )
        return ReportReply()
    if work.state != "leased":
        raise lease_lost("the work was taken back")
    work.state, work.report_sha256 = "done", digest
    if all(other.state == "done" for other in held.works.values()):
        held.lease.state = "done"
    if isinstance(report, FailedReport):
        give_up(session, held, work, report.reason)
    else:
        _take(session, held, work, report, curves)
    return ReportReply()


def give_up(session: Session, held: Held, work: WorkRow, reason: str) -> None:
    """A piece of work cannot be done."""
    job = held.job
    if job is None:
        source_model = session.get_one(SourceModelRow, work.id)
        source_model.state, source_model.reason = "rejected", reason
    elif work.kind == "trial":
        failed = TrialReport(outcome="failed", reason=reason, curve=[], seconds=0.0)
        trial = held.trials[work.id]
        _finish_trial(session, job, work, trial, failed, curves_of(session, [trial]))
    elif work.kind == "probe":
        give_up_probe(session, job, reason)
    else:
        end_job(session, job, "failed", f"the final test could not be run: {reason}")


def _take(
    session: Session,
    held: Held,
    work: WorkRow,
    report: TrialReport | ProbeReport | FinalReport | CheckModelReport,
    curves: Curves,
) -> None:
    match (held.job, work.kind, report):
        case (JobRow() as job, "trial", TrialReport()):
            trial = held.trials[work.id]
            note_lines(session, held.lease, trial, report.log)
            _finish_trial(session, job, work, trial, report, curves)
        case (JobRow() as job, "probe", ProbeReport()):
            finish_probe(session, job, report)
        case (JobRow() as job, "final", FinalReport()):
            complete(session, job, report)
        case (None, "check_model", CheckModelReport()):
            source_model = session.get_one(SourceModelRow, work.id)
            source_model.state = "ready" if report.accepted else "rejected"
            source_model.reason = report.reason
        case _:
            raise invalid_field(
                "kind", f"{work.kind!r} work wants a report of its kind", report.kind
            )


def _finish_trial(
    session: Session,
    job: JobRow,
    work: WorkRow,
    trial: TrialRow,
    report: TrialReport,
    curves: Curves,
) -> None:
    recipe = request_of(job).recipe
    _check_curve(report, recipe.epochs)
    cut = cuts_of(session, job).get(trial.number)
    known = curves.get(trial.id, [])
    if len(known) > len(report.curve):
        forget_epochs(session, trial, after=len(report.curve))
    # It may overtake the last heartbeat.
    record_epochs(session, job, trial, known, report.curve, recipe.epochs)
    settle_reservation(session, job, trial, len(report.curve))
    forget_checkpoint(trial)
    told = trial.reason
    trial.state, trial.reason = report.outcome, report.reason
    if report.outcome in ("pruned", "cancelled") and cut is not None:
        trial.reason = cut.reason
    elif report.outcome == "pruned" and not report.reason:
        trial.reason = told or pruning_reason(session, job, trial)
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
    former = _best_of(session, job)
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


def _best_of(session: Session, job: JobRow) -> TrialRow | None:
    if job.best_trial is None:
        return None
    return session.scalar(
        select(TrialRow)
        .where(TrialRow.job_id == job.id, TrialRow.number == job.best_trial)
        .execution_options(autoflush=False)  # what it has changed is here already
    )


def _contestant(trial: TrialRow) -> Contestant:
    assert trial.val_top1 is not None
    assert trial.val_loss is not None
    return Contestant(StageRates.model_validate(trial.rates), trial.val_top1, trial.val_loss)

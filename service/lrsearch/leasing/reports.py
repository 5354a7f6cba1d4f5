"""Reports: what came of a piece of work is taken once, and the job goes on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from lrsearch.contract.leases import (
    CheckModelReport,
    FailedReport,
    FinalReport,
    ProbeReport,
    Report,
    ReportReply,
    TrialReport,
)
from lrsearch.db.engine import AWAY, Database, waited_in_vain
from lrsearch.db.tables import JobRow, LeaseRow, SourceModelRow, WorkRow
from lrsearch.errors import ConflictError, LRSearchError, invalid_field, lease_lost
from lrsearch.jobs.advance import complete, go_on
from lrsearch.jobs.endings import end_job
from lrsearch.jobs.probes import finish_probe, give_up_probe
from lrsearch.jobs.trials import curves_of
from lrsearch.leasing.fence import Held, admitted, fenced, locked
from lrsearch.leasing.trial_logs import note_lines
from lrsearch.leasing.trial_reports import TrialReports
from lrsearch.store import Blob


def note_upload(session: Session, lease_id: str, token: str, work_id: str, weights: Blob) -> None:
    """Remember weights that arrived under a lease, so that its report can link them.

    Raises:
        ConflictError: the lease is lost, or the work is reported already.
    """
    work, trial = fenced(session, lease_id, token).running_trial(work_id)
    work.upload_sha256, trial.weights_bytes = weights.sha256, weights.size_bytes


@dataclass(frozen=True)
class Sent:
    """A report as it came in."""

    lease_id: str
    token: str
    work_id: str
    report: Report
    context: Context = field(default_factory=copy_context)
    """What lines in the log are to say of it."""


Answer = ReportReply | Exception


def take_reports(database: Database, sent: Sequence[Sent]) -> list[Answer]:
    """What each report is answered: a reply, or the error with which it is refused.

    Those on one job are taken in one transaction. What is wrong with one, as a character that the
    database cannot keep, harms none of the others.

    Raises:
        SQLAlchemyError: The database is away. What was taken by then stands, and gets the same
            reply again.
    """
    answers: dict[int, Answer] = {}
    for numbers in _by_job(database, sent):
        answers.update(zip(numbers, _take_jobs(database, [sent[n] for n in numbers]), strict=True))
    return [answers[number] for number in range(len(sent))]


def _take_jobs(database: Database, sent: Sequence[Sent]) -> list[Answer]:
    """What each report on one job is answered."""
    try:
        with database.write() as session:
            return _take_together(session, sent)
    except AWAY as error:
        if waited_in_vain(error):  # for this job; there may be others
            return [error] * len(sent)
        raise
    except Exception as error:  # found out when something had changed already: none counts
        if len(sent) == 1:
            return [error]
        return [answer for each in sent for answer in _take_jobs(database, [each])]


def _by_job(database: Database, sent: Sequence[Sent]) -> list[list[int]]:
    """Numbers of the reports of each job; those that belong to none are alone."""
    if len(sent) == 1:
        return [[0]]
    leases = select(LeaseRow.id, LeaseRow.job_id).where(
        LeaseRow.id.in_({each.lease_id for each in sent})
    )
    try:
        with database.read() as session:
            jobs = dict(session.execute(leases).all())
    except DataError:  # one of these ids is none; which one, each will be told by itself
        jobs = {}
    together: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(sent):
        together[jobs.get(each.lease_id) or f"report {number}"].append(number)
    return list(together.values())


def _take_together(session: Session, sent: Sequence[Sent]) -> list[Answer]:
    found = locked(session, list({each.lease_id for each in sent}))
    job = next((held.job for held in found.values()), None)
    trials = None
    if job is not None:
        work_ids = {each.work_id for each in sent}
        reported = [
            trial
            for held in found.values()
            for trial in held.trials.values()
            if trial.id in work_ids
        ]
        trials = TrialReports(session, job, curves_of(session, reported) if reported else {})
    answers = [each.context.run(_take, session, found, trials, each) for each in sent]
    if job is not None:
        sent[-1].context.run(go_on, session, job)
    return answers


def _take(
    session: Session, found: Mapping[str, Held], trials: TrialReports | None, sent: Sent
) -> Answer:
    """Take one report; raises `LRSearchError` where it is refused after something has changed."""
    try:
        held = admitted(found, sent.lease_id, sent.token, also=("done",))
        work = held.work(sent.work_id)
        digest = sha256(sent.report.model_dump_json().encode()).hexdigest()
        if _is_repeated(work, digest):
            return ReportReply()
        if work.kind == "trial" and trials is not None and isinstance(sent.report, TrialReport):
            trials.require_fit(work, held.trials[work.id], sent.report)
    except LRSearchError as error:
        return error
    work.state, work.report_sha256 = "done", digest
    if all(other.state == "done" for other in held.works.values()):
        held.lease.state = "done"
    _apply(session, held, work, sent.report, trials)
    return ReportReply()


def _is_repeated(work: WorkRow, digest: str) -> bool:
    """Whether a report has come before; raises `ConflictError` where it may not come now."""
    if work.report_sha256 is not None:
        if work.report_sha256 != digest:
            raise ConflictError(
                detail=f"Work {work.id} was reported already, with another report.",
                remedy="The first report stands.",
                code="report_conflict",
            )
        return True
    if work.state != "leased":
        raise lease_lost("the work was taken back")
    return False


def _apply(
    session: Session, held: Held, work: WorkRow, report: Report, trials: TrialReports | None
) -> None:
    match (held.job, work.kind, report):
        case (_, _, FailedReport()):
            give_up(session, held, work, report.reason)
        case (JobRow(), "trial", TrialReport()):
            assert trials is not None
            trial = held.trials[work.id]
            note_lines(session, held.lease, trial, report.log)
            trials.finish(work, trial, report)
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


def give_up(session: Session, held: Held, work: WorkRow, reason: str) -> None:
    """A piece of work cannot be done."""
    job = held.job
    if job is None:
        source_model = session.get_one(SourceModelRow, work.id)
        source_model.state, source_model.reason = "rejected", reason
    elif work.kind == "trial":
        trial = held.trials[work.id]
        failed = TrialReport(outcome="failed", reason=reason, curve=[], seconds=0.0)
        TrialReports(session, job, curves_of(session, [trial])).finish(work, trial, failed)
    elif work.kind == "probe":
        give_up_probe(session, job, reason)
    else:
        end_job(session, job, "failed", f"the final test could not be run: {reason}")

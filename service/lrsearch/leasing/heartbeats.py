"""Heartbeats: a lease is kept alive, epochs come in, and the worker hears how to go on."""

from collections import defaultdict
from datetime import timedelta

from sqlalchemy.orm import Session

from lrsearch.contract.leases import Directive, Heartbeat, HeartbeatReply
from lrsearch.contract.trials import EpochMetrics
from lrsearch.db.engine import database_now
from lrsearch.db.tables import JobRow, TrialRow
from lrsearch.errors import invalid_field
from lrsearch.jobs.advance import target_reached
from lrsearch.jobs.cuts import cuts_of
from lrsearch.jobs.pruning import pruning_reason
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.trials import curves_of, record_epochs
from lrsearch.leasing.fence import Held, fenced
from lrsearch.leasing.trial_logs import note_lines
from lrsearch.leasing.workers import note_seen
from lrsearch.search.budget import Cut
from lrsearch.settings import Settings


def heartbeat(
    session: Session, lease_id: str, token: str, beat: Heartbeat, settings: Settings
) -> HeartbeatReply:
    """Keep a lease alive, record epochs, and say what to do with each piece of its work.

    Raises:
        ConflictError: the lease is not the worker's any more, code `lease_lost`.
    """
    held = fenced(session, lease_id, token, also=("cancelled",))
    lease, job = held.lease, held.job
    if lease.state == "cancelled":
        return HeartbeatReply(directives=dict.fromkeys(held.works, "cancel"), val_top1_to_beat=None)
    now = database_now(session)
    lease.expires_at = now + timedelta(seconds=settings.lease_seconds)
    note_seen(session, lease.worker_id, now)
    directives: dict[str, Directive] = {work.id: "continue" for work in held.running}
    if job is None:
        return HeartbeatReply(directives=directives, val_top1_to_beat=None)
    _record(session, held, job, beat, directives)
    for log in beat.logs:
        if log.work_id in directives and (trial := held.trials.get(log.work_id)):
            note_lines(session, lease, trial, log.lines)
    cuts = cuts_of(session, job)
    for work_id in directives:
        directives[work_id] = (
            "pause" if job.paused else _directive(session, job, held.trials.get(work_id), cuts)
        )
    recommends = request_of(job).strategy == "recommend"  # where the winner is not the highest
    return HeartbeatReply(
        directives=directives, val_top1_to_beat=None if recommends else job.best_val_top1
    )


def _record(
    session: Session, held: Held, job: JobRow, beat: Heartbeat, directives: dict[str, Directive]
) -> None:
    epochs = request_of(job).recipe.epochs
    curves: dict[str, list[EpochMetrics]] = defaultdict(list)
    for epoch in beat.epochs:
        if epoch.work_id not in directives:
            continue  # reported meanwhile; the report held its whole curve
        if epoch.metrics.epoch > epochs:
            raise invalid_field("epochs", f"the recipe has {epochs} epochs", epoch.metrics.epoch)
        curves[epoch.work_id].append(epoch.metrics)
    if no_trials := curves.keys() - held.trials.keys():
        raise invalid_field("epochs", "this work is no trial and has none", min(no_trials))
    known = curves_of(session, map(held.trials.__getitem__, curves)) if curves else {}
    for work_id, curve in curves.items():
        record_epochs(session, job, held.trials[work_id], known.get(work_id, []), curve, epochs)


def _directive(
    session: Session, job: JobRow, trial: TrialRow | None, cuts: dict[int, Cut]
) -> Directive:
    if trial is None or trial.baseline:
        return "continue"
    if trial.number in cuts:
        return cuts[trial.number].directive
    if trial.replicate:
        return "continue"
    if target_reached(job) is not None:
        return "cancel"
    if (reason := pruning_reason(session, job, trial)) is None:
        return "continue"
    trial.reason = reason  # kept: when the report comes, its rivals have gone on
    return "prune"

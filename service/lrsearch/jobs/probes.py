"""Probes: a job's cheap look at its task, which no trial waits for."""

import structlog
from sqlalchemy.orm import Session

from lrsearch.contract.events import ProbeFinished
from lrsearch.contract.leases import ProbeReport
from lrsearch.contract.probes import Probe
from lrsearch.db.tables import JobRow, WorkRow
from lrsearch.ids import new_id
from lrsearch.jobs.events import append_event

log = structlog.get_logger(__name__)


def add_probe(session: Session, job: JobRow) -> None:
    """Have the task of a new job probed."""
    session.add(WorkRow(id=new_id(), kind="probe", job_id=job.id, state="waiting", attempts=0))


def finish_probe(session: Session, job: JobRow, report: ProbeReport) -> None:
    """Keep what the probe has found with its job."""
    job.probe = report.probe.model_dump(mode="json")
    append_event(session, job, ProbeFinished(probe=report.probe, reason=None))


def give_up_probe(session: Session, job: JobRow, reason: str) -> None:
    """The probe cannot be made; the job goes on without."""
    log.warning("probe failed", job=job.id, reason=reason)
    append_event(session, job, ProbeFinished(probe=None, reason=reason))


def probe_of(job: JobRow) -> Probe | None:
    """What the probe has found, once it has."""
    return None if job.probe is None else Probe.model_validate(job.probe)

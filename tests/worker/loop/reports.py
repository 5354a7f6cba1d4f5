"""What the worker has reported."""

from lrsearch.contract.leases import TrialReport, TrialWork
from tests.worker.loop.fake_service import FakeService


def report_of(service: FakeService, work: TrialWork) -> TrialReport:
    """The report of a trial, once it is there."""
    service.wait_until(lambda: work.id in service.reports)
    report = service.reports[work.id]
    assert isinstance(report, TrialReport)
    return report


def numbers(report: TrialReport) -> list[tuple[float, ...]]:
    """A curve without what depends on the clock."""
    return [(m.epoch, m.train_loss, m.val_loss, m.val_top1) for m in report.curve]

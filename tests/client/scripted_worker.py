"""A worker that finetunes nothing: it pulls leases as a real one does and makes its scores up."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import httpx

from lrsearch.contract.leases import (
    LEASE_TOKEN_HEADER,
    CheckModelReport,
    CheckModelWork,
    Claim,
    Epoch,
    FinalReport,
    FinalWork,
    Heartbeat,
    Lease,
    ProbeReport,
    ProbeWork,
    Report,
    TestScore,
    TrialReport,
    TrialWork,
)
from lrsearch.contract.logs import LogLine, WorkLog
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics
from lrsearch.contract.workers import Device, Worker, WorkerRegistration
from tests.probes import a_probe


def accuracy_of(rates: StageRates) -> float:
    """A made-up validation top-1: best where the head learns at 0.04 (scale 2.5)."""
    return max(0.9 - abs(rates.head - 0.04) * 5, 0.1)


class ScriptedWorker:
    """Works in a thread of its own while its `with` block runs.

    Args:
        url: Of the service.
        accuracy: What a trial validates at; None diverges.
        test_images: Of the job's test split.
    """

    def __init__(
        self,
        url: str,
        accuracy: Callable[[StageRates], float | None] = accuracy_of,
        test_images: int = 32,
    ) -> None:
        self._test_images = test_images
        self._http = httpx.Client(base_url=url, timeout=30.0)
        self._accuracy = accuracy
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._http.close()

    def _work(self) -> None:
        registration = WorkerRegistration(
            name="scripted", device=Device(kind="cpu", name="made up"), versions={"lrsearch": "0"}
        )
        reply = self._post("/v1/workers", registration.model_dump_json())
        worker = Worker.model_validate_json(reply.content)
        claim = Claim(worker_id=worker.id, max_trials=4, wait_seconds=0.2).model_dump_json()
        while not self._stop.is_set():
            reply = self._post("/v1/leases", claim)
            if reply.status_code == httpx.codes.OK:
                self._do(Lease.model_validate_json(reply.content))

    def _do(self, lease: Lease) -> None:
        headers = {LEASE_TOKEN_HEADER: lease.token}
        for work in lease.work:
            path = f"/v1/leases/{lease.id}/work/{work.id}"
            report: Report
            match work:
                case TrialWork():
                    report = self._finetune(lease, work, path, headers)
                case ProbeWork():
                    report = ProbeReport(probe=a_probe())
                case FinalWork():
                    report = _final_report(work, self._test_images)
                case CheckModelWork():
                    report = CheckModelReport(accepted=True)
            self._post(f"{path}/report", report.model_dump_json(), headers)

    def _finetune(
        self, lease: Lease, work: TrialWork, path: str, headers: dict[str, str]
    ) -> TrialReport:
        accuracy = self._accuracy(work.rates)
        if accuracy is None:
            return TrialReport(outcome="diverged", reason="the loss was NaN", curve=[], seconds=0.1)
        assert lease.task is not None
        epochs = lease.task.recipe.epochs
        curve = [
            EpochMetrics(
                epoch=epoch,
                train_loss=1.0 / epoch,
                val_loss=1.0 - accuracy,
                val_top1=accuracy * epoch / epochs,
                seconds=0.1,
            )
            for epoch in range(1, epochs + 1)
        ]
        lines = [
            LogLine(
                number=metrics.epoch,
                at=datetime.now(UTC),
                level="info",
                text=f"epoch {metrics.epoch} of trial {work.number}",
            )
            for metrics in curve
        ]
        beat = Heartbeat(
            epochs=[Epoch(work_id=work.id, metrics=metrics) for metrics in curve],
            logs=[WorkLog(work_id=work.id, lines=lines)],
        )
        self._post(f"/v1/leases/{lease.id}/heartbeat", beat.model_dump_json(), headers)
        content = f"weights of trial {work.number}".encode()
        uploaded = self._http.put(f"{path}/weights", content=content, headers=headers)
        uploaded.raise_for_status()
        return TrialReport(
            outcome="complete",
            curve=curve,
            seconds=0.1 * epochs,
            weights_sha256=uploaded.json()["sha256"],
        )

    def _post(self, path: str, body: str, headers: dict[str, str] | None = None) -> httpx.Response:
        headers = {**(headers or {}), "Content-Type": "application/json"}
        return self._http.post(path, content=body, headers=headers).raise_for_status()


def _final_report(work: FinalWork, images: int) -> FinalReport:
    return FinalReport(
        winner=TestScore(images=images, correct=24, loss=0.6),
        baseline=TestScore(images=images, correct=16, loss=1.2) if work.baseline_weights else None,
        only_winner_correct=10,
        only_baseline_correct=2,
        seconds=0.5,
    )

"""A worker that speaks the protocol of leases step by step, and makes its scores up."""

from typing import Any

import httpx
from pydantic import BaseModel

from lrsearch.contract.leases import (
    LEASE_TOKEN_HEADER,
    CheckModelReport,
    CheckModelWork,
    Epoch,
    FinalReport,
    FinalWork,
    Heartbeat,
    HeartbeatReply,
    Lease,
    ProbeReport,
    ProbeWork,
    Report,
    TestScore,
    TrialReport,
    TrialWork,
    UploadReply,
    Work,
)
from lrsearch.contract.trials import EpochMetrics
from lrsearch.contract.workers import Worker
from tests.api.samples import weights
from tests.probes import a_probe


class FakeWorker:
    """Registered with the service on which its client is."""

    def __init__(self, http: httpx.Client, name: str = "fake") -> None:
        self._http = http
        device = {"kind": "cpu", "name": "made up", "memory_bytes": 2**30}
        registered = http.post("/v1/workers", json={"name": name, "device": device})
        assert registered.status_code == 201, registered.text
        self.worker = Worker.model_validate_json(registered.content)

    def ask(self, max_trials: int = 1, wait_seconds: float = 0.0) -> httpx.Response:
        """The answer to a claim."""
        return self._http.post(
            "/v1/leases",
            json={
                "worker_id": self.worker.id,
                "max_trials": max_trials,
                "wait_seconds": wait_seconds,
            },
        )

    def claim(self, max_trials: int = 1) -> Lease:
        """A lease, which the test knows that there is."""
        answer = self.ask(max_trials)
        assert answer.status_code == 200, answer.text
        return Lease.model_validate_json(answer.content)

    def beat(self, lease: Lease, *epochs: Epoch) -> HeartbeatReply:
        """A heartbeat."""
        answer = self._post(lease, "/heartbeat", Heartbeat(epochs=list(epochs)))
        assert answer.status_code == 200, answer.text
        return HeartbeatReply.model_validate_json(answer.content)

    def upload(self, lease: Lease, work: Work, content: bytes) -> UploadReply:
        """Upload weights."""
        answer = self._http.put(
            f"/v1/leases/{lease.id}/work/{work.id}/weights",
            content=content,
            headers={LEASE_TOKEN_HEADER: lease.token},
        )
        assert answer.status_code == 200, answer.text
        return UploadReply.model_validate_json(answer.content)

    def report(self, lease: Lease, work: Work, report: Report) -> httpx.Response:
        """The answer to a report."""
        return self._post(lease, f"/work/{work.id}/report", report)

    def release(self, lease: Lease) -> httpx.Response:
        """The answer to handing the lease back."""
        return self._post(lease, "/release", None)

    def finetune(self, lease: Lease, work: Work, top1: float) -> TrialReport:
        """Run a trial to its end, as far as that is seen from outside, but for its report."""
        assert lease.task is not None
        assert isinstance(work, TrialWork)
        curve = learning_curve(top1, lease.task.recipe.epochs)
        self.beat(lease, *(Epoch(work_id=work.id, metrics=metrics) for metrics in curve))
        uploaded = self.upload(lease, work, weights(work.number))
        return TrialReport(
            outcome="complete", curve=curve, seconds=1.5, weights_sha256=uploaded.sha256
        )

    def work_off(self, top1s: dict[int, float]) -> None:
        """Do all that there is; trials get their accuracies by number, 0.5 where none is given."""
        while (answer := self.ask(max_trials=4)).status_code == 200:
            lease = Lease.model_validate_json(answer.content)
            for work in lease.work:
                match work:
                    case TrialWork():
                        report: Report = self.finetune(lease, work, top1s.get(work.number, 0.5))
                    case ProbeWork():
                        report = ProbeReport(probe=a_probe())
                    case FinalWork():
                        report = final_report(winner_correct=27, baseline_correct=15)
                    case CheckModelWork():
                        report = CheckModelReport(accepted=True)
                answer = self.report(lease, work, report)
                assert answer.status_code == 200, answer.text

    def _post(self, lease: Lease, path: str, body: BaseModel | None) -> httpx.Response:
        content: dict[str, Any] = {} if body is None else {"json": body.model_dump(mode="json")}
        headers = {LEASE_TOKEN_HEADER: lease.token}
        return self._http.post(f"/v1/leases/{lease.id}{path}", headers=headers, **content)


def learning_curve(top1: float, epochs: int) -> list[EpochMetrics]:
    """Epochs that end at an accuracy."""
    return [
        EpochMetrics(
            epoch=epoch,
            train_loss=1.0 / epoch,
            val_loss=1.0 - top1,
            val_top1=top1 * epoch / epochs,
            seconds=0.5,
        )
        for epoch in range(1, epochs + 1)
    ]


def final_report(winner_correct: int, baseline_correct: int, images: int = 30) -> FinalReport:
    """Scores on the test split, as if the winner had right whatever the baseline has."""
    return FinalReport(
        winner=TestScore(images=images, correct=winner_correct, loss=0.4),
        baseline=TestScore(images=images, correct=baseline_correct, loss=0.9),
        only_winner_correct=winner_correct - baseline_correct,
        only_baseline_correct=0,
        seconds=0.5,
    )

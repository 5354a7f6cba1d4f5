"""The final test, and the check of a registered model."""

import dataclasses
import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from io import BytesIO
from uuid import uuid4

import torch
from torch import Tensor

from lrsearch.contract.leases import (
    CheckModelReport,
    CheckModelWork,
    FailedReport,
    FinalReport,
    FinalWork,
    Task,
)
from lrsearch.contract.recipes import Recipe, Splits
from lrsearch.contract.sources import SourceSpec
from lrsearch_worker import weights
from lrsearch_worker.networks.build import build
from tests.worker.loop.conftest import StartWorker
from tests.worker.loop.fake_service import FakeService
from tests.worker.loop.samples import SPEC, Archive, source_model, task


def finalist(service: FakeService, labels: list[str], seed: int) -> str:
    """Content address of finetuned weights for `labels`, which guess at random."""
    spec = SPEC.model_copy(update={"labels": labels})
    state = build(spec.architecture, len(labels), seed).state_dict()
    state["head.weight"].mul_(100.0)  # so that they do not all guess the same
    content = weights.to_bytes(state, spec)
    address = hashlib.sha256(content).hexdigest()
    service.blobs[address] = content
    return address


def final_of(
    service: FakeService, of_task: Task, winner: str, baseline: str | None
) -> FinalReport | FailedReport:
    work = FinalWork(id=str(uuid4()), winner_weights=winner, baseline_weights=baseline)
    service.offer([work], of_task)
    service.wait_until(lambda: work.id in service.reports)
    report = service.reports[work.id]
    assert isinstance(report, FinalReport | FailedReport)
    return report


def labels_of(animals: Archive) -> list[str]:
    with zipfile.ZipFile(BytesIO(animals.content)) as archive:
        return sorted({name.partition("/")[0] for name in archive.namelist()})


def test_winner_and_baseline_are_tested_on_the_same_images(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    one, other = (finalist(service, labels_of(animals), seed) for seed in (1, 2))
    start_worker()
    of_task = task(service, animals)
    report = final_of(service, of_task, one, other)
    swapped = final_of(service, of_task, other, one)
    assert isinstance(report, FinalReport)
    assert isinstance(swapped, FinalReport)
    assert report.winner is not None
    assert report.baseline is not None
    assert report.winner.images == report.baseline.images == 12
    assert (report.winner, report.baseline) == (swapped.baseline, swapped.winner)
    gain = report.winner.correct - report.baseline.correct
    assert report.only_winner_correct - report.only_baseline_correct == gain
    assert report.only_winner_correct == swapped.only_baseline_correct > 0


def test_a_final_without_baseline_tests_the_winner(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    start_worker()
    winner = finalist(service, labels_of(animals), 1)
    report = final_of(service, task(service, animals), winner, None)
    assert isinstance(report, FinalReport)
    assert report.winner is not None
    assert report.baseline is None
    assert report.only_winner_correct == report.only_baseline_correct == 0


def test_without_test_images_there_are_no_scores(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    start_worker()
    winner = finalist(service, labels_of(animals), 1)
    no_test = Recipe(splits=Splits(validation=0.3, test=0.0))
    report = final_of(service, task(service, animals, no_test), winner, winner)
    assert isinstance(report, FinalReport)
    assert (report.winner, report.baseline) == (None, None)


def test_a_final_that_cannot_be_done_says_why(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    start_worker()
    winner = finalist(service, ["cat", "dog"], 1)
    report = final_of(service, task(service, animals), winner, None)
    assert isinstance(report, FailedReport)
    assert "labels" in report.reason


def state() -> dict[str, Tensor]:
    return dict(build(SPEC.architecture, labels=5, seed=1).state_dict())


def checked(service: FakeService, content: bytes) -> CheckModelReport:
    work = CheckModelWork(id=str(uuid4()), source_model=source_model(service, content))
    service.offer([work], None)
    service.wait_until(lambda: work.id in service.reports)
    report = service.reports[work.id]
    assert isinstance(report, CheckModelReport)
    return report


def rejection(service: FakeService, tensors: Mapping[str, Tensor], spec: SourceSpec = SPEC) -> str:
    report = checked(service, weights.to_bytes(tensors, spec))
    assert not report.accepted
    assert report.reason is not None
    return report.reason


def test_a_model_that_fits_is_accepted(service: FakeService, start_worker: StartWorker) -> None:
    start_worker()
    assert checked(service, weights.to_bytes(state(), SPEC)).accepted


def test_a_model_that_does_not_fit_is_rejected_with_its_tensors(
    service: FakeService, start_worker: StartWorker
) -> None:
    start_worker()
    tensors = state()
    del tensors["conv1.0.conv.weight"]
    assert "conv1.0.conv.weight" in rejection(service, tensors)
    assert "extra" in rejection(service, state() | {"extra": torch.zeros(1)})
    assert "conv1.0.conv.weight" in rejection(
        service, state() | {"conv1.0.conv.weight": torch.zeros(7)}
    )


def test_a_model_with_weights_that_are_not_finite_is_rejected(
    service: FakeService, start_worker: StartWorker
) -> None:
    start_worker()
    tensors = state()
    tensors["head.weight"][0, 0] = torch.nan
    reason = rejection(service, tensors)
    assert "not finite" in reason
    assert "head.weight" in reason


@dataclasses.dataclass
class _Bomb:
    """Sets the class's flag when it is unpickled."""

    went_off = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return setattr, (_Bomb, "went_off", True)


def test_a_pickle_is_rejected_unopened(service: FakeService, start_worker: StartWorker) -> None:
    start_worker()
    report = checked(service, pickle.dumps(_Bomb()))
    assert not report.accepted
    assert report.reason is not None
    assert "safetensors" in report.reason
    assert not _Bomb.went_off

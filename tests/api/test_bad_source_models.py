"""Checkpoints that cannot be used: told at the upload where possible, else by a worker's check."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from itertools import count

import pytest
from safetensors.numpy import save

from lrsearch.contract.leases import CheckModelReport, CheckModelWork, FailedReport
from tests.api.conftest import Json, problem
from tests.api.fake_worker import FakeWorker
from tests.api.samples import checkpoint, silhouettes, zip_of
from tests.api.serving import Api

_numbers = count()

MISMATCH = "head.weight has shape (2, 3); the network wants (10, 128)"


def refusal(api: Api, content: bytes) -> Json:
    """The problem of a checkpoint that is not taken at all."""
    name = f"refused-{next(_numbers)}"
    refused = problem(api.post("/v1/source-models", params={"name": name}, content=content), 422)
    problem(api.get(f"/v1/source-models/{name}"), 404, "source_model_unknown")
    (error,) = refused["errors"]
    assert error["field"].startswith("checkpoint")
    assert error["message"] in refused["detail"]
    return refused


def torch_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"head.weight": [1.0]}))
    return packed.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"head.weight": [1.0]}),
        pickle.dumps({"head.weight": [1.0]}, 2),
        torch_zip(),
    ],
    ids=["pickle", "old pickle", "torch"],
)
def test_a_pickle_is_refused_with_the_way_to_convert_it(shared: Api, content: bytes) -> None:
    refused = refusal(shared, content)
    assert refused["code"] == "checkpoint_pickled"
    assert "pickle" in refused["detail"]
    assert "lrsearch-worker models convert" in refused["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        checkpoint()[:40],
        checkpoint()[:-1],
        checkpoint() + b"x",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        zip_of(silhouettes(labels=1, images=1)),
    ],
    ids=["text", "cut header", "cut", "longer", "huge header", "no header", "images"],
)
def test_what_is_no_safetensors_file_is_refused(shared: Api, content: bytes) -> None:
    refused = refusal(shared, content)
    assert refused["code"] == "checkpoint_unreadable"
    assert "must be a safetensors file" in refused["detail"]
    assert "pickle" not in refused["detail"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (save({}, {"lrsearch": "{}"}), "0 tensors"),
        (checkpoint().replace(b'"lrsearch"', b'"somebody"'), "'lrsearch'"),
    ],
    ids=["no tensors", "no specification"],
)
def test_a_checkpoint_must_say_what_network_it_fits(shared: Api, content: bytes, says: str) -> None:
    refused = refusal(shared, content)
    assert refused["code"] == "checkpoint_without_spec"
    assert says in refused["detail"]
    assert "models convert" in refused["detail"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("no json", "checkpoint.lrsearch"),
        ({}, "checkpoint.lrsearch.architecture"),
        (
            {"architecture": {"network": "vgg"}, "input_size": 32},
            "checkpoint.lrsearch.architecture",
        ),
        (
            {"architecture": {"network": "timm"}, "input_size": 32},
            "checkpoint.lrsearch.architecture.timm.model",
        ),
        (
            {"architecture": {"network": "timm", "model": "hf-hub:a/b"}, "input_size": 32},
            "checkpoint.lrsearch.architecture.timm.model",
        ),
        (
            {
                "architecture": {"network": "torchvision", "model": "resnet18", "width": 1},
                "input_size": 32,
            },
            "checkpoint.lrsearch.architecture.torchvision.width",
        ),
        (
            {"architecture": {"network": "resnet27"}, "input_size": 8},
            "checkpoint.lrsearch.input_size",
        ),
        (
            {"architecture": {"network": "resnet27"}, "input_size": 32, "std": [1, 2]},
            "checkpoint.lrsearch.std",
        ),
    ],
    ids=[
        "no json",
        "empty",
        "unknown network",
        "no model",
        "model elsewhere",
        "width of another network",
        "input size",
        "two channels",
    ],
)
def test_a_specification_that_is_wrong_is_told_field_by_field(
    shared: Api, spec: Json | str, field: str
) -> None:
    refused = refusal(shared, checkpoint(spec))
    assert refused["code"] == "checkpoint_without_spec"
    assert refused["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize(
    ("architecture", "shown"),
    [
        ({"width": 0.25}, {"network": "resnet27", "width": 0.25, "norm": "batch"}),
        (
            {"network": "resnet27", "norm": "none"},
            {"network": "resnet27", "width": 1.0, "norm": "none"},
        ),
        ({"network": "torchvision", "model": "resnet18"}, None),
        ({"network": "timm", "model": "tf_efficientnet_lite0"}, None),
    ],
    ids=["no network named", "resnet27", "torchvision", "timm"],
)
def test_each_network_of_the_contract_is_taken(
    shared: Api, architecture: Json, shown: Json | None
) -> None:
    content = checkpoint({"architecture": architecture, "input_size": 32})
    name = f"taken-{next(_numbers)}"
    assert shared.post("/v1/source-models", params={"name": name}, content=content).is_success
    spec = shared.get(f"/v1/source-models/{name}").json()["spec"]
    assert spec["architecture"] == (shown or architecture)


def test_a_checkpoint_waits_for_a_workers_check(api: Api, submit: Callable[[Json], Json]) -> None:
    sent = api.post("/v1/source-models", params={"name": "good"}, content=checkpoint())
    assert (sent.status_code, sent.json()["state"]) == (202, "checking")
    answer = api.post("/v1/jobs", json={"data_set": "animals", "source_model": "good"})
    assert "worker" in problem(answer, 409, "source_model_checking")["remedy"]

    worker = FakeWorker(api)
    lease = worker.claim()
    (work,) = lease.work
    assert isinstance(work, CheckModelWork)
    assert api.get(f"/v1/blobs/{work.source_model.weights_sha256}").content == checkpoint()
    assert worker.report(lease, work, CheckModelReport(accepted=True)).status_code == 200
    assert api.get("/v1/source-models/good").json()["state"] == "ready"
    assert submit({"data_set": "animals", "source_model": "good"})["state"] == "waiting"


@pytest.mark.parametrize(
    "report",
    [CheckModelReport(accepted=False, reason=MISMATCH), FailedReport(reason=MISMATCH)],
    ids=["checked", "could not be checked"],
)
def test_what_does_not_fit_is_rejected_with_the_workers_reason(
    api: Api, report: CheckModelReport | FailedReport
) -> None:
    name = f"misfit-{next(_numbers)}"
    api.post("/v1/source-models", params={"name": name}, content=checkpoint())
    worker = FakeWorker(api)
    lease = worker.claim()
    assert worker.report(lease, lease.work[0], report).status_code == 200
    rejected = api.get(f"/v1/source-models/{name}").json()
    assert (rejected["state"], rejected["reason"]) == ("rejected", MISMATCH)

    answer = api.post("/v1/jobs", json={"data_set": "animals", "source_model": name})
    refused = problem(answer, 409, "source_model_rejected")
    assert repr(name) in refused["detail"]
    assert MISMATCH in refused["detail"]
    assert "Register a checkpoint" in refused["remedy"]


def test_an_unknown_source_model_is_told_with_those_that_there_are(shared: Api) -> None:
    answer = shared.post("/v1/jobs", json={"data_set": "animals", "source_model": "nobody"})
    refused = problem(answer, 404, "source_model_unknown")
    assert refused["detail"].startswith("source_model: ")
    assert "'nobody'" in refused["detail"]
    assert "random" in refused["remedy"]

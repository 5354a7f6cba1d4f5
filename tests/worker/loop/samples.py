"""Small real work for the loop: 60 silhouettes of three animals, a tiny network."""

import hashlib
import zipfile
from datetime import UTC, datetime
from io import BytesIO
from typing import NamedTuple
from uuid import uuid4

from lrsearch.contract.leases import Task, TrialWork
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.sources import ResNet27, SourceModel, SourceSpec
from lrsearch_worker import weights
from lrsearch_worker.networks.build import build
from tests.worker.conftest import SILHOUETTES
from tests.worker.loop.fake_service import FakeService

RATES = StageRates(conv1=0.0, conv2=0.004, conv3=0.008, conv4=0.016, conv5=0.032, head=0.064)
RECIPE = Recipe(epochs=3, batch_size=16)
SPEC = SourceSpec(architecture=ResNet27(width=0.0625), input_size=16)


class Archive(NamedTuple):
    """A data set as the service keeps it."""

    content: bytes
    fingerprint: str


def archive_of(images: dict[str, bytes]) -> Archive:
    """The archive of images by `label/filename`."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    lines = sorted(
        name.partition("/")[0].encode()
        + b"\0"
        + hashlib.sha256(content).hexdigest().encode()
        + b"\n"
        for name, content in images.items()
    )
    return Archive(packed.getvalue(), hashlib.sha256(b"".join(lines)).hexdigest())


def three_animals() -> Archive:
    """20 silhouettes each of three animals."""
    images: dict[str, bytes] = {}
    with zipfile.ZipFile(SILHOUETTES) as silhouettes:
        names = sorted(info.filename for info in silhouettes.infolist() if not info.is_dir())
        labels = sorted({name.partition("/")[0] for name in names})[:3]
        for label in labels:
            for name in [name for name in names if name.startswith(f"{label}/")][:20]:
                images[name] = silhouettes.read(name)
    return archive_of(images)


def source_model(service: FakeService, content: bytes, name: str = "tiny") -> SourceModel:
    """A source model with these weights, registered."""
    model = SourceModel(
        id=str(uuid4()),
        name=name,
        state="ready",
        spec=SPEC,
        weights_sha256=hashlib.sha256(content).hexdigest(),
        weights_bytes=len(content),
        created_at=datetime.now(UTC),
    )
    service.source_models[model.id] = model
    service.blobs[model.weights_sha256 or ""] = content
    return model


def tiny_weights() -> bytes:
    """Weights that fit `SPEC`."""
    return weights.to_bytes(build(SPEC.architecture, labels=5, seed=11).state_dict(), SPEC)


def task(service: FakeService, archive: Archive, recipe: Recipe = RECIPE) -> Task:
    """A job's task on an archive, with the tiny source model."""
    data_set_id = str(uuid4())
    service.archives[data_set_id] = archive.content
    return Task(
        job_id=str(uuid4()),
        data_set_id=data_set_id,
        fingerprint=archive.fingerprint,
        source_model=source_model(service, tiny_weights()),
        images_per_label=None,
        recipe=recipe,
    )


def trial(
    rates: StageRates = RATES,
    *,
    number: int = 1,
    baseline: bool = False,
    replicate: int = 0,
    seconds_limit: float | None = None,
) -> TrialWork:
    """A trial's work."""
    return TrialWork(
        id=str(uuid4()),
        number=number,
        baseline=baseline,
        replicate=replicate,
        rates=rates,
        seconds_limit=seconds_limit,
    )

"""What a lease's work needs from the service, by way of the cache."""

import hashlib
import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, Final, TypeVar

import structlog
from filelock import Timeout

from lrsearch.contract.leases import Lease, Task
from lrsearch.contract.sources import SourceModel, SourceSpec
from lrsearch_worker.cache import Cache, sha256_of
from lrsearch_worker.data.decode import Progress
from lrsearch_worker.data.images import Images, ImageStore
from lrsearch_worker.engine.checkpoints import CheckpointError
from lrsearch_worker.engine.task import input_size
from lrsearch_worker.errors import DamagedError, ServiceAwayError
from lrsearch_worker.heart import Heart
from lrsearch_worker.service import Service
from lrsearch_worker.weights import Weights, load

CHECKPOINT_TRIES: Final = 5

Download = Callable[[BinaryIO], None]
Used = TypeVar("Used")

DECODING_LOG_SECONDS: Final = 5.0
"""How often the log says how far decoding is."""

log = structlog.get_logger(__name__)


class Fetcher:
    """Fetches data sets and weights for one lease; what is fetched has the hash that was asked for.

    All methods raise `LeaseLostError` or `StoppedError` once the lease is over,
    `ServiceRefusedError` where the service does not have it, and `DamagedError` where it has
    something else by that name.
    """

    def __init__(self, service: Service, cache: Cache, heart: Heart) -> None:
        self._service = service
        self._cache = cache
        self._heart = heart

    def images(self, task: Task) -> Images:
        """The task's target data set, decoded at its input size."""
        started = perf_counter()
        address = task.fingerprint
        side = input_size(task.recipe, task.source_model.spec)
        store = ImageStore(self._cache.folder / "images")
        decoded = store.path(address, side)
        archive = self._cache.folder / "archives" / f"{address}.zip"
        download = partial(self._service.data_set, task.data_set_id)

        def fetch() -> Images:
            if not decoded.exists():
                self._file(archive, download, partial(_check_fingerprint, address=address))
            images = store.images(archive, address, side, self._decoding_told())
            self._cache.used(decoded)
            return images

        images = self._held(address, fetch)
        log.info(
            "data fetched",
            data_set=task.data_set_id,
            images=len(images.labels),
            labels=len(images.label_names),
            side=side,
            seconds=round(perf_counter() - started, 2),
        )
        return images

    def _decoding_told(self) -> Progress:
        """Logs now and then how far decoding is, and ends it once the lease is over."""
        last = perf_counter()

        def tell(done: int, total: int) -> None:
            nonlocal last
            self._heart.check()
            if (now := perf_counter()) - last >= DECODING_LOG_SECONDS:
                log.info("decoding", images=done, of=total)
                last = now

        return tell

    def source(self, model: SourceModel) -> Weights | SourceSpec:
        """What a finetune starts from; a bare specification where the model has no weights.

        Raises:
            WeightsError: The weights are no safetensors file with a specification.
        """
        if model.weights_sha256 is None:
            return model.spec
        download = partial(self._service.source_weights, model.id)
        return self._weights(model.weights_sha256, download)

    def weights(self, sha256: str) -> Weights:
        """The weights of that content address.

        Raises:
            WeightsError: They are no safetensors file with a specification.
        """
        return self._weights(sha256, partial(self._service.blob, sha256))

    def checkpoint(self, lease: Lease, work_id: str, sha256: str) -> bytes:
        """Where an earlier attempt at a trial got to; nobody needs it again, so it is not kept.

        Raises:
            CheckpointError: It could not be had in a few tries; the trial can do without.
        """
        content = BytesIO()
        tries = iter(range(1, CHECKPOINT_TRIES + 1))

        def from_the_start() -> None:
            content.seek(0)
            content.truncate()
            try:
                self._service.checkpoint(lease, work_id, content)
            except ServiceAwayError as error:
                if next(tries) == CHECKPOINT_TRIES:
                    raise CheckpointError(f"the checkpoint could not be had: {error}") from error
                raise

        self._heart.insist(from_the_start)
        found = hashlib.sha256(content.getbuffer()).hexdigest()
        if found != sha256:
            raise DamagedError(f"the checkpoint has the SHA-256 {found} instead of {sha256}")
        return content.getvalue()

    def _weights(self, address: str, download: Download) -> Weights:
        path = self._cache.folder / "weights" / f"{address}.safetensors"
        check = partial(_check_sha256, address=address)
        return self._held(address, lambda: load(self._file(path, download, check)))

    def _held(self, address: str, use: Callable[[], Used]) -> Used:
        try:
            with self._cache.holding(address, give_up=self._heart.over.is_set):
                return use()
        except Timeout:
            self._heart.check()
            raise

    def _file(self, path: Path, download: Download, check: Callable[[Path], None]) -> Path:
        def write(file: BinaryIO) -> None:
            def from_the_start() -> None:
                file.seek(0)
                file.truncate()
                download(file)

            self._heart.insist(from_the_start)
            file.flush()
            check(Path(file.name))

        return self._cache.file(path, write)


def fingerprint_of(archive: Path) -> str:
    """SHA-256 over the sorted lines `label NUL content-sha256 LF` of an archive's images.

    Raises:
        zipfile.BadZipFile: It is no ZIP file, or one that is damaged.
    """
    lines = []
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if not info.is_dir():
                label = info.filename.partition("/")[0]
                content = hashlib.sha256(file.read(info)).hexdigest()
                lines.append(f"{label}\0{content}\n".encode())
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def _check_fingerprint(archive: Path, address: str) -> None:
    try:
        found = fingerprint_of(archive)
    except zipfile.BadZipFile as error:
        raise DamagedError(f"the data set came as a damaged archive: {error}") from error
    if found != address:
        raise DamagedError(f"the data set has the fingerprint {found} instead of {address}")


def _check_sha256(path: Path, address: str) -> None:
    if (found := sha256_of(path)) != address:
        raise DamagedError(f"the weights have the SHA-256 {found} instead of {address}")

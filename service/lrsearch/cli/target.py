"""The target of a job on the command line: a data set by name, or images to be uploaded."""

import hashlib
from pathlib import Path

from lrsearch.cli.console import err
from lrsearch.cli.data import upload
from lrsearch.cli.errors import UsageError
from lrsearch.client import Client, ProblemError
from lrsearch.client.fingerprint import fingerprint_of
from lrsearch.client.packing import archive_of, name_of
from lrsearch.contract.datasets import DataSet

_NOT_FOUND = 404


def target_data_set(client: Client, target: str) -> DataSet:
    """The data set that `target` means, uploaded if need be, and validated.

    A folder or an archive is uploaded under its own name. Where that is taken, the data set is used
    if it holds the same images, else they are uploaded under a name that ends with their digest.

    Raises:
        UsageError: There is neither a path nor a data set of this name.
        RejectedError: The images cannot be used; the text says why.
    """
    path = Path(target)
    if not path.exists():
        found = find(client, target)
        if found is None:
            raise UsageError(
                f"There is no folder or archive {target!r}, and no data set of that name; "
                "`lrsearch data list` shows the data sets."
            )
        return client.wait_for_data_set(found.id)
    return _upload_once(client, path)


def find(client: Client, name: str) -> DataSet | None:
    """The data set of this id or name, if there is one."""
    try:
        return client.data_set(name)
    except ProblemError as error:
        if error.problem.status == _NOT_FOUND:
            return None
        raise


def _upload_once(client: Client, path: Path) -> DataSet:
    name = name_of(path)
    with archive_of(path) as archive:
        taken = find(client, name)
        if taken is not None:
            digest = fingerprint_of(archive) or _digest(archive)
            if taken.fingerprint == digest:
                return taken
            name = f"{name[:91]}-{digest[:8]}"
            same = find(client, name)
            if same is not None:
                return client.wait_for_data_set(same.id)
        err.print(f"Uploading {path} as data set {name}.", soft_wrap=True)
        return upload(client, archive, name)


def _digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

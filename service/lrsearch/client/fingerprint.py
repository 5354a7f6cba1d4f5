"""The fingerprint that the service will give to an archive, where it can be told beforehand."""

import hashlib
import zipfile
from pathlib import Path, PurePosixPath


def fingerprint_of(archive: Path) -> str | None:
    """The fingerprint of `DataSet.fingerprint`, if every file in the archive is a readable image.

    Null for what is no ZIP file. It serves to find the same data set again; where it names none,
    that proves nothing.
    """
    if not zipfile.is_zipfile(archive):
        return None
    lines = []
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            if entry.is_dir():
                continue
            content = hashlib.sha256(packed.read(entry)).hexdigest()
            label = PurePosixPath(entry.filename).parent.name
            lines.append(f"{label}\0{content}\n".encode())
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()

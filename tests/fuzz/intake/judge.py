"""Gives one input to intake, and says what was wrong with what came of it."""

import json
import zipfile
from pathlib import Path, PurePosixPath

from lrsearch.contract.datasets import DataSetProblem
from lrsearch.intake.archives import archive_members
from lrsearch.intake.errors import IntakeError
from lrsearch.intake.limits import MIB, IntakeLimits
from lrsearch.intake.validate import BuiltDataSet, build_data_set
from lrsearch_worker.data.decode import decode

LIMITS = IntakeLimits(
    max_archive_bytes=8 * MIB,
    max_unpacked_bytes=8 * MIB,
    max_files=1000,
    max_image_bytes=MIB,
    max_image_pixels=4_000_000,
)
"""Small ones, so that small inputs go beyond them."""

DECLARED = frozenset(
    {
        *(f"archive_{what}" for what in ("unknown_format", "too_large", "too_many_files", "bomb")),
        *(f"archive_{what}" for what in ("truncated", "corrupt", "encrypted", "link")),
        *(f"archive_{what}" for what in ("unknown_compression", "unsafe_path", "path_too_long")),
        *(f"archive_{what}" for what in ("duplicate_path", "special_file")),
        *("images_outside_labels", "nested_folders", "no_images", "single_label"),
        *("too_many_labels", "label_name", "label_empty", "duplicate_across_labels"),
        "too_many_unreadable",
    }
)
"""Codes of the errors that intake may end with."""

ACCEPTED = "accepted"


def judge(content: bytes, folder: Path) -> tuple[str, list[str]]:
    """Build a data set of an upload, in an empty folder.

    Returns:
        `accepted` or the code of the refusal, and what should not have been.
    """
    upload, destination = folder / "upload", folder / "set.zip"
    upload.write_bytes(content)
    faults: list[str] = []
    try:
        built = build_data_set(
            archive_members(upload, LIMITS), destination, LIMITS, lambda done, total: None
        )
    except IntakeError as error:
        outcome = error.code
        faults += _wrong_with_refusal(error)
    except Exception as error:
        outcome = "crash"
        faults.append(f"crash: {type(error).__name__}: {error}"[:500])
    else:
        outcome = ACCEPTED
        faults += _wrong_with(built)
        destination.unlink()
    if upload.read_bytes() != content:
        faults.append("changed: the upload is not what it was")
    upload.unlink()
    faults += [f"left behind: {path.name}" for path in folder.iterdir()]
    for path in folder.iterdir():
        path.unlink()
    return outcome, faults


def _wrong_with_refusal(error: IntakeError) -> list[str]:
    codes = [problem.code for problem in error.problems]
    undeclared = [f"undeclared: {code}" for code in codes if code not in DECLARED]
    return undeclared + [fault for problem in error.problems for fault in _unstorable(problem)]


def _unstorable(problem: DataSetProblem) -> list[str]:
    """PostgreSQL keeps no NUL and no half of a surrogate pair."""
    texts = [problem.message, *problem.paths]
    return [
        f"unstorable: {problem.code}: {text!r}"[:300] for text in texts if not _is_storable(text)
    ]


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _wrong_with(built: BuiltDataSet) -> list[str]:
    """What is taken must be what workers can use."""
    told = json.dumps(built.statistics.model_dump(mode="json"), ensure_ascii=False)
    faults = [] if _is_storable(told) and "\\u0000" not in told else [f"unstorable: {told}"[:300]]
    labels = {label.label for label in built.statistics.labels}
    with zipfile.ZipFile(built.path) as archive:
        members = archive.infolist()
        if len(members) != built.statistics.images:
            faults.append(f"miscounted: {len(members)} images, not {built.statistics.images}")
        for member in members:
            parts = PurePosixPath(member.filename).parts
            if len(parts) != 2 or parts[0] not in labels or set(parts) & {"..", "/"}:
                faults.append(f"unsafe: {member.filename!r}")
            try:
                decode(archive.read(member), 16, member.filename)
            except Exception as error:
                faults.append(f"undecodable: {type(error).__name__}: {error}"[:300])
    return faults

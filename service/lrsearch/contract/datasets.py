"""Target data sets: labelled images, addressed by their content."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from lrsearch.contract.base import Contract, Identifier, Name, Sha256

DataSetState = Literal["validating", "ready", "rejected"]
"""`validating` until every image has been decoded; then `ready` for jobs, or `rejected`."""


class LabelCount(Contract):
    """How many images a label has."""

    label: str = Field(description="Name of the label: that of its folder.")
    images: int = Field(ge=1, description="Readable images.")
    distinct: int = Field(ge=1, description="Distinct contents among them.")


class Spread(Contract):
    """The smallest, the middle and the largest of some whole numbers."""

    min: int
    median: float
    max: int


class UnreadableFile(Contract):
    """A file that was left out because it cannot be used as an image."""

    path: str = Field(description="As it was sent: within the archive or the folder.")
    reason: str = Field(description="Why.")


class DataSetStatistics(Contract):
    """What is in a data set. All counts are of the readable images; the others were left out."""

    labels: list[LabelCount] = Field(description="By label, in order of name.")
    images: int = Field(ge=1, description="Images, repeated contents included.")
    distinct_images: int = Field(ge=1, description="Distinct contents.")
    duplicates_within_label: int = Field(
        ge=0, description="Images whose content stands under the same label before."
    )
    images_per_label: Spread
    widths: Spread = Field(description="Pixels, as stored (before any orientation tag).")
    heights: Spread = Field(description="Pixels, as stored (before any orientation tag).")
    modes: dict[str, int] = Field(description="Images by Pillow's mode: `RGB`, `L`, `P`, ….")
    formats: dict[str, int] = Field(
        description="Images by format: `JPEG`, `PNG`, `WEBP`, `BMP`, `GIF`, `TIFF`."
    )
    bytes: int = Field(ge=1, description="Sum of the image files' sizes.")
    unreadable: list[UnreadableFile] = Field(
        default_factory=list, max_length=1000, description="By path; the first 1000."
    )
    unreadable_total: int = Field(default=0, ge=0, description="How many there are in all.")


class DataSetProblem(Contract):
    """One reason why a data set cannot be used."""

    code: str = Field(description="For programs: stable, in snake case.")
    message: str = Field(description="What is wrong and what would be right.")
    paths: list[str] = Field(
        default_factory=list, description="Files or folders that are to blame, the first 100."
    )


class Progress(Contract):
    """How far the validation is."""

    done: int = Field(ge=0, description="Files looked at.")
    total: int | None = Field(
        ge=0, description="Files there are; null where only the end of the archive will tell."
    )


class DataSet(Contract):
    """A target data set as the service knows it."""

    id: Identifier
    name: Name = Field(description="Unique name; what a job refers to.")
    state: DataSetState
    reason: str | None = Field(default=None, description="Why it was rejected, in a sentence.")
    problems: list[DataSetProblem] = Field(
        default_factory=list, description="Everything that was found wrong with it."
    )
    progress: Progress
    fingerprint: Sha256 | None = Field(
        default=None,
        description="SHA-256 over the sorted lines `label NUL content-sha256 LF` of all readable "
        "images: the same for the same labelled contents, whatever their names and order.",
    )
    statistics: DataSetStatistics | None = Field(default=None, description="Null until ready.")
    content_bytes: int | None = Field(
        default=None, ge=0, description="Size of the canonical archive that workers fetch."
    )
    created_at: datetime


class FolderRegistration(Contract):
    """Asks for a folder of the service's own machine as a data set."""

    name: Name = Field(description="What to call the data set.")
    path: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="The folder: absolute, or relative to one of the configured image roots."
    )
    shared: bool = Field(
        default=False, description="Whether everybody may use it; for administrators."
    )

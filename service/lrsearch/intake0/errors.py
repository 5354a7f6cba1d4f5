"""What can be wrong with the images that a user hands in."""

from dataclasses import dataclass, field


@dataclass
class IntakeError(Exception):
    """The archive or folder cannot be taken; `code` is for programs, `paths` name the culprits."""

    code: str
    message: str
    paths: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.message

"""Errors of the intake: why an upload cannot become a data set."""

from collections.abc import Sequence

from lrsearch.contract.datasets import DataSetProblem
from lrsearch.errors import InvalidError

MAX_PATHS = 100
"""So many files or folders are named with a problem."""


class IntakeError(InvalidError):
    """The upload cannot become a data set.

    Attributes:
        problems: Everything that was found wrong. The first of them is what `code`, `message` and
            `paths` say.
    """

    def __init__(
        self,
        code: str,
        message: str,
        paths: Sequence[str] = (),
        further: Sequence[DataSetProblem] = (),
    ) -> None:
        named = [storable(path) for path in paths[:MAX_PATHS]]
        first = DataSetProblem(code=code, message=storable(message), paths=named)
        super().__init__(detail=first.message, code=code, paths=first.paths)
        self.problems = [first, *further]

    @property
    def message(self) -> str:
        """What is wrong and what would be right."""
        return self.detail

    @classmethod
    def of(cls, problems: Sequence[DataSetProblem]) -> "IntakeError":
        """The error of one or more problems."""
        first, *further = problems
        return cls(first.code, first.message, first.paths, further)


def storable(text: str) -> str:
    """Text of whatever origin as every database keeps it.

    Halves of surrogate pairs, which stand for bytes that are no UTF-8, and NUL are written out.
    """
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")

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
        first = DataSetProblem(code=code, message=message, paths=list(paths[:MAX_PATHS]))
        super().__init__(detail=message, code=code, paths=first.paths)
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

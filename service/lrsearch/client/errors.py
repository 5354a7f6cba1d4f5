"""What can go wrong for a client."""

from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from lrsearch.contract.problems import Problem


class ClientError(Exception):
    """Base of the errors that `lrsearch.Client` raises."""


class ProblemError(ClientError):
    """The service refused a request; `problem` says why, `str()` says it to people.

    `retry_after_seconds` is when the service wants to be asked again, where it says so.
    """

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__("\n".join(_lines(problem)))
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of(cls, response: httpx.Response) -> "ProblemError":
        """The problem that a response states, or one made of its status where it states none."""
        retry_after = response.headers.get("Retry-After", "")
        try:
            return cls(
                Problem.model_validate_json(response.content),
                float(retry_after) if retry_after.isdecimal() else None,
            )
        except ValidationError:
            return cls(
                Problem(
                    type="about:blank",
                    title=response.reason_phrase or "Error",
                    status=response.status_code,
                    detail=f"{response.request.method} {response.request.url} was answered with "
                    f"status {response.status_code} {response.reason_phrase}".rstrip(),
                    code="unexpected_answer",
                )
            )


class ServiceUnreachableError(ClientError):
    """No answer came from the service, or the connection broke and did not come back."""

    def __init__(self, url: str, cause: Exception) -> None:
        reason = str(cause) or type(cause).__name__
        super().__init__(
            f"The service at {url} cannot be reached: {reason}\n"
            "Start one with `lrsearch up`, or name another with --url or LRSEARCH_URL."
        )


class RejectedError(ClientError):
    """A data set or a source model turned out to be unusable; the text says why."""


class WaitTimeoutError(ClientError):
    """What was waited for did not come in time; it may still come."""


class ChecksumError(ClientError):
    """A download arrived with another content than announced; nothing was kept."""


def _lines(problem: Problem) -> Iterator[str]:
    yield problem.detail
    for error in problem.errors:
        sent = "" if error.value is None else f" (sent: {error.value!r})"
        yield f"  {error.field}: {error.message}{sent}"
    for path in problem.paths:
        yield f"  {path}"
    if problem.remedy:
        yield problem.remedy

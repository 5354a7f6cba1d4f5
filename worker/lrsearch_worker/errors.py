"""What can go wrong between a worker and its service."""

from lrsearch.contract.problems import Problem


class ServiceAwayError(Exception):
    """The service cannot be reached, or cannot answer just now; the same request may do later."""


class ServiceRefusedError(Exception):
    """The service refuses a request, and would again.

    Attributes:
        status: HTTP status.
        code: The problem's code; empty where the reply was no problem document.
    """

    def __init__(self, request: str, status: int, problem: Problem | None) -> None:
        self.status = status
        self.code = problem.code if problem else ""
        parts = [f"the service answered {request} with {status}"]
        if problem:
            parts += [problem.detail]
            parts += [f"{error.field}: {error.message}" for error in problem.errors]
            parts += [problem.remedy] if problem.remedy else []
        super().__init__("; ".join(parts))


class WorkerUnknownError(ServiceRefusedError):
    """The service does not know this worker (any more); it must register again."""


class LeaseLostError(Exception):
    """The lease is another's by now; nothing that is sent for it counts."""


class StoppedError(Exception):
    """The worker has been told to stop."""


class DamagedError(Exception):
    """Content whose hash is not the one it was asked for by."""


class DeviceLostError(Exception):
    """The device fails at everything after an error; only a new process can use it again."""

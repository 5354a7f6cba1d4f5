"""lrsearch finds the learning rates for finetuning a pretrained image classifier."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrsearch.client import Client, ClientError, ProblemError

__all__ = ["Client", "ClientError", "ProblemError"]


def __getattr__(name: str) -> Any:
    """Imports the client when it is first asked for: workers need the contract alone."""
    if name in __all__:
        from lrsearch import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

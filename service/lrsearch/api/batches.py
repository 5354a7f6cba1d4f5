"""Batches: what comes in while others of its kind are served is served together, next."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST = 32
"""Served together: the first of them waits for the last."""


class Batches(Generic[Asked, Answer]):
    """Serves one kind of request in a thread of its own, one batch after the other.

    A request that comes alone is served at once and alone; the more come, the less each costs.

    Args:
        serve: Answers requests, in their order; an answer that is an exception is raised to the
            one who asked, an exception that is raised to all.
    """

    def __init__(self, serve: Callable[[Sequence[Asked]], Sequence[Answer | Exception]]) -> None:
        self._serve = serve
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._thread = CapacityLimiter(1)
        self._server: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answer:
        """The answer to a request; raises what it is refused with."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._server is None:
            # In a context of its own: it serves others than the one who happens to begin.
            self._server = asyncio.get_running_loop().create_task(self._run(), context=Context())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._answer(batch)
        finally:
            self._server = None

    async def _answer(self, batch: list[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await run_sync(
                self._serve, [asked for asked, _ in batch], limiter=self._thread
            )
        except Exception as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # who asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

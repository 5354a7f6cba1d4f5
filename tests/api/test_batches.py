"""Requests that come in while others are served are served together."""

import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from lrsearch.api.batches import MOST, Batches

PATIENCE_SECONDS = 30.0


class Serving:
    """Doubles numbers, and remembers what came together; the first batch waits to be let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.let_go = Event(), Event()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        self.begun.set()
        assert self.let_go.wait(PATIENCE_SECONDS)
        return [ValueError(f"{n} is odd") if n % 2 else 2 * n for n in numbers]


async def _first_then(serving: Serving, *others: int) -> list[int | BaseException]:
    """Ask for 0, and for the others while that is served."""
    batches: Batches[int, int] = Batches(serving)
    first = asyncio.create_task(batches.ask(0))
    await asyncio.to_thread(serving.begun.wait, PATIENCE_SECONDS)
    rest = [asyncio.create_task(batches.ask(number)) for number in others]
    await asyncio.sleep(0)  # they ask
    serving.let_go.set()
    return await asyncio.gather(first, *rest, return_exceptions=True)


def test_what_comes_alone_is_served_alone_and_what_comes_meanwhile_together() -> None:
    serving = Serving()
    assert asyncio.run(_first_then(serving, 2, 4, 6)) == [0, 4, 8, 12]
    assert serving.batches == [[0], [2, 4, 6]]


def test_there_is_a_most_that_is_served_together() -> None:
    serving = Serving()
    numbers = [2 * n for n in range(MOST + 3)]
    assert asyncio.run(_first_then(serving, *numbers)) == [0, *(2 * n for n in numbers)]
    assert [len(batch) for batch in serving.batches] == [1, MOST, 3]


def test_who_is_refused_does_not_hold_up_the_others() -> None:
    zero, four, refused, twelve = asyncio.run(_first_then(Serving(), 2, 5, 6))
    assert (zero, four, twelve) == (0, 4, 12)
    assert str(refused) == "5 is odd"


def test_what_fails_fails_for_all_of_its_batch_and_the_next_is_served() -> None:
    calls = []

    def serve(numbers: Sequence[int]) -> list[int | Exception]:
        calls.append(numbers)
        if len(calls) == 1:
            raise ConnectionError("the database is away")
        return list(numbers)

    async def ask() -> int:
        batches: Batches[int, int] = Batches(serve)
        with pytest.raises(ConnectionError, match="away"):
            await batches.ask(1)
        return await batches.ask(2)

    assert asyncio.run(ask()) == 2


def test_who_has_gone_is_not_waited_for() -> None:
    serving = Serving()

    async def ask() -> int:
        batches: Batches[int, int] = Batches(serving)
        gone = asyncio.create_task(batches.ask(0))
        await asyncio.to_thread(serving.begun.wait, PATIENCE_SECONDS)
        gone.cancel()
        serving.let_go.set()
        return await batches.ask(8)

    assert asyncio.run(ask()) == 16

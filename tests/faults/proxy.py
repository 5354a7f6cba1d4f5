"""A TCP proxy before the replicas that cuts connections in the middle of whatever they carry."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Sequence
from random import Random
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Listens while its `with` block runs, in a thread of its own.

    Each connection goes to a replica by turns, or to another where that one is away. Some are
    given a number of bytes, drawn at random, after which they are reset, wherever that is: in a
    request, in its reply, or between the two.

    Args:
        ports: Of the replicas, on loopback.
        random: Draws the cuts.
        cut_share: Share of connections that are cut.
        mean_bytes: That these carry, both ways together.
    """

    def __init__(
        self, ports: Sequence[int], random: Random, cut_share: float, mean_bytes: float
    ) -> None:
        self.cuts = 0
        self.cutting = True
        """Whether connections are cut."""
        self._ports, self._random = list(ports), random
        self._cut_share, self._mean_bytes = cut_share, mean_bytes
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._turn = 0

    @property
    def url(self) -> str:
        """Of the service behind it."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._carry, sock=self._socket)
        )
        self._loop.run_forever()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            there = await self._connect()
            if there is not None:
                ends.append(there[1])
                fuse = _Fuse(self._draw())
                await _first_to_end(
                    self._pass(reader, there[1], fuse), self._pass(there[0], writer, fuse)
                )
        finally:
            for end in ends:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._turn += 1
        for offset in range(len(self._ports)):
            port = self._ports[(self._turn + offset) % len(self._ports)]
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
        return None

    def _draw(self) -> float:
        if self._random.random() >= self._cut_share:
            return float("inf")
        return self._random.expovariate(1.0 / self._mean_bytes)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fuse: "_Fuse"
    ) -> None:
        """Pass bytes on in one direction until an end closes, or the fuse has burnt down."""
        try:
            while data := await reader.read(65536):
                carried = fuse.burn(len(data)) if self.cutting else len(data)
                writer.write(data[:carried])
                await writer.drain()
                if carried < len(data):
                    self.cuts += 1
                    return
        except OSError:
            return


class _Fuse:
    def __init__(self, left: float) -> None:
        self._left = left

    def burn(self, size: int) -> int:
        """How many of so many bytes may still pass."""
        carried = min(float(size), self._left)
        self._left -= carried
        return int(carried)


async def _first_to_end(*passes: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(each) for each in passes]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

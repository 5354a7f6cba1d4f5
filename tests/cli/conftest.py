"""The running service of the client's tests, and the command line as a user calls it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lrsearch.cli.main import app
from tests.client.conftest import client, complete_job, data_set, service_url

__all__ = ["client", "complete_job", "data_set", "service_url"]

Run = Callable[..., Result]


@pytest.fixture
def run(service_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `lrsearch` with some arguments, in an empty folder, against the service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LRSEARCH_URL", service_url)
    return lambda *arguments: CliRunner().invoke(app, [str(it) for it in arguments])

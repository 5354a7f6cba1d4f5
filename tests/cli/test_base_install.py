"""What the base install can do: everything that needs a service's address only."""

import subprocess
import sys

import pytest

BLOCKED = ["a2wsgi", "alembic", "fastapi", "numpy", "optuna", "PIL", "sqlalchemy", "sse_starlette",
           "torch", "uvicorn"]  # fmt: skip

_BLOCK = f"import sys; sys.modules |= dict.fromkeys({BLOCKED!r}); "


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program where the packages of the extras cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", _BLOCK + program], capture_output=True, text=True, check=False
    )


def test_client_command_line_and_report_need_no_extra() -> None:
    done = python(
        "import lrsearch; lrsearch.Client; import lrsearch.cli.main, lrsearch.report.html"
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", ["up", "serve", "demo", "db upgrade", "keys list", "prior show", "prior fit"]
)
def test_commands_of_the_service_say_what_to_install(command: str) -> None:
    done = python(f"sys.argv[1:] = {command.split()!r}; from lrsearch.cli.main import app; app()")

    assert done.returncode == 2
    assert "install lrsearch[service]" in done.stderr
    assert "Traceback" not in done.stderr

"""`lrsearch keys`, on the database and over the API."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner, Result

from lrsearch.access.keys import PREFIX, PREFIX_CHARACTERS
from lrsearch.cli.main import app
from lrsearch.contract.keys import Key, Limits
from lrsearch.logs import logs_in
from lrsearch.settings import Settings
from tests.api.serving import serving


@pytest.fixture(autouse=True)
def _fresh_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path))
    assert run("db", "upgrade").exit_code == 0


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_upgrading_again_changes_nothing() -> None:
    assert "up to date" in run("db", "upgrade").output


def test_a_key_is_made_listed_and_revoked() -> None:
    made = run("keys", "create", "laboratory", "--scope", "worker", "--days", "30")
    secret = made.stdout.strip()
    assert secret.startswith(PREFIX)
    listed = run("keys", "list").output
    assert "laboratory" in listed
    assert "worker" in listed
    assert secret not in listed
    assert secret[:PREFIX_CHARACTERS] in listed

    assert run("keys", "revoke", secret[:PREFIX_CHARACTERS]).exit_code == 0

    assert "revoked" in run("keys", "list").output


def test_a_key_is_given_its_owner_and_its_limits() -> None:
    limits = ("--running-jobs", "3", "--stored-gib", "0.5", "--requests-per-second", "0")
    assert run("keys", "create", "laptop", "--owner", "ada", *limits).exit_code == 0

    (key,) = TypeAdapter(list[Key]).validate_json(run("keys", "list", "--json").stdout)

    assert (key.name, key.owner, key.scopes) == ("laptop", "ada", ["read", "submit"])
    assert key.limits == Limits(running_jobs=3, stored_bytes=512 * 1024**2, requests_per_second=0.0)


def test_the_limits_of_a_key_are_changed() -> None:
    limits = ("--running-jobs", "3", "--requests-per-second", "5")
    prefix = run("keys", "create", "ada", *limits).stdout.strip()[:PREFIX_CHARACTERS]

    def limits_now() -> Limits:
        (key,) = TypeAdapter(list[Key]).validate_json(run("keys", "list", "--json").stdout)
        return key.limits

    changed = run("keys", "change", prefix, "--stored-gib", "2", "--requests-per-second", "0")
    assert "3 running jobs, 2 GiB, any requests/s" in changed.stdout
    assert limits_now() == Limits(running_jobs=3, stored_bytes=2**31, requests_per_second=0.0)
    assert "any requests/s" in run("keys", "list").stdout

    assert (
        "5 running jobs." in run("keys", "change", prefix, "--reset", "--running-jobs", "5").stdout
    )
    assert limits_now() == Limits(running_jobs=5)
    assert "the service's limits" in run("keys", "change", prefix, "--reset").stdout
    assert limits_now() == Limits()


def test_a_change_must_say_what_and_of_which_key() -> None:
    prefix = run("keys", "create", "ada").stdout.strip()[:PREFIX_CHARACTERS]
    nothing = run("keys", "change", prefix)
    assert (nothing.exit_code, "Give a limit" in nothing.stderr) == (2, True)
    below = run("keys", "change", prefix, "--running-jobs", "-1")
    assert (below.exit_code, "greater than or equal to 0" in below.stderr) == (2, True)
    unknown = run("keys", "change", "unheard-of", "--running-jobs", "1")
    assert (unknown.exit_code, "There is no API key unheard-of" in unknown.stderr) == (1, True)


def test_an_administrator_manages_the_keys_of_a_service_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "admin.key"
    file.write_text(run("keys", "create", "root", "--scope", "admin").stdout)
    with logs_in(tmp_path / "log"), serving(Settings(require_keys=True)) as api:
        monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("LRSEARCH_URL", str(api.base_url))
        refused = run("keys", "list")
        assert (refused.exit_code, "wants an API key" in refused.stderr) == (1, True)

        monkeypatch.setenv("LRSEARCH_API_KEY_FILE", str(file))
        secret = run("keys", "create", "ada").stdout.strip()
        headers = {"Authorization": f"Bearer {secret}"}
        assert api.get("/v1/jobs", headers=headers).status_code == 200
        assert "ada" in run("keys", "list").stdout
        prefix = secret[:PREFIX_CHARACTERS]
        assert "7 running jobs" in run("keys", "change", prefix, "--running-jobs", "7").stdout
        changed = run("keys", "change", prefix, "--stored-gib", "1").stdout
        assert "7 running jobs, 1 GiB" in changed
        assert run("keys", "revoke", secret[:PREFIX_CHARACTERS]).exit_code == 0
        assert api.get("/v1/jobs", headers=headers).status_code == 401
    assert not (tmp_path / "elsewhere").exists()


def test_a_service_that_others_can_reach_does_not_start_without_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lrsearch.logs.configure_logs", lambda stream: None)
    refused = run("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - it never listens

    assert refused.exit_code == 1
    assert "0.0.0.0" in refused.stderr  # noqa: S104
    assert "lrsearch keys create admin --scope admin" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_unknown_scope_is_refused_with_those_there_are() -> None:
    done = run("keys", "create", "laboratory", "--scope", "everything")

    assert done.exit_code == 2
    assert "'worker'" in done.stderr


def test_an_unknown_key_cannot_be_revoked() -> None:
    done = run("keys", "revoke", "unheard-of")

    assert done.exit_code == 1
    assert "There is no API key unheard-of" in done.stderr


def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LRSEARCH_DATABASE_URL", "postgresql://me:secret@127.0.0.1:9/lrsearch")

    for command in (("db", "upgrade"), ("keys", "list")):
        done = run(*command)

        assert done.exit_code == 2
        assert "127.0.0.1:9/lrsearch cannot be used" in done.stderr
        assert "secret" not in done.stderr

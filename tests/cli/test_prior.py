"""`lrsearch prior`, on the service's own machine."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lrsearch.cli.main import app
from lrsearch.db.engine import Database
from lrsearch.priors import keep_prior, prior_in_force, shipped_prior
from lrsearch.search.prior.features import FEATURES
from lrsearch.search.prior.local import fit_prior
from lrsearch.search.prior.prior import Prior
from lrsearch.settings import Settings
from tests.search.prior.made_up import prior, shops


@pytest.fixture
def database(
    migrated_sqlite: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """That of the installation which the environment names; no job has run there."""
    shutil.copytree(migrated_sqlite.data_dir, tmp_path / "data")
    monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path / "data"))
    database = Database(Settings().database)
    yield database
    database.dispose()


@pytest.fixture
def teaching(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ships knows little, and the finished jobs here are of twelve tasks that teach more."""
    shipped = prior()
    monkeypatch.setattr("lrsearch.local_evidence.local_evidence", lambda session: shops())
    monkeypatch.setattr("lrsearch.priors.shipped_prior", lambda: shipped)


def in_force(database: Database) -> Prior:
    with database.read() as session:
        return prior_in_force(session)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.usefixtures("database")
def test_the_prior_is_shown_in_words() -> None:
    done = run("prior", "show")

    assert done.exit_code == 0, done.output
    assert f"Prior {shipped_prior().version}: the shipped one." in done.output
    for name in (*FEATURES, *set(shipped_prior().evidence.domains), "frozen stages"):
        assert name in done.output
    assert "by a factor of" in done.output


@pytest.mark.usefixtures("database")
def test_without_finished_jobs_there_is_too_little_to_judge_by() -> None:
    done = run("prior", "fit")

    assert done.exit_code == 0, done.output
    assert "0 finetunes of 0 tasks here" in done.output
    assert "too little to judge by (5 tasks are needed). Nothing changes." in done.output


@pytest.mark.usefixtures("teaching")
def test_a_better_prior_is_used_shown_and_reset(database: Database) -> None:
    tried = run("prior", "fit", "--dry-run")
    assert "What was learnt here makes it better." in tried.output
    assert in_force(database).version == "made up"

    fitted = run("prior", "fit")

    assert fitted.exit_code == 0, fitted.output
    assert "48 finetunes of 12 tasks here" in fitted.output
    assert "shop-2-3" in fitted.output
    own = in_force(database)
    assert own.version.startswith("made up+local.")
    assert f"The service uses prior {own.version} from now on." in fitted.output
    shown = run("prior", "show").output
    assert f"Prior {own.version}: this installation's, fitted 2" in shown
    assert "80 finetunes of 20 tasks in 5 domains" in shown
    assert "from now on" in run("prior", "reset").output
    assert in_force(database).version == "made up"
    assert "already" in run("prior", "reset").output


@pytest.mark.usefixtures("teaching")
def test_a_prior_that_helps_no_more_is_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fit_prior(prior(), shops())
    assert fit.prior is not None
    with database.write() as session:
        keep_prior(session, fit.prior)
    alike = shops(best=2.0)
    monkeypatch.setattr("lrsearch.local_evidence.local_evidence", lambda session: alike)

    done = run("prior", "fit")

    assert "What was learnt here makes it no better." in done.output
    assert "The service uses the shipped prior made up." in done.output
    assert in_force(database).version == "made up"


def test_a_prior_of_another_version_and_an_older_shipped_one_are_pointed_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        keep_prior(session, replace(prior(), version="0+local.20200101T000000"))
    shown = run("prior", "show").output
    assert f"Prior {shipped_prior().version} ships now; `lrsearch prior fit`" in shown

    with monkeypatch.context() as patch, database.write() as session:
        patch.setattr("lrsearch.search.prior.evidence.FORMAT", "lrsearch evidence 9")
        keep_prior(session, replace(prior(), version="0+local.20200102T000000"))
    shown = run("prior", "show").output
    assert f"Prior {shipped_prior().version}: the shipped one." in shown
    assert "0+local.20200102T000000, is of another version of lrsearch" in shown


def test_before_a_services_first_start_the_shipped_prior_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path / "nowhere"))

    assert f"Prior {shipped_prior().version}: the shipped one." in run("prior", "show").output
    assert not (tmp_path / "nowhere").exists()


def test_a_database_without_tables_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path / "elsewhere"))

    done = run("prior", "fit")

    assert done.exit_code == 2
    assert "lrsearch db upgrade" in done.stderr


@pytest.mark.usefixtures("database")
def test_the_recommended_scale_is_drawn(tmp_path: Path) -> None:
    done = run("prior", "plot", "--out", str(tmp_path / "pages" / "prior.html"))

    assert done.exit_code == 0, done.output
    page = (tmp_path / "pages" / "prior.html").read_text()
    assert "Recommended scale against images per label" in page
    assert shipped_prior().version in page

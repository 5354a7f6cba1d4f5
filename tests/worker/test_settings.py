"""The worker's settings."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from lrsearch.contract.base import Name
from lrsearch_worker.device import choose_device
from lrsearch_worker.settings import WorkerSettings, host_name


def test_arguments_stand_above_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSEARCH_WORKER_URL", "http://there:1/")
    monkeypatch.setenv("LRSEARCH_WORKER_MAX_TRIALS", "3")
    assert WorkerSettings().url == "http://there:1"
    settings = WorkerSettings(url="https://elsewhere/lrsearch/")
    assert (settings.url, settings.max_trials) == ("https://elsewhere/lrsearch", 3)


def test_the_key_file_stands_above_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WorkerSettings().key() is None
    monkeypatch.setenv("LRSEARCH_API_KEY", "from the environment")
    assert WorkerSettings().key() == "from the environment"
    file = tmp_path / "worker.key"
    file.write_text("from the file\n")
    assert WorkerSettings(key_file=file).key() == "from the file"


def test_a_key_file_without_a_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        WorkerSettings(key_file=tmp_path / "empty").key()
    with pytest.raises(ValueError, match="cannot be read"):
        WorkerSettings(key_file=tmp_path / "absent").key()


def test_a_url_without_a_scheme_is_an_error() -> None:
    with pytest.raises(ValidationError, match=r"such as http://127\.0\.0\.1:8000"):
        WorkerSettings(url="localhost:8000")


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(WorkerSettings(LRSEARCH_API_KEY="secret"))


@pytest.mark.parametrize("host", ["gpu-1.example.org", "_odd name!", "", "ü" * 200])
def test_any_machine_has_a_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    TypeAdapter(Name).validate_python(host_name())


def test_a_device_that_is_not_there_is_an_error() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match=r"device is 'mps', but torch finds only .*cpu"):
        choose_device("mps")

"""A service without keys answers its own machine only, whatever a web page there tries."""

from collections.abc import Callable

import pytest

from lrsearch.settings import Settings
from tests.api.conftest import problem
from tests.api.serving import Api, guarding

PATHS = ["/v1/jobs", "/docs", "/api/studies"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.7", ""]
)
def test_a_foreign_name_in_host_is_refused(shared: Api, path: str, host: str) -> None:
    refused = problem(shared.get(path, headers={"Host": host}), 403, "forbidden")
    assert repr(host) in refused["detail"]
    assert "127.0.0.1" in refused["remedy"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LocalHost:8000", "[::1]", "[::1]:8000"]
)
def test_every_name_of_loopback_is_answered(shared: Api, host: str) -> None:
    assert shared.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:1", "null", "http://127.0.0.1:1", ""]
)
def test_what_another_site_sends_is_refused(shared: Api, path: str, origin: str) -> None:
    refused = problem(shared.post(path, headers={"Origin": origin}), 403, "forbidden")
    assert repr(origin) in refused["detail"]
    problem(shared.get(path, headers={"Origin": origin}), 403, "forbidden")


def test_what_its_own_pages_send_is_answered(shared: Api) -> None:
    origin = f"http://127.0.0.1:{shared.port}"
    assert shared.get("/v1/jobs", headers={"Origin": origin}).status_code == 200
    answer = shared.post("/v1/jobs", json={"data_set": "no"}, headers={"Origin": origin})
    problem(answer, 404)


def test_with_keys_any_name_will_do(sqlite_settings: Callable[..., Settings]) -> None:
    with guarding(sqlite_settings(require_keys=True)) as api:
        headers = {"Host": "gpu.example.org", "Origin": "https://elsewhere.example"}
        assert api.get("/healthz", headers=headers).status_code == 200
        problem(api.get("/v1/jobs", headers=headers), 401)

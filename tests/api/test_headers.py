"""Headers that keep browsers from doing more with an answer than to show it."""

import httpx
import pytest

from lrsearch.jobs import jobs
from tests.api.conftest import Json
from tests.api.serving import Api

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


PAGES = ("/docs", "/dashboard/")


def has(answer: httpx.Response, headers: dict[str, str]) -> bool:
    return headers.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/nothing", "/healthz", "/docs", "/openapi.json", "/dashboard/"]
)
def test_every_answer_has_them(shared: Api, path: str) -> None:
    answer = shared.get(path)
    assert has(answer, EVERYWHERE)
    assert answer.headers["x-frame-options"] == ("DENY" if "/v1" in path else "SAMEORIGIN")


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": "localhost:1"}])
def test_answers_of_the_api_are_neither_run_nor_kept(shared: Api, headers: dict[str, str]) -> None:
    answer = shared.get("/v1/jobs", headers=headers)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_an_error_of_our_own_has_them_too(shared: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(jobs, "list_jobs", broken)
    answer = httpx.get(f"{shared.base_url}/v1/jobs")  # its connection is closed afterwards
    assert answer.status_code == 500
    assert has(answer, EVERYWHERE)
    assert answer.headers["cache-control"] == "no-store"


def test_pages_may_run_their_scripts(shared: Api) -> None:
    policies = {path: shared.get(path).headers["content-security-policy"] for path in PAGES}
    assert policies["/docs"] == "frame-ancestors 'self'"
    assert "script-src 'self'" in policies["/dashboard/"]  # its own


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v1/datasets/animals/content", "application/zip"),
        ("/v1/source-models/general/weights", "application/octet-stream"),
        ("/v1/jobs/{job}/weights", "application/octet-stream"),
        ("/v1/blobs/{sha256}", "application/octet-stream"),
    ],
)
def test_a_file_is_saved_and_never_shown(
    shared: Api, finished: Json, path: str, content_type: str
) -> None:
    result = shared.get(f"/v1/jobs/{finished['id']}/result").json()
    answer = shared.get(path.format(job=finished["id"], sha256=result["weights_sha256"]))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert has(answer, EVERYWHERE)

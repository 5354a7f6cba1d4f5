"""The OpenAPI document."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lrsearch.api.app import create_app
from lrsearch.settings import Settings
from tests.api.conftest import Json
from tests.api.serving import Api

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

ROUTES = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "POST /v1/datasets",
    "POST /v1/datasets/folders",
    "GET /v1/datasets",
    "GET /v1/datasets/{data_set}",
    "GET /v1/datasets/{data_set}/content",
    "POST /v1/source-models",
    "GET /v1/source-models",
    "GET /v1/source-models/{source_model}",
    "GET /v1/source-models/{source_model}/weights",
    "POST /v1/jobs",
    "GET /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "PATCH /v1/jobs/{job_id}",
    "DELETE /v1/jobs/{job_id}",
    "POST /v1/jobs/{job_id}/cancel",
    "GET /v1/jobs/{job_id}/trials",
    "GET /v1/jobs/{job_id}/trials/{number}",
    "GET /v1/jobs/{job_id}/trials/{number}/log",
    "GET /v1/jobs/{job_id}/events",
    "GET /v1/jobs/{job_id}/result",
    "GET /v1/jobs/{job_id}/weights",
    "POST /v1/workers",
    "GET /v1/workers",
    "POST /v1/recommendations",
    "POST /v1/leases",
    "POST /v1/leases/{lease_id}/heartbeat",
    "PUT /v1/leases/{lease_id}/work/{work_id}/weights",
    "PUT /v1/leases/{lease_id}/work/{work_id}/checkpoint",
    "GET /v1/leases/{lease_id}/work/{work_id}/checkpoint",
    "POST /v1/leases/{lease_id}/work/{work_id}/report",
    "POST /v1/leases/{lease_id}/release",
    "GET /v1/blobs/{sha256}",
    "POST /v1/keys",
    "GET /v1/keys",
    "PATCH /v1/keys/{key}",
    "POST /v1/keys/{key}/revoke",
}


@pytest.fixture
def document(shared: Api) -> Json:
    document: Json = shared.get("/openapi.json").json()
    return document


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_it_holds_every_route_of_the_contract(document: Json) -> None:
    assert {name for name, _ in operations(document)} == ROUTES


def test_every_route_is_described_and_says_what_it_answers(document: Json) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        successes = {s: r for s, r in operation["responses"].items() if s.startswith("2")}
        assert successes, name
        for status, response in successes.items():
            assert response["description"], name
            if status != "204":
                schemas = [content.get("schema") for content in response["content"].values()]
                assert all(schemas), f"{name} {status}"


def test_every_route_declares_its_problems(document: Json) -> None:
    for name, operation in operations(document):
        for status in ("4XX", "5XX"):
            assert operation["responses"][status]["content"] == PROBLEM, name
        assert "422" not in operation["responses"], name
    assert set(document["components"]["schemas"]["Problem"]["required"]) >= {"code", "detail"}


def test_every_parameter_and_every_field_of_a_request_is_described(document: Json) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            is_described = parameter.get("description") or parameter["in"] == "path"
            assert is_described, f"{name}: {parameter['name']}"
    for name in (
        "JobRequest",
        "Recipe",
        "Budget",
        "Graduated",
        "FolderRegistration",
        "Splits",
        "Probe",
        "KeyRequest",
        "KeyChange",
        "Limits",
    ):
        schema = document["components"]["schemas"][name]
        assert schema["description"], name
        for field, declared in schema["properties"].items():
            assert declared.get("description") or "const" in declared, f"{name}.{field}"


def test_uploads_and_downloads_are_binary(document: Json) -> None:
    binary = {"schema": {"type": "string", "format": "binary"}}
    paths: dict[str, Any] = document["paths"]
    for path, method in (
        ("/v1/datasets", "post"),
        ("/v1/source-models", "post"),
        ("/v1/leases/{lease_id}/work/{work_id}/weights", "put"),
        ("/v1/leases/{lease_id}/work/{work_id}/checkpoint", "put"),
    ):
        body = paths[path][method]["requestBody"]
        assert (body["required"], body["content"]) == (True, {"application/octet-stream": binary})
    for path, media_type in (
        ("/v1/datasets/{data_set}/content", "application/zip"),
        ("/v1/jobs/{job_id}/weights", "application/octet-stream"),
        ("/v1/blobs/{sha256}", "application/octet-stream"),
        ("/v1/leases/{lease_id}/work/{work_id}/checkpoint", "application/octet-stream"),
    ):
        assert paths[path]["get"]["responses"]["200"]["content"] == {media_type: binary}


def test_what_tells_things_apart_has_to_be_sent(document: Json) -> None:
    schemas = document["components"]["schemas"]
    for name, field in (
        ("Graduated", "name"),
        ("Views", "kind"),
        ("TrialReport", "kind"),
        ("FailedReport", "kind"),
        ("Timm", "network"),
    ):
        assert field in schemas[name]["required"], name
    assert all(
        len(set(it.get("required", []))) == len(it.get("required", [])) for it in schemas.values()
    )


def test_each_event_of_a_stream_is_described(document: Json) -> None:
    stream = document["paths"]["/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]
    sent = stream["text/event-stream"]["schema"]["properties"]["data"]
    assert sent["contentSchema"] == {"$ref": "#/components/schemas/Event"}
    schemas = document["components"]["schemas"]
    kinds = schemas["Event"]["properties"]["body"]["discriminator"]["mapping"]
    assert {"trial_finished", "job_finished"} <= set(kinds)
    assert all(
        reference.removeprefix("#/components/schemas/") in schemas for reference in kinds.values()
    )


def test_keys_are_asked_for_only_where_they_are_demanded(
    document: Json, sqlite_settings: Callable[..., Settings]
) -> None:
    for _, operation in operations(document):
        assert "security" not in operation
        assert not {"401", "403", "429"} & set(operation["responses"])
    guarded = create_app(sqlite_settings(require_keys=True)).openapi()
    assert guarded["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for name, operation in operations(guarded):
        keyed = "/v1/" in name or name == "GET /metrics"
        assert ("security" in operation) is keyed, name
    content = guarded["paths"]["/v1/datasets/{data_set}/content"]["get"]
    assert content["security"] == [{"HTTPBearer": ["read"]}, {"HTTPBearer": ["worker"]}]


def test_what_wants_a_key_says_how_it_refuses(sqlite_settings: Callable[..., Settings]) -> None:
    guarded = create_app(sqlite_settings(require_keys=True)).openapi()
    for name, operation in operations(guarded):
        if "security" not in operation:
            continue
        refusals = {status: operation["responses"][status] for status in ("401", "403", "429")}
        assert all(refusal["content"] == PROBLEM for refusal in refusals.values()), name
        assert "WWW-Authenticate" in refusals["401"]["headers"]
        assert "Retry-After" in refusals["429"]["headers"]


def test_it_is_shown_to_people(shared: Api) -> None:
    page = shared.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "/openapi.json" in page.text

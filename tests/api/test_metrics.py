"""Metrics, as Prometheus asks for them."""

from collections.abc import Callable

from tests.api.conftest import Json
from tests.api.fake_worker import FakeWorker
from tests.api.serving import Api
from tests.service.test_metrics import read

Submit = Callable[[Json], Json]


def test_requests_are_timed_by_route(api: Api) -> None:
    def count(**labels: str) -> float:
        text = api.get("/metrics").text
        return read(text, "lrsearch_http_request_seconds_count", **labels)

    route = "/v1/jobs/{job_id}"
    before = count(route=route, method="GET", status="404")
    for number in range(3):
        api.get(f"/v1/jobs/00000000-0000-7000-8000-00000000000{number}")
    assert count(route=route, method="GET", status="404") == before + 3
    assert count(route="/metrics", method="GET", status="200") > 0


def test_the_service_answers_in_prometheus_own_type(api: Api, submit: Submit) -> None:
    submit({"data_set": "animals", "source_model": "random"})
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert read(answer.text, "lrsearch_work_waiting", kind="trial", device="any") == 1
    assert read(answer.text, "lrsearch_store_bytes", store="blobs") > 0
    assert read(answer.text, "process_resident_memory_bytes") > 0


def test_a_finished_round_leaves_nothing_waiting(api: Api, submit: Submit) -> None:
    submit(
        {
            "data_set": "animals",
            "source_model": "random",
            "strategy": "exhaustive",
            "protocol": {"name": "last_layer", "ll": [0.02]},
            "recipe": {"epochs": 1},
        }
    )
    FakeWorker(api).work_off({0: 0.5, 1: 0.6})
    text = api.get("/metrics").text
    assert read(text, "lrsearch_work_waiting") == 0
    assert read(text, "lrsearch_leases_active") == 0

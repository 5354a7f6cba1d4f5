"""What is sent again, and what is not."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from lrsearch import Client, ClientError, ProblemError
from lrsearch.client import ChecksumError, ServiceUnreachableError
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.problems import FieldProblem, Problem
from tests.client.images import write_images
from tests.report.outcomes import JOB_ID, a_job, a_report

Answer = httpx.Response | Exception


class Service:
    """Gives the answers in turn, the last one again and again; remembers the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Service], Client]:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    return lambda service: Client("http://service", transport=httpx.MockTransport(service))


JOB = httpx.Response(200, text=a_job().model_dump_json())

UNAVAILABLE = httpx.Response(503)

BROKEN = httpx.ReadError("broken")

REFUSED = httpx.ConnectError("refused")

REQUEST = JobRequest(data_set="cats")


@pytest.mark.parametrize("passing", [UNAVAILABLE, BROKEN, REFUSED, httpx.ReadTimeout("late")])
def test_a_question_is_asked_again(client_of: Callable[[Service], Client], passing: Answer) -> None:
    service = Service(passing, passing, JOB)

    assert client_of(service).job(JOB_ID) == a_job()
    assert len(service.requests) == 3


def test_a_job_is_submitted_again_with_the_same_key(
    client_of: Callable[[Service], Client],
) -> None:
    service = Service(BROKEN, JOB)

    client_of(service).submit(REQUEST)

    first, second = (request.headers["Idempotency-Key"] for request in service.requests)
    assert first == second
    assert service.requests[0].content == service.requests[1].content


def test_two_submissions_have_keys_of_their_own(client_of: Callable[[Service], Client]) -> None:
    service = Service(JOB)
    client = client_of(service)

    client.submit(REQUEST)
    client.submit(REQUEST)

    first, second = (request.headers["Idempotency-Key"] for request in service.requests)
    assert first != second


def test_an_upload_is_not_repeated_once_it_has_begun(
    client_of: Callable[[Service], Client], tmp_path: Path
) -> None:
    service = Service(BROKEN)

    with pytest.raises(ServiceUnreachableError):
        client_of(service).upload_data_set(write_images(tmp_path / "images"))

    assert len(service.requests) == 1


def test_an_upload_is_repeated_where_no_connection_was_made(
    client_of: Callable[[Service], Client], tmp_path: Path
) -> None:
    data_set = httpx.Response(202, text=a_report().data_set.model_dump_json())
    service = Service(REFUSED, data_set)

    client_of(service).upload_data_set(write_images(tmp_path / "images"))

    first, second = service.requests
    assert first.content == second.content
    assert int(second.headers["Content-Length"]) == len(second.content) > 0
    assert second.url.params["name"] == "images"


def test_a_service_that_never_answers_is_named_in_the_error(
    client_of: Callable[[Service], Client],
) -> None:
    with pytest.raises(ServiceUnreachableError, match=r"http://service .*refused"):
        client_of(Service(REFUSED)).job(JOB_ID)


def test_the_key_goes_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSEARCH_API_KEY", "lrs_secret")
    monkeypatch.setenv("LRSEARCH_URL", "http://elsewhere/")
    service = Service(JOB)

    with Client(transport=httpx.MockTransport(service)) as client:
        client.job(JOB_ID)

    assert client.url == "http://elsewhere"
    assert service.requests[0].headers["Authorization"] == "Bearer lrs_secret"


@pytest.mark.parametrize("spare", [None, "lrs_of_the_variable"])
def test_the_key_may_stand_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spare: str | None
) -> None:
    file = tmp_path / "me.key"
    file.write_text("lrs_of_the_file\n")
    monkeypatch.setenv("LRSEARCH_API_KEY_FILE", str(file))
    if spare is not None:
        monkeypatch.setenv("LRSEARCH_API_KEY", spare)
    service = Service(JOB)

    with Client("http://service", transport=httpx.MockTransport(service)) as client:
        client.job(JOB_ID)

    assert service.requests[0].headers["Authorization"] == "Bearer lrs_of_the_file"


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), ("\n", "is empty")])
def test_a_file_without_a_key_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "me.key"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("LRSEARCH_API_KEY_FILE", str(file))

    with pytest.raises(ClientError, match=f"me.key {says}"):
        Client("http://service")


def a_refusal(code: str) -> httpx.Response:
    """Of status 429, for seven seconds."""
    problem = Problem(
        type=f"urn:lrsearch:problem:{code}",
        title="Too Many Requests",
        status=429,
        detail="The key allows no more.",
        code=code,
    )
    return httpx.Response(429, text=problem.model_dump_json(), headers={"Retry-After": "7"})


def test_too_many_requests_are_sent_again_when_the_service_wants_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    data_set = httpx.Response(202, text=a_report().data_set.model_dump_json())
    service = Service(a_refusal("too_many_requests"), data_set)

    with Client("http://service", transport=httpx.MockTransport(service)) as client:
        client.upload_data_set(write_images(tmp_path / "images"))

    assert len(service.requests) == 2
    assert pauses == [pytest.approx(7.0)]


@pytest.mark.parametrize("code", ["too_many_jobs", "too_many_bytes"])
def test_a_limit_that_does_not_pass_by_itself_is_told_at_once(
    client_of: Callable[[Service], Client], code: str
) -> None:
    service = Service(a_refusal(code))

    with pytest.raises(ProblemError, match="allows no more") as caught:
        client_of(service).submit(REQUEST)

    assert caught.value.retry_after_seconds == 7.0
    assert len(service.requests) == 1


def test_a_problem_reads_as_detail_fields_and_remedy(
    client_of: Callable[[Service], Client],
) -> None:
    problem = Problem(
        type="urn:lrsearch:problem:invalid",
        title="Invalid",
        status=422,
        detail="The request is not valid.",
        code="invalid",
        remedy="Mend it.",
        errors=[FieldProblem(field="recipe.epochs", message="must be 1 or more", value=0)],
        paths=["cats/broken.png"],
    )
    service = Service(httpx.Response(422, text=problem.model_dump_json()))

    with pytest.raises(ProblemError) as caught:
        client_of(service).submit(REQUEST)

    assert caught.value.problem == problem
    assert str(caught.value).splitlines() == [
        "The request is not valid.",
        "  recipe.epochs: must be 1 or more (sent: 0)",
        "  cats/broken.png",
        "Mend it.",
    ]
    assert len(service.requests) == 1


def test_an_error_that_states_no_problem_is_told_by_its_status(
    client_of: Callable[[Service], Client],
) -> None:
    with pytest.raises(ProblemError, match="status 404"):
        client_of(Service(httpx.Response(404, text="<h1>proxy</h1>"))).job(JOB_ID)


def test_damaged_weights_are_not_kept(
    client_of: Callable[[Service], Client], tmp_path: Path
) -> None:
    result = a_report().result
    assert result is not None
    service = Service(
        httpx.Response(200, text=result.model_dump_json()), httpx.Response(200, content=b"damaged")
    )

    with pytest.raises(ChecksumError, match="SHA-256"):
        client_of(service).download_weights(JOB_ID, tmp_path / "winner.safetensors")

    assert list(tmp_path.iterdir()) == []

"""Webhooks: told once a job has ended, again until they have heard, and never into our network."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from lrsearch.client import SignatureError, read_webhook
from lrsearch.contract.jobs import Job
from lrsearch.contract.protocols import LastLayer
from lrsearch.contract.webhooks import (
    DELIVERY_HEADER,
    SIGNATURE_HEADER,
    Webhook,
    signature_of,
)
from lrsearch.db.engine import Database
from lrsearch.db.tables import JobRow
from lrsearch.errors import InvalidError
from lrsearch.settings import Settings
from lrsearch.upkeep import webhooks
from lrsearch.upkeep.webhooks import RETRY_SECONDS, SENDING_SECONDS, deliver_next, is_public
from tests.service.rig import Rig, one_database
from tests.service.snapshot import snapshot

SECRET = "sixteen characters or more"  # noqa: S105 - of a test


class Receiver(HTTPServer):
    """Notes what it is sent; answers 200, or what `answers` says first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?for=me"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Location", self.server.url)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


@pytest.fixture
def inside(settings: Settings) -> Settings:
    """Settings that let webhooks go to this machine."""
    return settings.model_copy(update={"webhook_private_addresses": True})


def submit(rig: Rig, url: str) -> Job:
    """A job of one finetune that tells `url` of its end."""
    webhook = Webhook(url=url, secret=SECRET)
    return rig.submit(protocol=LastLayer(ll=[0.02]), webhook=webhook)


def pass_time(rig: Rig, job: Job, seconds: float) -> None:
    """Let the next attempt be due so much earlier."""
    with rig.database.write() as session:
        row = session.get_one(JobRow, job.id)
        assert row.webhook_next_at is not None
        row.webhook_next_at -= timedelta(seconds=seconds)


def test_a_complete_job_is_told_with_its_result_and_signed(
    rig: Rig, receiver: Receiver, inside: Settings
) -> None:
    job = submit(rig, receiver.url)
    assert not deliver_next(rig.database, inside)
    rig.run()
    assert rig.job(job).delivery is not None
    assert deliver_next(rig.database, inside)
    assert not deliver_next(rig.database, inside)
    [(path, headers, body)] = receiver.requests
    assert path == "/hook?for=me"
    assert headers["Content-Type"] == "application/json"
    assert headers[DELIVERY_HEADER] == job.id
    told = read_webhook(body, headers[SIGNATURE_HEADER], SECRET)
    assert told.job == rig.job(job).model_copy(update={"delivery": None})
    assert told.result == rig.result(job)
    delivery = rig.job(job).delivery
    assert delivery is not None
    assert (delivery.state, delivery.attempts, delivery.error) == ("delivered", 1, None)


def test_a_cancelled_job_is_told_too(rig: Rig, receiver: Receiver, inside: Settings) -> None:
    job = submit(rig, receiver.url)
    rig.cancel(job.id)
    assert deliver_next(rig.database, inside)
    [(_, headers, body)] = receiver.requests
    told = read_webhook(body, headers[SIGNATURE_HEADER], SECRET)
    assert (told.job.state, told.result) == ("cancelled", None)


def test_the_secret_is_shown_to_nobody(rig: Rig, receiver: Receiver, inside: Settings) -> None:
    job = submit(rig, receiver.url)
    rig.cancel(job.id)
    deliver_next(rig.database, inside)
    assert job.request.webhook == Webhook(url=receiver.url)
    assert SECRET not in rig.job(job).model_dump_json()
    assert SECRET.encode() not in receiver.requests[0][2]
    with rig.database.read() as session:
        assert SECRET not in str(session.get_one(JobRow, job.id).request)
    assert SECRET not in repr(Webhook(url=receiver.url, secret=SECRET))


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_is_not_accepted_is_sent_again_after_a_while(
    rig: Rig, receiver: Receiver, inside: Settings, status: int
) -> None:
    receiver.answers = [status]
    job = submit(rig, receiver.url)
    rig.cancel(job.id)
    assert deliver_next(rig.database, inside)
    delivery = rig.job(job).delivery
    assert delivery is not None
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.error == f"it answered {status}"
    assert not deliver_next(rig.database, inside)
    pass_time(rig, job, RETRY_SECONDS[0])
    assert deliver_next(rig.database, inside)
    first, second = receiver.requests  # a redirection was not followed
    assert first[2] == second[2]
    delivery = rig.job(job).delivery
    assert delivery is not None
    assert (delivery.state, delivery.attempts) == ("delivered", 2)


def test_who_never_answers_is_given_up(rig: Rig, receiver: Receiver, inside: Settings) -> None:
    receiver.answers = [503] * 100
    job = submit(rig, receiver.url)
    rig.cancel(job.id)
    attempts = 1
    deliver_next(rig.database, inside)
    for seconds in RETRY_SECONDS:
        pass_time(rig, job, seconds)
        assert deliver_next(rig.database, inside)
        attempts += 1
    delivery = rig.job(job).delivery
    assert delivery is not None
    assert (delivery.state, delivery.attempts) == ("failed", attempts)
    assert delivery.next_at is None
    assert len(receiver.requests) == attempts


def test_a_replica_that_dies_while_it_sends_is_succeeded_by_another(
    rig: Rig, receiver: Receiver, inside: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(rig, receiver.url)
    rig.cancel(job.id)
    with monkeypatch.context() as patch:
        patch.setattr(webhooks, "_attempt", _die)
        with pytest.raises(KeyboardInterrupt):
            deliver_next(rig.database, inside)
    another = Database(rig.settings.database)
    assert not deliver_next(another, inside)
    pass_time(rig, job, SENDING_SECONDS)
    assert deliver_next(another, inside)
    assert len(receiver.requests) == 1
    another.dispose()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"],  # noqa: S104
)
@one_database
def test_addresses_of_our_own_network_are_refused(rig: Rig, receiver: Receiver, host: str) -> None:
    job = submit(rig, f"http://{host}:{receiver.server_port}/")
    rig.cancel(job.id)
    assert deliver_next(rig.database, rig.settings)
    delivery = rig.job(job).delivery
    assert delivery is not None
    assert "no public address" in str(delivery.error)
    assert receiver.requests == []


@one_database
def test_a_name_is_looked_up_once_and_its_address_used(
    rig: Rig, receiver: Receiver, inside: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    monkeypatch.setattr(webhooks, "resolve", resolve)
    job = submit(rig, f"http://receiver.example:{receiver.server_port}/")
    rig.cancel(job.id)
    assert deliver_next(rig.database, inside)
    assert asked == [("receiver.example", receiver.server_port)]
    [(_, headers, _)] = receiver.requests
    assert headers["Host"] == f"receiver.example:{receiver.server_port}"


@one_database
def test_a_name_with_any_private_address_is_refused(
    rig: Rig, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.7"]

    monkeypatch.setattr(webhooks, "resolve", resolve)
    job = submit(rig, "https://receiver.example/")
    rig.cancel(job.id)
    assert deliver_next(rig.database, rig.settings)
    delivery = rig.job(job).delivery
    assert delivery is not None
    assert delivery.error == "receiver.example is 10.0.0.7, which is no public address"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("10.0.0.7", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("127.8.9.10", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.1.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.7", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_internet_at_large_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "//example.org/",
        "https://",
        "https://user:secret@example.org/",
        "https://example.org:99999/",
        "https://exämple.org/",
        "https://example.org/a b",
        "https://example.org/\r\nX: y",
    ],
)
def test_what_is_no_address_for_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        Webhook(url=url, secret=SECRET)


@one_database
def test_a_webhook_without_a_secret_is_refused(rig: Rig) -> None:
    before = snapshot(rig.database)
    with pytest.raises(InvalidError) as caught:
        rig.submit(webhook=Webhook(url="https://example.org/"))
    assert [error.field for error in caught.value.errors] == ["webhook.secret"]
    assert snapshot(rig.database) == before


def test_what_is_forged_old_or_of_another_body_is_not_read() -> None:
    now = int(time.time())
    good = signature_of(SECRET, now, b"{}")
    for body, signature, secret, reason in [
        (b"{ }", good, SECRET, "not of this body"),
        (b"{}", good, "another secret of ours", "not of this body"),
        (b"{}", good.replace("v1=", "v1=0"), SECRET, "not of this body"),
        (b"{}", good.replace(f"t={now}", f"t={now + 1}"), SECRET, "not of this body"),
        (b"{}", signature_of(SECRET, now - 301, b"{}"), SECRET, "more than 300 s ago"),
        (b"{}", good, SECRET, "not a notification"),
        (b"{}", "", SECRET, "is not t=SECONDS"),
    ]:
        with pytest.raises(SignatureError, match=reason):
            read_webhook(body, signature, secret)


async def _die(*_: object) -> None:
    raise KeyboardInterrupt

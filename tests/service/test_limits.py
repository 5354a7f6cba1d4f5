"""Limits hold however many ask at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lrsearch import data_sets
from lrsearch.contract.keys import KeyRequest, Limits
from lrsearch.db.engine import Database
from lrsearch.errors import LimitError
from lrsearch.keys import authenticate, create_key
from lrsearch.limits import limits_of
from lrsearch.principals import Principal
from lrsearch.settings import Settings
from lrsearch.store import Blob
from tests.service.rig import Rig

AT_ONCE = 8


@pytest.fixture
def ada(database: Database) -> Principal:
    """Of a key that allows three unfinished jobs and 1000 bytes."""
    limits = Limits(running_jobs=3, stored_bytes=1000)
    with database.write() as session:
        secret = create_key(session, KeyRequest(name="ada", limits=limits)).secret
        return authenticate(session, secret)


def test_of_jobs_submitted_at_once_as_many_are_taken_as_are_allowed(
    rig: Rig, ada: Principal
) -> None:
    def submit(_: int) -> bool:
        try:
            rig.submit(principal=ada)
        except LimitError:
            return False
        return True

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(submit, range(AT_ONCE))) == 3


def test_of_uploads_at_once_as_many_are_taken_as_there_is_room_for(
    rig: Rig, ada: Principal
) -> None:
    def upload(number: int) -> bool:
        try:
            with rig.database.write() as session:
                blob = Blob(f"{number:064x}", size_bytes=400)
                data_sets.add_upload(session, f"upload-{number}", blob, ada)
        except LimitError:
            return False
        return True

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(upload, range(AT_ONCE))) == 2


def test_a_keys_own_limits_go_before_the_services(ada: Principal) -> None:
    settings = Settings(max_running_jobs=7, max_stored_bytes=0, max_requests_per_second=5.0)
    assert limits_of(ada, settings) == Limits(
        running_jobs=3, stored_bytes=1000, requests_per_second=5.0
    )
    unlimited = replace(ada, limits=Limits(running_jobs=0))
    assert limits_of(unlimited, settings) == Limits(requests_per_second=5.0)
    fleet = replace(ada, scopes=frozenset({"worker"}), limits=Limits())
    assert limits_of(fleet, settings) == Limits(running_jobs=7)

"""Limits hold however many ask at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lrsearch import data_sets
from lrsearch.access.keys import authenticate, create_key
from lrsearch.access.limits import limits_of, room_of
from lrsearch.access.principals import Principal
from lrsearch.contract.keys import KeyRequest, Limits
from lrsearch.db.engine import Database
from lrsearch.errors import LimitError
from lrsearch.jobs import control
from lrsearch.settings import Settings
from lrsearch.store import Blob
from tests.service.rig import WEIGHTS_BYTES, Rig

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


def test_weights_that_are_kept_of_jobs_count_until_the_job_is_deleted(
    rig: Rig, ada: Principal
) -> None:
    def left_bytes() -> int:
        with rig.database.read() as session:
            room = room_of(session, ada)
        assert room is not None
        return room.left_bytes

    assert left_bytes() == 1000
    job, others = rig.submit(principal=ada), rig.submit()
    rig.run(lambda work: {0: 0.2, 3: 0.9}.get(work.number, 0.1))
    assert rig.result(job).winner.trial == 3
    assert rig.job(others).state == "complete"
    assert left_bytes() == 1000 - 2 * WEIGHTS_BYTES  # the winner's and the baseline's

    with rig.database.write() as session, pytest.raises(LimitError, match="800 are left"):
        data_sets.add_upload(session, "large", Blob("0" * 64, size_bytes=801), ada)
    with rig.database.write() as session:
        control.delete_job(session, job.id, ada)
    assert left_bytes() == 1000


def test_a_keys_own_limits_go_before_the_services(ada: Principal) -> None:
    settings = Settings(max_running_jobs=7, max_stored_bytes=0, max_requests_per_second=5.0)
    assert limits_of(ada, settings) == Limits(
        running_jobs=3, stored_bytes=1000, requests_per_second=5.0
    )
    unlimited = replace(ada, limits=Limits(running_jobs=0))
    assert limits_of(unlimited, settings) == Limits(requests_per_second=5.0)
    fleet = replace(ada, scopes=frozenset({"worker"}), limits=Limits())
    assert limits_of(fleet, settings) == Limits(running_jobs=7)

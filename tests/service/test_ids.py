"""Identifiers and the pages that are sorted by them."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from lrsearch.access.principals import NOBODY
from lrsearch.contract.base import Identifier
from lrsearch.ids import new_id
from lrsearch.jobs.jobs import list_jobs
from tests.service.rig import Rig


def test_ids_are_uuids_of_version_7_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert UUID(made).version == 7
    assert UUID(made).variant == "specified in RFC 4122"
    assert before <= UUID(made).int >> 80 <= after
    assert TypeAdapter(Identifier).validate_python(made) == made


def test_ids_of_one_process_sort_by_creation_even_within_a_millisecond() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_ids_go_on_where_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert new_id() > first


def test_threads_make_different_ids() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_id(), range(4000)))
    assert len(set(ids)) == len(ids)


def test_pages_list_the_newest_first_and_continue_where_they_ended(rig: Rig) -> None:
    jobs = [rig.submit().id for _ in range(5)]
    seen: list[str] = []
    cursor = None
    with rig.database.read() as session:
        while True:
            page = list_jobs(session, NOBODY, cursor, limit=2)
            assert len(page.items) <= 2
            seen += [job.id for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
    assert seen == jobs[::-1]


def test_a_page_does_not_shift_when_something_new_comes_in(rig: Rig) -> None:
    jobs = [rig.submit().id for _ in range(3)]
    with rig.database.read() as session:
        cursor = list_jobs(session, NOBODY, None, limit=1).next_cursor
    rig.submit()
    with rig.database.read() as session:
        assert [job.id for job in list_jobs(session, NOBODY, cursor, limit=9).items] == jobs[1::-1]

"""Which prior the service uses: the installation's own, where it has one, else the shipped one."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from lrsearch.contract.leases import ProbeReport, ProbeWork, TrialWork
from lrsearch.contract.protocols import Graduated
from lrsearch.db.engine import Database
from lrsearch.db.tables import PriorRow
from lrsearch.priors import keep_prior, own_prior, prior_in_force, reset_prior, shipped_prior
from lrsearch.search.prior.prior import Prior
from lrsearch.settings import Settings
from tests.probes import a_probe
from tests.search.prior.made_up import SCALES, prior
from tests.service.rig import Rig


@pytest.fixture
def other_replica(settings: Settings) -> Iterator[Database]:
    """Another connection to the same database."""
    database = Database(settings.database)
    yield database
    database.dispose()


def in_force(database: Database) -> Prior:
    with database.read() as session:
        return prior_in_force(session)


def keep(database: Database, prior: Prior) -> None:
    with database.write() as session:
        keep_prior(session, prior)


def knowing(scale: float) -> Prior:
    """A prior of tasks on which this scale was the best."""
    return prior({"birds": scale, "signs": scale})


def test_without_one_of_its_own_an_installation_uses_the_shipped_prior(database: Database) -> None:
    assert in_force(database) is shipped_prior()
    with database.write() as session:
        assert own_prior(session) is None
        assert not reset_prior(session)


def test_all_replicas_use_the_own_prior_until_it_is_reset(
    database: Database, other_replica: Database
) -> None:
    keep(database, prior())

    for replica in (database, other_replica):
        found = in_force(replica)
        assert found.version == "made up"
        assert found.evidence.values == pytest.approx(prior().evidence.values, rel=1e-6)
        assert in_force(replica) is found
    with other_replica.write() as session:
        assert reset_prior(session)
    assert in_force(database) is shipped_prior()


def test_a_newer_prior_takes_the_place_of_the_one_before(database: Database) -> None:
    keep(database, knowing(2.0))
    before = in_force(database)
    keep(database, knowing(8.0))

    after = in_force(database)

    assert after.evidence.values.tolist() != before.evidence.values.tolist()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(PriorRow)) == 1


def test_a_prior_that_is_not_committed_is_not_used(database: Database) -> None:
    with database.write() as session:
        keep_prior(session, prior())
        session.rollback()

    assert in_force(database) is shipped_prior()


@pytest.mark.parametrize("damage", ["cut off", "of another version", "not at all one"])
def test_a_prior_that_cannot_be_read_is_logged_once_and_the_shipped_one_used(
    database: Database, damage: str
) -> None:
    content = prior().to_bytes()
    damaged = {
        "cut off": content[:-100],
        "of another version": content.replace(b"lrsearch evidence 1", b"lrsearch evidence 9"),
        "not at all one": b"rates = good",
    }[damage]
    keep(database, prior())
    with database.write() as session:
        session.execute(update(PriorRow).values(content=damaged))

    with capture_logs() as logs:
        assert in_force(database) is shipped_prior()
        assert in_force(database) is shipped_prior()

    assert [entry["event"] for entry in logs] == ["the installation's own prior cannot be read"]
    assert logs[0]["version"] == "made up"


def test_a_search_goes_by_the_prior_that_is_in_force_when_it_proposes(rig: Rig) -> None:
    def first_trial() -> TrialWork:
        """The first trial of a new job, after its probe and its baseline."""
        graduated = Graduated(scale=list(SCALES))
        job = rig.submit(strategy="recommend", probe=True, protocol=graduated)
        lease = rig.claim()
        for work in lease.work:
            if isinstance(work, ProbeWork):
                rig.report(lease, work, ProbeReport(probe=a_probe()))
        rig.complete(lease, 0.5)
        (trial,) = rig.claim().work
        assert isinstance(trial, TrialWork)
        rig.cancel(job.id)
        return trial

    for scale in (8.0, 0.5):
        keep(rig.database, knowing(scale))
        assert first_trial().rates.head == pytest.approx(scale * 0.016)

"""Attacks on the whole API: with an administrator's key, a user's, a reader's, and with none."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Literal

from lrsearch.contract.keys import Scope
from lrsearch.db.migrate import upgrade
from lrsearch.settings import Settings
from tests.api.conftest import secret
from tests.api.serving import Api, guarding
from tests.fuzz.api.attack import Finding, Outcome, attack
from tests.fuzz.api.world import World
from tests.postgres import new_database, start_server

Database = Literal["sqlite", "postgresql"]

FEWEST_CASES = 5000
"""Of a whole run."""

SERVER_ERRORS = frozenset({"not_a_server_error"})
UNDECLARED = frozenset(
    {
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    }
)

OWNER = "ada"


@dataclass(frozen=True)
class Attack:
    """With which key, and how much."""

    database: Database
    scopes: tuple[Scope, ...]
    """Of the key; none: without one."""
    examples: int
    systematic: bool = True

    @property
    def name(self) -> str:
        """For the figures."""
        return "+".join(self.scopes) or "no key"


WHOLE = (
    Attack("postgresql", ("admin",), examples=40),
    Attack("postgresql", ("read", "submit", "worker"), examples=20, systematic=False),
    Attack("postgresql", ("read",), examples=10, systematic=False),
    Attack("postgresql", (), examples=5, systematic=False),
    Attack("sqlite", ("admin",), examples=20),
)

SHORT = (
    Attack("sqlite", ("admin",), examples=6, systematic=False),
    Attack("sqlite", ("read",), examples=1, systematic=False),
    Attack("sqlite", (), examples=1, systematic=False),
)


@dataclass
class Report:
    """Of all attacks."""

    figures: dict[str, Any]
    findings: list[Finding]
    unreached: list[str]
    """Routes that never succeeded, so that what they do was not tried."""


def run(attacks: tuple[Attack, ...], seed: int) -> Report:
    """Make attacks, those on one database against one service."""
    began = monotonic()
    outcomes: list[tuple[Attack, Outcome]] = []
    routes: set[str] = set()
    for database in dict.fromkeys(it.database for it in attacks):
        with _service(database) as api:
            world = World(api, OWNER, seed)
            routes = _routes(api)
            for it in attacks:
                if it.database == database:
                    key = secret(api, *it.scopes, owner=OWNER) if it.scopes else None
                    made = attack(api, world, key, it.examples, seed, systematic=it.systematic)
                    outcomes.append((it, made))
    return _report(outcomes, routes, seed, monotonic() - began)


@contextmanager
def _service(database: Database) -> Iterator[Api]:
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="lrsearch-fuzz-")))
        url = ""
        if database == "postgresql":
            url = cleanup.enter_context(new_database(start_server()))
        settings = Settings(
            data_dir=folder / "data",
            database_url=url,
            require_keys=True,
            image_roots=[folder / "images"],
            max_running_jobs=0,
            max_requests_per_second=0.0,
            lease_seconds=3600.0,
        )
        upgrade(settings)
        yield cleanup.enter_context(guarding(settings))


def _routes(api: Api) -> set[str]:
    paths = api.app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def _report(
    outcomes: list[tuple[Attack, Outcome]], routes: set[str], seed: int, seconds: float
) -> Report:
    findings = [finding for _, outcome in outcomes for finding in outcome.findings]
    succeeded = {route for _, outcome in outcomes for route in outcome.succeeded}
    statuses: Counter[int] = Counter()
    cases: Counter[str] = Counter()
    for it, outcome in outcomes:
        statuses += outcome.statuses
        cases[f"{it.name}, {it.database}"] += outcome.cases
    unreached = sorted(routes - succeeded)
    figures = {
        "cases": cases.total(),
        "routes": len(routes),
        "unreached": len(unreached),
        "findings": len(findings),
        "server_errors": sum(finding.check in SERVER_ERRORS for finding in findings),
        "undeclared": sum(finding.check in UNDECLARED for finding in findings),
        "statuses": {str(status): statuses[status] for status in sorted(statuses)},
        "keys": dict(cases),
        "seed": seed,
        "seconds": round(seconds, 1),
    }
    return Report(figures, findings, unreached)

"""One attack: requests that Schemathesis makes of the API's description, and what was wrong."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis import Case, Config, HookContext, Response
from schemathesis.config import GenerationConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.hooks import unregister

from tests.api.conftest import bearer
from tests.api.serving import Api
from tests.fuzz.api.world import World

REQUEST_SECONDS = 30.0
"""No request may take longer."""


LEFT_OUT = [
    "ensure_resource_availability",  # a new job has no result yet; others are deleted meanwhile
    "positive_data_acceptance",  # fields must also fit each other, and what there is
    "allow_header_conformance",  # GET is allowed at /datasets/folders: of the set with that name
]


@dataclass(frozen=True)
class Finding:
    """Something that an answer should not have been."""

    route: str
    check: str
    message: str
    curl: str


@dataclass
class Outcome:
    """What an attack has done and found."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)
    """Routes that answered 2xx at least once."""
    findings: list[Finding] = field(default_factory=list)


def attack(
    api: Api, world: World, key: str | None, examples: int, seed: int, *, systematic: bool = True
) -> Outcome:
    """Send requests to every route.

    Args:
        api: The service.
        world: What is known of it.
        key: Goes with each request; None: nothing.
        examples: Drawn at random for each route.
        seed: Of the draws.
        systematic: Whether to try every boundary of every field as well: some 3,000 requests.
    """
    config = Config(seed=seed)
    project = config.projects.default
    project.base_url = str(api.base_url)
    project.request_timeout = REQUEST_SECONDS
    project.headers = bearer(key) if key is not None else {}
    project.continue_on_failure = True
    project.generation = GenerationConfig(max_examples=examples, no_shrink=True, database="none")
    project.checks.update(excluded_check_names=LEFT_OUT)
    project.phases.coverage.enabled = systematic
    schema = schemathesis.openapi.from_dict(api.app.openapi(), config=config)
    outcome = Outcome()
    with _aiming(world):
        for event in from_schema(schema).execute():
            match event:
                case events.ScenarioFinished():
                    _read(event.recorder, outcome)
                case events.NonFatalError():
                    outcome.findings.append(Finding(event.label, "error", str(event.value), ""))
                case events.FatalError():
                    raise event.exception
    return outcome


@contextmanager
def _aiming(world: World) -> Iterator[None]:
    def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
        world.aim(case)

    def after_call(context: HookContext, case: Case, response: Response) -> None:
        world.learn(case, response)

    hooks = (schemathesis.hook(before_call), schemathesis.hook(after_call))
    try:
        yield
    finally:
        for hook in hooks:
            unregister(hook)


def _read(recorder: ScenarioRecorder, outcome: Outcome) -> None:
    for case_id, interaction in recorder.interactions.items():
        outcome.cases += 1
        case = recorder.cases[case_id].value
        route = f"{case.method} {case.path}"
        if interaction.response is None:
            outcome.findings.append(Finding(route, "no answer", "", case.as_curl_command()))
            continue
        status = interaction.response.status_code
        outcome.statuses[status] += 1
        if 200 <= status < 300:
            outcome.succeeded.add(route)
    for case_id, checks in recorder.checks.items():
        case = recorder.cases[case_id].value
        for check in checks:
            info = check.failure_info
            if check.status == Status.SUCCESS:
                continue
            outcome.findings.append(
                Finding(
                    f"{case.method} {case.path}",
                    check.name,
                    "" if info is None else f"{info.failure.title}: {info.failure.message}",
                    "" if info is None else info.code_sample,
                )
            )

"""The ledger: each job's Optuna study holds every trial once, as our tables do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard import get_note
from optuna_dashboard._custom_plot_data import list_graph_object_ids
from sqlalchemy import func, select
from structlog.testing import capture_logs

from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import TrialReport
from lrsearch.contract.protocols import Graduated, LastLayer, LogRange, Uniform
from lrsearch.contract.trials import Trial
from lrsearch.db.engine import Database
from lrsearch.db.tables import OutboxRow
from lrsearch.search import ledger as ledger_module
from lrsearch.search.ledger import FIGURE_ID, Ledger, study_name
from lrsearch.settings import Settings
from lrsearch.upkeep.outbox import MAX_ATTEMPTS, drain_outbox, retry_set_aside
from tests.service.rig import Rig, curve, one_database


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with _open(settings) as ledger, capture_logs():  # what it refuses is logged with a traceback
        yield ledger


def test_the_study_holds_every_trial_once_with_what_is_known_of_it(
    rig: Rig, ledger: Ledger
) -> None:
    job = rig.submit(name="silhouettes", protocol=Uniform(), budget=Budget(trials=3))
    rig.run(lambda work: 0.5 + 0.1 * work.number)
    drain_outbox(rig.database, ledger)
    entries = _entries(ledger, job)
    trials = rig.trials(job)
    assert [entry.user_attrs["trial"] for entry in entries] == [0, 1, 2, 3]
    for entry, trial in zip(entries, trials, strict=True):
        assert entry.state == TrialState.COMPLETE
        assert entry.value == trial.val_top1
        assert entry.params == trial.point
        assert entry.intermediate_values == {m.epoch: m.val_top1 for m in trial.curve}
        assert entry.user_attrs == {
            "trial": trial.number,
            "trial_id": trial.id,
            "baseline": trial.baseline,
            "replicate": 0,
            **{f"rate_{stage}": rate for stage, rate in trial.rates.items()},
            "state": "complete",
            "seconds": 1.0,
            "worker": "worker",
            "val_loss": 1.0,
        }
    assert _study(ledger, job).best_value == 0.8
    assert study_name(job) == f"silhouettes {job.id}"


def test_the_study_holds_the_confirmation_and_tells_it_apart(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02, 0.05]), confirm=True)
    rig.run(lambda work: 0.9 if work.replicate else 0.5 + 0.1 * (work.number == 1))
    drain_outbox(rig.database, ledger)
    entries = _entries(ledger, job)
    assert [entry.user_attrs["replicate"] for entry in entries] == [0, 0, 0, 1]
    assert entries[3].params == entries[1].params == {"ll": 0.02}
    assert entries[3].value == 0.9
    assert rig.result(job).winner.trial == 1


@one_database
def test_the_study_tells_what_was_expected_of_recommended_trials(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit(strategy="recommend", probe=True, budget=Budget(finetunes=2))
    rig.run(lambda work: 0.5 + 0.1 * work.number)
    drain_outbox(rig.database, ledger)
    _assert_mirrored(rig, ledger, job)
    baseline, *recommended = _entries(ledger, job)
    assert not any("expected" in name or "gain" in name for name in baseline.user_attrs)
    assert len(recommended) == 2
    for entry, trial in zip(recommended, rig.trials(job)[1:], strict=True):
        assert trial.expected_top1 is not None
        assert entry.user_attrs["expected_top1"] == trial.expected_top1
        assert entry.user_attrs["expected_deviation"] == trial.expected_deviation
        assert entry.user_attrs["gain_points"] == trial.expected_gain_points
        assert entry.user_attrs["gain_deviation_points"] == trial.expected_gain_deviation_points


@one_database
def test_trials_appear_while_they_run(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit()
    rig.complete(rig.claim(), 0.5)
    rig.claim()
    drain_outbox(rig.database, ledger)
    entries = _entries(ledger, job)
    assert [entry.state for entry in entries] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert [entry.params for entry in entries] == [{}, {"scale": 0.25}]


@one_database
def test_requests_are_given_way_to_after_each_telling(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit(budget=Budget(trials=3))
    rig.run(lambda _: 0.5)
    found: list[int] = []
    drain_outbox(rig.database, ledger, lambda _: found.append(len(_entries(ledger, job))))
    assert {1, 2, 3, 4} <= set(found)


def test_an_entry_that_came_about_since_we_looked_is_taken(
    rig: Rig, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = rig.submit()
    rig.complete(rig.claim(), 0.5)
    [trial] = rig.trials(job)
    with _open(settings) as another:
        there = another.mirror_trial(job, trial, None)
    looks = [lambda *_: None, ledger_module._find]
    monkeypatch.setattr(ledger_module, "_find", lambda *given: looks.pop(0)(*given))
    assert ledger.mirror_trial(job, trial, None) == there
    assert len(_entries(ledger, job)) == 1
    assert looks == []


def test_an_entry_that_came_about_since_we_looked_is_brought_up_to_date(
    rig: Rig, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = rig.submit()
    lease = rig.claim()
    with _open(settings) as another:
        another.mirror_trial(job, rig.trials(job)[0], None)
    rig.complete(lease, 0.5)
    looks = [lambda *_: None, ledger_module._find]
    monkeypatch.setattr(ledger_module, "_find", lambda *given: looks.pop(0)(*given))
    ledger.mirror_trial(job, rig.trials(job)[0], None)
    [entry] = _entries(ledger, job)
    assert (entry.state, entry.value) == (TrialState.COMPLETE, 0.5)


@pytest.mark.parametrize("told_meanwhile", [True, False])
def test_only_a_complete_trial_has_a_score(rig: Rig, ledger: Ledger, told_meanwhile: bool) -> None:
    job = rig.submit()
    outcomes = ["complete", "diverged", "failed", "pruned", "cancelled"]
    for outcome in outcomes:
        lease = rig.claim()
        if told_meanwhile:
            drain_outbox(rig.database, ledger)
        report = TrialReport.model_validate(
            {
                "outcome": outcome,
                "reason": f"it {outcome}",
                "curve": curve(0.5, 0.6)[: 2 if outcome == "complete" else 1],
                "seconds": 1.0,
                "weights_sha256": rig.upload(lease, lease.work[0]),
            }
        )
        rig.report(lease, lease.work[0], report)
    drain_outbox(rig.database, ledger)
    entries = _entries(ledger, job)
    assert [(entry.state, entry.value) for entry in entries] == [
        (TrialState.COMPLETE, 0.6),
        (TrialState.FAIL, None),
        (TrialState.FAIL, None),
        # What Optuna shows of a pruned trial is its last epoch's, marked as such.
        (TrialState.PRUNED, 0.5),
        (TrialState.FAIL, None),
    ]
    assert [entry.user_attrs["state"] for entry in entries] == outcomes
    assert entries[1].user_attrs["reason"] == "it diverged"


def test_no_entry_stays_running_when_its_job_is_over(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit()
    rig.complete(rig.claim(), 0.5)
    rig.claim(max_trials=3)
    drain_outbox(rig.database, ledger)
    rig.cancel(job.id)
    drain_outbox(rig.database, ledger)
    states = [entry.state for entry in _entries(ledger, job)]
    assert states == [TrialState.COMPLETE] + [TrialState.FAIL] * 3


@one_database
def test_a_trial_that_was_put_back_keeps_its_one_entry(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    for _ in range(2):
        rig.lose(rig.claim())
        drain_outbox(rig.database, ledger)
    rig.run()
    drain_outbox(rig.database, ledger)
    _assert_mirrored(rig, ledger, job)


def test_telling_again_changes_nothing(rig: Rig, ledger: Ledger, settings: Settings) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.run()
    told = _outbox(rig.database)
    drain_outbox(rig.database, ledger)
    before = _entries(ledger, job)
    with rig.database.write() as session:  # as if the notes of what was told were lost
        session.add_all(
            OutboxRow(job_id=row.job_id, trial_id=row.trial_id, attempts=0) for row in told
        )
    with _open(settings) as other:
        assert drain_outbox(rig.database, other) == len(told)
        assert _entries(other, job) == before


@pytest.mark.parametrize(
    "step",
    [
        "create_new_study",
        "create_new_trial",
        "set_trial_intermediate_value",
        "set_trial_user_attr",
        "set_trial_state_values",
    ],
)
def test_a_crash_after_any_step_leaves_no_second_entry(
    rig: Rig, settings: Settings, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.01]))
    if step.startswith("set_trial"):  # which are those of a trial that was told of as it ran
        lease = rig.claim()
        with _open(settings) as ledger:
            drain_outbox(rig.database, ledger)
        rig.complete(lease, 0.5)
    rig.run()
    done = getattr(RDBStorage, step)

    def crash_after(*args: Any, **kwargs: Any) -> None:
        done(*args, **kwargs)
        raise KeyboardInterrupt

    with _open(settings) as ledger, monkeypatch.context() as patch:
        patch.setattr(RDBStorage, step, crash_after)
        with pytest.raises(KeyboardInterrupt):
            drain_outbox(rig.database, ledger)
    with _open(settings) as ledger:  # of a new process
        drain_outbox(rig.database, ledger)
        _assert_mirrored(rig, ledger, job)


def test_a_trial_that_is_over_when_it_is_told_of_is_told_of_at_once(
    rig: Rig, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.run()
    entries = _outbox(rig.database)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished trial is told of step by step")

    for step in ("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_state_values"):
        monkeypatch.setattr(RDBStorage, step, refuse)
    assert drain_outbox(rig.database, ledger) == len(entries) > len(rig.trials(job))
    assert _outbox(rig.database) == []
    _assert_mirrored(rig, ledger, job)


def test_drainers_at_once_make_no_second_entry(rig: Rig, settings: Settings) -> None:
    jobs = [rig.submit(protocol=LastLayer(ll=[0.02])) for _ in range(2)]
    rig.run()

    def drain(database: Database, ledger: Ledger) -> None:
        while _outbox(database):
            drain_outbox(database, ledger)

    with ExitStack() as stack:
        ledgers = [stack.enter_context(_open(settings)) for _ in range(3)]
        databases = [rig.database] * 3  # SQLite belongs to one process
        if not rig.database.is_sqlite:
            databases = [Database(settings.database) for _ in range(3)]
            for database in databases:
                stack.callback(database.dispose)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(drain, databases, ledgers))
        for job in jobs:
            _assert_mirrored(rig, ledgers[0], job)


def test_a_broken_study_does_not_hold_up_other_jobs(
    rig: Rig, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = (rig.submit(protocol=LastLayer(ll=[0.02])) for _ in range(2))
    rig.run()
    mirror = Ledger.mirror_trial

    def mirror_unless_broken(self: Ledger, job: Job, trial: Trial, ledger_id: int | None) -> int:
        if job.id == broken.id:
            raise RuntimeError("the study is broken")
        return mirror(self, job, trial, ledger_id)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "mirror_trial", mirror_unless_broken)
        drain_outbox(rig.database, ledger)
    _assert_mirrored(rig, ledger, sound)
    drain_outbox(rig.database, ledger)
    _assert_mirrored(rig, ledger, broken)


def test_what_the_ledger_refuses_is_set_aside_and_tried_again_later(
    rig: Rig, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.run()
    mirror = Ledger.mirror_trial

    def mirror_all_but_the_first(
        self: Ledger, job: Job, trial: Trial, ledger_id: int | None
    ) -> int:
        if trial.number == 0:
            raise RuntimeError("refused")
        return mirror(self, job, trial, ledger_id)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "mirror_trial", mirror_all_but_the_first)
        for _ in range(2 * MAX_ATTEMPTS + 1):
            drain_outbox(rig.database, ledger)
    assert [entry.user_attrs["trial"] for entry in _entries(ledger, job)] == [1]
    assert drain_outbox(rig.database, ledger) == 0
    retry_set_aside(rig.database)
    drain_outbox(rig.database, ledger)
    _assert_mirrored(rig, ledger, job)


@one_database
def test_who_stops_leaves_what_has_still_to_be_told_to_another_time(
    rig: Rig, ledger: Ledger
) -> None:
    jobs = [rig.submit(protocol=LastLayer(ll=[0.02])) for _ in range(2)]
    rig.run()
    with rig.database.read() as session:
        waiting = session.scalar(select(func.count()).select_from(OutboxRow))
    assert waiting is not None
    asked = iter([False, False, True, True])  # before the first job, its first entry, its second
    told = drain_outbox(rig.database, ledger, stopped=lambda: next(asked))
    assert 0 < told < waiting / 2
    assert next(asked, None) is None
    assert drain_outbox(rig.database, ledger) == waiting - told
    for job in jobs:
        _assert_mirrored(rig, ledger, job)


@one_database
def test_the_study_shows_the_task_and_in_the_end_the_verdict(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]), images_per_label=20)
    drain_outbox(rig.database, ledger)
    note = _note(ledger, job)
    assert "Target **animals**, source model **random**, protocol `last_layer`" in note
    assert "20 training images per label" in note
    assert "The job is waiting." in note
    rig.run(lambda work: 0.5 + 0.1 * work.number)
    drain_outbox(rig.database, ledger)
    note = _note(ledger, job)
    assert f"**{rig.result(job).verdict}**" in note
    assert "| winner | 1 | 0 | 0 | 0 | 0 | 0 | 0.02 | 0.600 |" in note
    attributes = ledger.storage.get_study_system_attrs(_study(ledger, job)._study_id)
    assert list_graph_object_ids(attributes) == [FIGURE_ID]


@one_database
def test_a_point_of_a_log_range_is_a_parameter_on_a_log_axis(rig: Rig, ledger: Ledger) -> None:
    job = rig.submit(
        protocol=Graduated(scale=LogRange(low=0.1, high=10.0)),
        strategy="tpe",
        budget=Budget(trials=2),
    )
    rig.run()
    drain_outbox(rig.database, ledger)
    entries = _entries(ledger, job)[1:]
    for entry, trial in zip(entries, rig.trials(job)[1:], strict=True):
        assert entry.params == trial.point
        axis = entry.distributions["scale"]
        assert isinstance(axis, optuna.distributions.FloatDistribution)
        assert axis.log


@contextmanager
def _open(settings: Settings) -> Iterator[Ledger]:
    ledger = Ledger(settings.ledger)
    try:
        yield ledger
    finally:
        ledger.storage.engine.dispose()


def _study(ledger: Ledger, job: Job) -> optuna.Study:
    return optuna.load_study(study_name=study_name(job), storage=ledger.storage)


def _entries(ledger: Ledger, job: Job) -> list[FrozenTrial]:
    """By our number."""
    return sorted(_study(ledger, job).trials, key=lambda entry: int(entry.user_attrs["trial"]))


def _assert_mirrored(rig: Rig, ledger: Ledger, job: Job) -> None:
    """The study says of every trial what our tables say, and nothing is left to tell."""
    shown = [
        (e.user_attrs["trial_id"], e.user_attrs["state"], e.value, e.params, e.intermediate_values)
        for e in _entries(ledger, job)
    ]
    assert shown == [
        (t.id, t.state, t.val_top1, t.point, {m.epoch: m.val_top1 for m in t.curve})
        for t in rig.trials(job)
    ]
    with rig.database.read() as session:
        waiting = select(func.count()).select_from(OutboxRow).where(OutboxRow.job_id == job.id)
        assert session.scalar(waiting) == 0


def _outbox(database: Database) -> list[OutboxRow]:
    with database.read() as session:
        return list(session.scalars(select(OutboxRow).order_by(OutboxRow.id)))


def _note(ledger: Ledger, job: Job) -> str:
    return str(get_note(_study(ledger, job)))

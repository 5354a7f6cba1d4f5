"""What must hold when a run is over: by SQL in our tables, and by Optuna's API in its own."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psycopg
from optuna.trial import FrozenTrial
from psycopg.rows import dict_row

from lrsearch.contract.budgets import Budget
from lrsearch.search.ledger import open_storage
from lrsearch.settings import Settings
from lrsearch.store import BlobStore
from tests.faults.curves import EPOCHS, Curves
from tests.faults.journal import read_journal

Row = dict[str, Any]

OUTCOMES = {"complete": "COMPLETE", "diverged": "FAIL"}
"""States that a replayed trial may end in, and Optuna's words for them."""


@dataclass
class Findings:
    """What does not hold, a sentence each."""

    trials: int = 0
    lost: list[str] = field(default_factory=list)
    """Trials without an accepted result, or whose result is not what was reported."""
    duplicated: list[str] = field(default_factory=list)
    """Trials with more than one accepted result, and jobs or numbers that are there twice."""
    stuck: list[str] = field(default_factory=list)
    """Whatever waits, or is not finished."""
    over_budget: list[str] = field(default_factory=list)
    """Jobs that have not spent just what they were given, or have not counted it right."""
    ledger_mismatches: list[str] = field(default_factory=list)
    """Where Optuna's studies do not say what our tables say."""
    most_attempts: int = 0
    """That a trial took."""

    def sentences(self) -> dict[str, list[str]]:
        """By what kind of fault it is."""
        kinds = ("lost", "duplicated", "stuck", "over_budget", "ledger_mismatches")
        return {kind: getattr(self, kind) for kind in kinds}


def find_faults(settings: Settings, curves: Curves, journal: Path, jobs: int) -> Findings:
    """Look at everything that a finished run of so many jobs has left."""
    with psycopg.connect(settings.database_url, row_factory=dict_row) as connection:
        rows = _Rows(connection)
    most = max((work["attempts"] for work in rows.work.values()), default=0)
    found = Findings(trials=len(rows.trials), most_attempts=most)
    if len(rows.jobs) != jobs:
        (found.lost if len(rows.jobs) < jobs else found.duplicated).append(
            f"{len(rows.jobs)} jobs instead of {jobs}"
        )
    _look_at_trials(found, rows, curves)
    _look_at_journal(found, rows, journal)
    _look_at_queue(found, rows)
    for job in rows.jobs:
        _look_at_budget(found, job, [t for t in rows.trials if t["job_id"] == job["id"]], rows)
    _look_at_ledger(found, rows, settings)
    _look_at_store(found, rows, settings)
    return found


class _Rows:
    """The tables as they are."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        def all_of(query: str) -> list[Row]:
            return connection.execute(query).fetchall()

        self.jobs = all_of("SELECT * FROM jobs ORDER BY id")
        self.trials = all_of("SELECT * FROM trials ORDER BY job_id, number")
        self.work = {row["id"]: row for row in all_of("SELECT * FROM work")}
        self.leases = {row["id"]: row for row in all_of("SELECT * FROM leases")}
        self.outbox = all_of("SELECT * FROM outbox")
        self.curves: dict[str, list[Row]] = defaultdict(list)
        for row in all_of("SELECT * FROM epochs ORDER BY trial_id, epoch"):
            self.curves[row.pop("trial_id")].append(row)
        self.finished = Counter(
            (row["job_id"], row["trial"])
            for row in all_of(
                "SELECT job_id, (body->>'trial')::int AS trial FROM events"
                " WHERE body->>'type' = 'trial_finished'"
            )
        )


def _look_at_trials(found: Findings, rows: _Rows, curves: Curves) -> None:
    for trial in rows.trials:
        name = f"trial {trial['number']} of job {trial['job_id']}"
        work = rows.work[trial["id"]]
        recorded = curves.of(trial["job_id"]).finetune(trial["id"], trial["number"])
        expected = "diverged" if recorded.diverged else "complete"
        lease = rows.leases.get(work["lease_id"] or "")
        if trial["state"] != expected:
            found.lost.append(f"{name} is {trial['state']} ({trial['reason']}), not {expected}")
        elif work["state"] != "done" or work["report_sha256"] is None:
            found.lost.append(f"{name} has no accepted report: its work is {work['state']}")
        elif lease is None or lease["state"] not in ("done", "expired", "released"):
            found.lost.append(f"{name} was reported under the lease {lease and lease['state']}")
        elif rows.curves[trial["id"]] != [metrics.model_dump() for metrics in recorded.curve]:
            found.lost.append(f"{name} has another curve than the one that was reported")
        told = rows.finished[trial["job_id"], trial["number"]]
        if told != 1:
            (found.duplicated if told else found.lost).append(f"{name} was finished {told} times")


def _look_at_journal(found: Findings, rows: _Rows, journal: Path) -> None:
    """What workers were told must be what is stored."""
    accepted: dict[str, set[str]] = defaultdict(set)
    for line in read_journal(journal):
        if line["what"] == "accepted":
            accepted[line["work"]].add(line["lease"])
        elif line["what"] in ("refused", "damaged"):
            found.lost.append(f"a worker noted: {line}")
    for work_id, leases in accepted.items():
        work = rows.work[work_id]
        if len(leases) > 1:
            found.duplicated.append(f"work {work_id} was accepted under {len(leases)} leases")
        elif {work["lease_id"]} != leases:
            found.lost.append(f"work {work_id} was accepted under a lease that is not the last")


def _look_at_queue(found: Findings, rows: _Rows) -> None:
    for job in rows.jobs:
        if job["state"] != "complete" or job["result"] is None:
            found.stuck.append(f"job {job['id']} is {job['state']} ({job['reason']})")
    for work in rows.work.values():
        if work["state"] != "done":
            found.stuck.append(f"{work['kind']} work {work['id']} is {work['state']}")
    for lease in rows.leases.values():
        if lease["state"] == "active":
            found.stuck.append(f"lease {lease['id']} is active")
    for entry in rows.outbox:
        found.stuck.append(
            f"the ledger has not been told of {entry['trial_id'] or entry['job_id']}"
        )


def _look_at_budget(found: Findings, job: Row, trials: list[Row], rows: _Rows) -> None:
    budget = Budget.model_validate(job["request"]["budget"])
    searched = [trial for trial in trials if not trial["baseline"]]
    epochs = sum(len(rows.curves[trial["id"]]) for trial in searched)
    seconds = sum(trial["seconds"] for trial in trials)
    problems = []
    if [trial["number"] for trial in trials] != list(range(len(trials))):
        problems.append("numbers of its trials are missing or there twice")
    if job["trials_begun"] != len(searched) or job["trials_finished"] != len(trials):
        problems.append(
            f"counts {job['trials_begun']} begun and {job['trials_finished']} finished trials, "
            f"and has {len(searched)} and the baseline"
        )
    if job["epochs_spent"] != epochs:
        problems.append(f"counts {job['epochs_spent']} epochs, and has {epochs}")
    if abs(job["seconds_spent"] - seconds) > 1e-6 * max(seconds, 1.0) or job["seconds_reserved"]:
        problems.append(f"counts {job['seconds_spent']} seconds, and has {seconds}")
    unconfirmed = job["request"]["confirm"] and not _has_gain(trials)
    if budget.trials is not None and len(searched) != budget.trials - unconfirmed:
        problems.append(f"ran {len(searched)} finetunes of {budget.trials}")
    confirmations = sum(trial["replicate"] > 0 for trial in trials)
    if confirmations != (job["request"]["confirm"] and not unconfirmed):
        problems.append(f"ran {confirmations} confirmations")
    if budget.epochs is not None and not budget.epochs - EPOCHS < epochs <= budget.epochs:
        problems.append(f"ran {epochs} epochs of {budget.epochs}")
    found.over_budget.extend(f"job {job['id']} {problem}" for problem in problems)


def _has_gain(trials: list[Row]) -> bool:
    """Whether a job's winner is better than its baseline, so that there is a gain to confirm."""
    top1 = [trial["val_top1"] or 0.0 for trial in trials if not trial["replicate"]]
    return max(top1) > top1[0]


def _look_at_ledger(found: Findings, rows: _Rows, settings: Settings) -> None:
    storage = open_storage(settings.ledger)
    try:
        studies = storage.get_all_studies()
        for job in rows.jobs:
            trials = {t["id"]: t for t in rows.trials if t["job_id"] == job["id"]}
            named = [study for study in studies if study.study_name.endswith(job["id"])]
            if len(named) != 1:
                found.ledger_mismatches.append(f"job {job['id']} has {len(named)} studies")
                continue
            study = optuna.load_study(study_name=named[0].study_name, storage=storage)
            entries = study.get_trials()
            seen = Counter(entry.user_attrs.get("trial_id") for entry in entries)
            for trial_id in trials.keys() | seen.keys():
                if seen[trial_id] != 1 or trial_id not in trials:
                    found.ledger_mismatches.append(
                        f"{study.study_name} has trial {trial_id} {seen[trial_id]} times"
                    )
            for entry in entries:
                trial = trials.get(entry.user_attrs.get("trial_id", ""))
                if trial is not None and not _agrees(entry, trial, rows.curves[trial["id"]]):
                    found.ledger_mismatches.append(f"{study.study_name}: {entry} is not {trial}")
    finally:
        storage.engine.dispose()


def _agrees(entry: FrozenTrial, trial: Row, curve: list[Row]) -> bool:
    return (
        entry.state.name == OUTCOMES.get(trial["state"])
        and entry.value == trial["val_top1"]
        and entry.params == trial["point"]
        and entry.user_attrs["trial"] == trial["number"]
        and entry.intermediate_values == {m["epoch"]: m["val_top1"] for m in curve}
    )


def _look_at_store(found: Findings, rows: _Rows, settings: Settings) -> None:
    """The best one's weights are there, whole."""
    store = BlobStore(settings.data_dir)
    best = {job["id"]: job["best_trial"] for job in rows.jobs}
    for trial in rows.trials:
        if trial["number"] in (0, best[trial["job_id"]]) and trial["state"] == "complete":
            sha256 = trial["weights_sha256"]
            if sha256 is None or not store.path(sha256).exists():
                found.lost.append(f"the weights of trial {trial['id']} are not there")

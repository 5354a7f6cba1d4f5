"""The ledger: one Optuna study a job, for users to inspect in the dashboard.

Our own tables hold the truth; the study mirrors them. Mirroring a trial is idempotent: it brings
the study's entry to what our row says, whatever was there.
"""

from dataclasses import dataclass
from threading import Lock

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from optuna_dashboard import save_note, save_plotly_graph_object
from sqlalchemy import URL
from sqlalchemy.exc import IntegrityError

from lrsearch.contract.datasets import DataSet
from lrsearch.contract.jobs import Job
from lrsearch.contract.results import Result
from lrsearch.contract.trials import FINISHED, Trial
from lrsearch.report.figure import accuracy_figure
from lrsearch.search.note import study_note
from lrsearch.search.spaces import ledger_space

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    # Neither is a score: a 0.0 would be one.
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
    "cancelled": TrialState.FAIL,
}

FIGURE_ID = "accuracy-against-rate"


@dataclass(frozen=True)
class JobView:
    """What the study shows of its job."""

    job: Job
    data_set: DataSet
    trials: list[Trial]
    result: Result | None


class Ledger:
    """The studies, in Optuna's own schema or file."""

    def __init__(self, url: URL) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = open_storage(url)
        self._studies: dict[str, optuna.Study] = {}  # loading one anew costs seconds when it is big
        self._lock = Lock()

    def mirror_trial(self, job: Job, trial: Trial, ledger_id: int | None) -> int:
        """Bring the study's entry of a trial up to date.

        Args:
            job: the trial's job.
            trial: what our tables say.
            ledger_id: Optuna's id of the entry; None where none is noted, though an earlier call
                that was cut off may have made one.

        Returns:
            Optuna's id of the entry.
        """
        study = self._study(job)
        if ledger_id is None:
            ledger_id = _find(study, trial)
        if ledger_id is None:
            try:
                return self._create(study, job, trial)
            except IntegrityError:
                # One has come about since we looked. It may be of another replica (a database that
                # restarts lets go of the lock on the job) or our own: Optuna tries again where the
                # reply to a commit was lost. What it says may be old.
                ledger_id = _find(study, trial)
                if ledger_id is None:
                    raise
        entry = self.storage.get_trial(ledger_id)
        if trial.state in FINISHED and not entry.state.is_finished():
            self._finish(study, ledger_id, entry.number, trial)
        return ledger_id

    def describe(self, view: JobView) -> None:
        """Save the note and the figure of a job onto its study."""
        study = self._study(view.job)
        save_note(study, study_note(view.job, view.data_set, view.result))
        if any(trial.state == "complete" for trial in view.trials):
            figure = accuracy_figure(view.job, view.trials, view.result)
            save_plotly_graph_object(study, figure, graph_object_id=FIGURE_ID)

    def forget(self, job: Job) -> None:
        """Remove the study of a job, if there is one."""
        with self._lock:
            self._studies.pop(job.id, None)
        try:
            study_id = self.storage.get_study_id_from_name(study_name(job))
            self.storage.delete_study(study_id)
        except KeyError:  # it was never made, or is gone already
            return

    def _study(self, job: Job) -> optuna.Study:
        with self._lock:
            if job.id not in self._studies:
                self._studies[job.id] = optuna.create_study(
                    storage=self.storage,
                    study_name=study_name(job),
                    direction="maximize",
                    load_if_exists=True,
                )
                if len(self._studies) > 1000:
                    self._studies.pop(next(iter(self._studies)))
            return self._studies[job.id]

    def _create(self, study: optuna.Study, job: Job, trial: Trial) -> int:
        space = ledger_space(job.request.protocol)
        over = trial.state in FINISHED  # then all is told at once, which is much the faster
        entry = create_trial(
            state=_STATES[trial.state] if over else TrialState.RUNNING,
            value=_value(trial),
            intermediate_values={metrics.epoch: metrics.val_top1 for metrics in trial.curve}
            if over
            else {},
            params=trial.point,
            distributions={name: space[name] for name in trial.point},
            user_attrs={
                "trial": trial.number,
                "trial_id": trial.id,
                "baseline": trial.baseline,
                "replicate": trial.replicate,
                **_expected(trial),
                **{f"rate_{stage}": rate for stage, rate in trial.rates.items()},
                **(_outcome(trial) if over else {}),
            },
        )
        return self.storage.create_new_trial(study._study_id, entry)

    def _finish(self, study: optuna.Study, ledger_id: int, number: int, trial: Trial) -> None:
        for metrics in trial.curve:
            self.storage.set_trial_intermediate_value(ledger_id, metrics.epoch, metrics.val_top1)
        for name, value in _outcome(trial).items():
            self.storage.set_trial_user_attr(ledger_id, name, value)
        # Optuna refuses a pruned trial's value: it takes the last epoch's itself.
        final = trial.val_top1 if trial.state == "complete" else None
        study.tell(number, values=final, state=_STATES[trial.state])


def open_storage(url: URL, *, create: bool = False) -> RDBStorage:
    """Optuna's storage; only the migration creates its tables, since first creation races."""
    return RDBStorage(
        url.render_as_string(hide_password=False).replace("{", "%7B"),  # Optuna formats its URL
        engine_kwargs={"pool_pre_ping": True},
        skip_table_creation=not create,
    )


def study_name(job: Job) -> str:
    """What the dashboard calls the study."""
    return f"{job.name or job.request.protocol.name} {job.id}"


def _expected(trial: Trial) -> dict[str, float]:
    """What was expected of the trial when it was proposed, under strategy `recommend`."""
    values = {
        "expected_top1": trial.expected_top1,
        "expected_deviation": trial.expected_deviation,
        "gain_points": trial.expected_gain_points,
        "gain_deviation_points": trial.expected_gain_deviation_points,
    }
    return {name: value for name, value in values.items() if value is not None}


def _outcome(trial: Trial) -> dict[str, str | float]:
    """What is noted of a trial that is over."""
    attributes = {
        "state": trial.state,
        "seconds": round(trial.seconds, 3),
        "worker": trial.worker,
        "reason": trial.reason,
        "val_loss": trial.val_loss,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _value(trial: Trial) -> float | None:
    """The study's value of a trial: of one that was pruned, where it had got to."""
    if trial.state == "pruned" and trial.curve:
        return trial.curve[-1].val_top1
    return trial.val_top1 if trial.state == "complete" else None


def _find(study: optuna.Study, trial: Trial) -> int | None:
    entries = study.get_trials(deepcopy=False)
    return next((e._trial_id for e in entries if e.user_attrs.get("trial_id") == trial.id), None)

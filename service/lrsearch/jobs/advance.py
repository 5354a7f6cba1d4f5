"""How a job goes on: what it proposes next, and what follows when its trials have ended."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import Session

from lrsearch.contract.leases import FinalReport
from lrsearch.contract.protocols import is_finite
from lrsearch.contract.rates import StageRates
from lrsearch.db.tables import JobRow, TrialRow, WorkRow
from lrsearch.jobs.endings import cancel_trials, end_job
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.results import MINIMUM_TEST_IMAGES, build_result
from lrsearch.jobs.spending import use_of
from lrsearch.jobs.tasks import known_task, ready_to_recommend
from lrsearch.jobs.trials import UNFINISHED, add_trial, trials_of
from lrsearch.metrics import SUGGESTION_SECONDS
from lrsearch.search.budget import Allowance, allowance
from lrsearch.search.proposals import Tried, propose
from lrsearch.search.recommend import recommend

_WAITS_FOR_TRIALS: Final = select(
    exists().where(TrialRow.job_id == bindparam("job_id"), TrialRow.state.in_(UNFINISHED))
)


def propose_trials(session: Session, job: JobRow, count: int) -> list[tuple[WorkRow, TrialRow]]:
    """Up to `count` new trials of a locked job, as far as its space and its budget go.

    Strategy `recommend` waits for the baseline and the probe.

    Each one's budget is reserved with it, in the same transaction.
    """
    strategy = request_of(job).strategy
    if job.exhausted or (strategy == "recommend" and not ready_to_recommend(session, job)):
        return []
    proposed: list[tuple[WorkRow, TrialRow]] = []
    trials = trials_of(session, job)
    while len(proposed) < count and not job.exhausted:
        allowed = allowance_of(job, trials)
        if not allowed.now:
            job.exhausted = not allowed.later
            break
        with SUGGESTION_SECONDS.labels(strategy).time():
            added = _add_next(session, job, trials)
        if added is None:
            job.exhausted = True
            break
        trial, work = added
        _reserve(job, trial, allowed)
        trials.append(trial)
        proposed.append((work, trial))
    return proposed


def allowance_of(job: JobRow, trials: Sequence[TrialRow]) -> Allowance:
    """Whether the job's budget pays for one more trial besides those that it has."""
    request = request_of(job)
    running = sum(trial.state in UNFINISHED for trial in trials)
    longest = max(
        (each.seconds for each in trials if each.state == "complete" and not each.baseline),
        default=None,
    )
    return allowance(request.budget, use_of(job, running), request.recipe.epochs, longest)


def reserve_seconds(job: JobRow, trial: TrialRow, allowed: Allowance) -> None:
    """Set aside what the trial may take."""
    if allowed.seconds_limit is not None:
        trial.seconds_reserved = allowed.seconds_limit
        job.seconds_reserved += allowed.seconds_limit


def go_on(session: Session, job: JobRow) -> None:
    """What follows when trials have ended or wait again."""
    target = target_reached(job)
    if target is not None:
        cancel_trials(session, job, f"the target accuracy {target:g} was reached", running=False)
    advance(session, job)


def target_reached(job: JobRow) -> float | None:
    """The target accuracy, if there is one and it is reached."""
    target = request_of(job).budget.target_accuracy
    return target if target is not None and (job.best_val_top1 or 0.0) >= target else None


def advance(session: Session, job: JobRow) -> None:
    """Go on to what follows the search, if no trial is left to wait for.

    That is the confirmation of the winner, then the final test, then the result; or failure.
    """
    if job.state not in ("waiting", "running"):
        return
    if _waits_for_trials(session, job):
        return
    trials = trials_of(session, job)
    if not job.exhausted:
        protocol = request_of(job).protocol
        tried = [_tried(trial) for trial in trials]
        job.exhausted = not allowance_of(job, trials).now or (
            is_finite(protocol) and propose(protocol, "exhaustive", tried, 0, len(trials)) is None
        )
        if not job.exhausted:
            return
    if job.best_trial is None:
        end_job(session, job, "failed", _why_failed(trials))
    elif _confirm(session, job, trials):
        return
    elif job.test_images < MINIMUM_TEST_IMAGES:
        complete(session, job, None)
    else:
        job.state = "finalising"
        session.add(WorkRow(id=job.id, kind="final", job_id=job.id, state="waiting", attempts=0))


def _waits_for_trials(session: Session, job: JobRow) -> bool:
    return bool(session.scalar(_WAITS_FOR_TRIALS, {"job_id": job.id}))


def _add_next(
    session: Session, job: JobRow, trials: list[TrialRow]
) -> tuple[TrialRow, WorkRow] | None:
    """The next trial by the job's strategy, or None where every point has been tried."""
    request = request_of(job)
    protocol, number = request.protocol, trials[-1].number + 1
    if request.strategy == "recommend":
        recommended = recommend(protocol, known_task(session, job, trials))
        if recommended is None:
            return None
        point, expectation = recommended
        expected = {f"expected_{name}": value for name, value in expectation._asdict().items()}
        return add_trial(session, job, number, point, protocol.rates(point), expected=expected)
    tried = [_tried(trial) for trial in trials]
    next_point = propose(protocol, request.strategy, tried, request.recipe.seed, number)
    if next_point is None:
        return None
    return add_trial(session, job, number, next_point, protocol.rates(next_point))


def _reserve(job: JobRow, trial: TrialRow, allowed: Allowance) -> None:
    """Set aside what the budget allows the new trial."""
    job.trials_begun += 1
    job.epochs_spent += request_of(job).recipe.epochs
    reserve_seconds(job, trial, allowed)


def _confirm(session: Session, job: JobRow, trials: list[TrialRow]) -> bool:
    """Have the winner's rates finetuned with a second seed, once.

    Returns:
        Whether that is now to be done: it was wanted, there is a gain to confirm, and the budget
        pays for it.
    """
    winner, baseline = next(t for t in trials if t.number == job.best_trial), trials[0]
    gained = (winner.val_top1 or 0.0) > (baseline.val_top1 or 0.0)
    if not request_of(job).confirm or not gained or any(trial.replicate for trial in trials):
        return False
    allowed = allowance_of(job, trials)
    if not allowed.now:
        return False
    number, rates = trials[-1].number + 1, StageRates.model_validate(winner.rates)
    trial, _ = add_trial(session, job, number, winner.point, rates, replicate=1)
    _reserve(job, trial, allowed)
    job.trials_planned = number + 1
    return True


def complete(session: Session, job: JobRow, final: FinalReport | None) -> None:
    """Write the result and end the job."""
    job.result = build_result(session, job, final).model_dump(mode="json")
    end_job(session, job, "complete", None)


def _why_failed(trials: list[TrialRow]) -> str:
    counts = Counter(trial.state for trial in trials)
    reason = "no trial ran to its end: " + ", ".join(f"{n} {state}" for state, n in counts.items())
    reasons = [trial.reason for trial in trials if trial.reason]
    return f"{reason}; the last reason: {reasons[-1]}" if reasons else reason


def _tried(trial: TrialRow) -> Tried:
    return Tried(point=trial.point, state=trial.state, val_top1=trial.val_top1)

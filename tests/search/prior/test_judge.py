"""Whether an installation's own evidence helps, and the prior that is fitted where it does."""

import pytest

from lrsearch.search.prior.judge import judge
from lrsearch.search.prior.local import fit_prior
from tests.search.prior.made_up import evidence, prior, shops


def test_other_data_sets_of_the_installation_teach_what_the_shipped_ones_cannot() -> None:
    steps: list[tuple[int, int]] = []

    found = judge(prior(), shops(), lambda done, of: steps.append((done, of)))

    assert len(found.regrets) == 12
    assert found.shipped == pytest.approx(30.0, abs=0.5)  # scale 2 reaches 0.6, scale 8 0.9
    assert found.together == pytest.approx(0.0)
    assert found.is_better
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_task_is_judged_without_its_own_data_set() -> None:
    """Alone with its data set, an installation cannot know better: nothing of it may help."""
    found = judge(prior(), evidence({"shop": 8.0}, seed=3, centre=8.0))

    assert not found.is_better
    assert found.shipped == pytest.approx(30.0, abs=0.5)


def test_a_better_prior_knows_the_shipped_tasks_and_the_installations() -> None:
    fit = fit_prior(prior(), shops())

    assert fit.prior is not None
    assert fit.prior.version.startswith("made up+local.")
    assert fit.prior.evidence.names[:8] == prior().evidence.names
    assert len(fit.prior.evidence.names) == 20


def test_evidence_that_does_not_help_is_not_used() -> None:
    fit = fit_prior(prior(), shops(best=2.0))

    assert fit.judgement is not None
    assert fit.judgement.shipped == fit.judgement.together == 0.0
    assert fit.prior is None


def test_four_tasks_are_too_few_to_judge_by() -> None:
    fit = fit_prior(prior(), evidence({"shop": 8.0}))

    assert fit.judgement is None
    assert fit.prior is None

"""Evidence from finished jobs, and a prior fitted to it."""

import numpy as np
import pytest
from sqlalchemy import select

from lrsearch.access.principals import NOBODY, Principal
from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import FinalWork, ProbeReport, ProbeWork, TrialReport, TrialWork
from lrsearch.contract.protocols import Graduated
from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.db.tables import TrialRow
from lrsearch.local_evidence import DIVERGED_NOISE, local_evidence
from lrsearch.search.baseline import BASELINE
from lrsearch.search.prior.evidence import Evidence, logit
from lrsearch.search.prior.features import task_features
from lrsearch.search.prior.local import fit_prior
from tests.probes import a_probe
from tests.search.prior.made_up import SCALES, prior
from tests.service.rig import EPOCHS, TEST_IMAGES, Rig, final_report_of

VAL_IMAGES = 48
"""Of the data set `animals`: 16 of each label's 100."""


def finish(
    rig: Rig,
    best: float,
    *,
    probe: bool = True,
    data_set: str = "animals",
    per_label: int = 10,
    principal: Principal = NOBODY,
) -> Job:
    """A graduated job of three scales, of which `best` reaches 0.75 and scale 20 diverges."""
    job = rig.submit(
        probe=probe,
        principal=principal,
        data_set=data_set,
        images_per_label=per_label,
        protocol=Graduated(scale=[*SCALES, 20.0]),
    )
    while (lease := rig.try_claim()) is not None:
        for work in lease.work:
            if isinstance(work, ProbeWork):
                found = a_probe(images=3 * per_label, linear_top1=0.5 + per_label / 100)
                rig.report(lease, work, ProbeReport(probe=found))
            elif isinstance(work, FinalWork):
                rig.report(lease, work, final_report_of(work))
            elif isinstance(work, TrialWork) and work.rates.head == 20.0 * 0.016:
                rig.report(lease, work, TrialReport(outcome="diverged", curve=[], seconds=1.0))
            elif isinstance(work, TrialWork):
                is_best = work.rates.head == best * 0.016
                rig.complete(lease, 0.75 if is_best else 0.25, work=work)
    assert rig.job(job).state == "complete"
    return job


def read(rig: Rig) -> Evidence:
    with rig.database.read() as session:
        return local_evidence(session)


def rates_of(evidence: Evidence) -> list[StageRates]:
    return [StageRates(**dict(zip(STAGES, row, strict=True))) for row in evidence.rates]


def test_a_job_gives_all_its_finetunes(rig: Rig) -> None:
    job = finish(rig, best=2.0)

    found = read(rig)

    assert (found.names, found.domains) == (["animals-10/random"], ["animals"])
    probe = rig.job(job).probe
    assert probe is not None
    assert found.features[0] == pytest.approx(task_features(probe, Recipe(epochs=EPOCHS)))
    trials = rig.trials(job)
    assert rates_of(found) == [trial.rates for trial in trials]
    # 40 and 50 of the 60 test images of baseline and winner were right.
    correct = np.array([12.0 + 40, 12, 36 + 50, 12, VAL_IMAGES / 3])
    images = np.array([VAL_IMAGES + TEST_IMAGES, 48, VAL_IMAGES + TEST_IMAGES, 48, 48])
    values, noise = logit(correct, images.astype(float))
    noise[4] += DIVERGED_NOISE
    assert found.values == pytest.approx(values)
    assert found.noise == pytest.approx(noise)
    assert trials[4].state == "diverged"


def test_seeds_of_a_task_are_one_task_and_other_sizes_another(rig: Rig) -> None:
    finish(rig, best=2.0, per_label=10)
    finish(rig, best=2.0, per_label=20)
    finish(rig, best=8.0, per_label=10)

    found = read(rig)

    assert sorted(found.names) == ["animals-10/random", "animals-20/random"]
    assert sorted(np.bincount(found.tasks)) == [5, 10]
    assert found.features.shape[0] == 2


def test_data_sets_of_one_name_and_two_owners_are_two_tasks(rig: Rig) -> None:
    for owner in ("ada", "bob"):
        rig.add_data_set("birds", images_per_label=100, owner=owner)
        principal = Principal(key_id=None, owner=owner, scopes=frozenset({"submit"}))
        finish(rig, best=2.0, data_set="birds", principal=principal)

    found = read(rig)

    assert sorted(found.names) == ["ada/birds-10/random", "bob/birds-10/random"]
    assert sorted(found.domains) == ["ada/birds", "bob/birds"]


def test_jobs_that_were_not_probed_or_are_not_over_give_nothing(rig: Rig) -> None:
    finish(rig, best=2.0, probe=False)
    rig.submit(probe=True)
    rig.cancel(rig.submit().id)

    found = read(rig)

    assert found.names == []
    assert found.rates.shape == (0, len(STAGES))
    assert fit_prior(prior(), found).judgement is None


def test_a_prior_learns_from_the_jobs_of_other_data_sets(rig: Rig) -> None:
    for number in range(5):
        rig.add_data_set(f"shop-{number}", images_per_label=100)
        finish(rig, best=8.0, data_set=f"shop-{number}", per_label=10 + number)

    fit = fit_prior(prior(), read(rig))

    assert fit.judgement is not None
    assert len(fit.judgement.regrets) == 5
    assert fit.judgement.shipped > 30.0
    assert fit.judgement.together < 1.0
    assert fit.prior is not None
    ranked = fit.prior.rank(fit.local.features[0], rates_of(fit.local)[:5])
    assert ranked[0].rates.head == 8.0 * 0.016
    assert BASELINE in [each.rates for each in ranked]
    with rig.database.read() as session:
        assert len(session.scalars(select(TrialRow)).all()) == 25

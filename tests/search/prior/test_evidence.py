"""Evidence: written and read, left out, joined, thinned, fitted to."""

import json

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save

from lrsearch.contract.rates import STAGES
from lrsearch.search.prior.evidence import FORMAT, Evidence, logit
from lrsearch.search.prior.fit import fit_kernel
from lrsearch.search.prior.prior import Prior
from lrsearch.search.prior.process import log_likelihood
from lrsearch.search.prior.thin import thinned
from tests.search.prior.made_up import KERNEL, evidence, prior


def test_a_prior_is_read_as_it_was_written() -> None:
    written = prior()

    found = Prior.from_bytes(written.to_bytes())

    assert found.version == "made up"
    assert found.kernel.vector() == pytest.approx(KERNEL.vector())
    assert found.evidence.names == written.evidence.names
    assert found.evidence.domains == written.evidence.domains
    assert found.evidence.tasks.tolist() == written.evidence.tasks.tolist()
    for field in ("features", "rates", "values", "noise"):
        kept, had = getattr(found.evidence, field), getattr(written.evidence, field)
        assert kept == pytest.approx(had, rel=1e-6), field


def test_the_shipped_prior_can_be_read() -> None:
    shipped = Prior.read()

    assert len(shipped.evidence.names) == len(shipped.evidence.features) >= 10
    assert len(set(shipped.evidence.domains)) >= 3
    assert set(shipped.evidence.tasks.tolist()) == set(range(len(shipped.evidence.names)))
    assert np.isfinite(shipped.kernel.vector()).all()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "the format is None"),
        ({"format": "lrsearch evidence 0"}, "the format is 'lrsearch evidence 0'; .* evidence 1'"),
        ({"format": FORMAT, "features": json.dumps(["colour"])}, r"features are \['colour'\], not"),
    ],
)
def test_evidence_of_another_version_is_refused(metadata: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Evidence.from_bytes(save({"rates": np.zeros(1, np.float32)}, metadata))


def test_what_is_no_evidence_at_all_is_refused() -> None:
    for content in (b"", b"rates = good", prior().to_bytes()[:-1]):
        with pytest.raises(SafetensorError):
            Prior.from_bytes(content)


def test_a_domain_is_left_out_with_all_that_belongs_to_it() -> None:
    birds, signs = evidence({"birds": 2.0}, seed=1), evidence({"signs": 8.0}, seed=2)
    both = birds.and_also(signs)

    for domain, rest in (("birds", signs), ("signs", birds)):
        left = both.without(domain)
        assert left.names == rest.names
        assert left.domains == rest.domains
        assert left.tasks.tolist() == rest.tasks.tolist()
        for field in ("features", "rates", "values", "noise"):
            assert getattr(left, field).tolist() == getattr(rest, field).tolist(), field


def test_features_are_standardised_over_the_tasks() -> None:
    known = evidence({"birds": 2.0, "signs": 2.0})
    known.features[:, 0] = 3.0

    found = known.standardised(known.features)

    assert found.mean(axis=0) == pytest.approx(0.0, abs=1e-12)
    assert found[:, 0].tolist() == [0.0] * 8
    assert found[:, 1:].std(axis=0) == pytest.approx(1.0)


def test_a_logit_is_finite_and_surer_of_more_images() -> None:
    values, noise = logit(np.array([0.0, 50.0, 500.0, 100.0]), np.array([100.0, 100, 1000, 100]))

    assert np.isfinite(values).all()
    assert values[0] == pytest.approx(-values[3])
    assert values[1:3].tolist() == [0.0, 0.0]
    assert noise[2] == pytest.approx(noise[1] / 10, rel=0.02)
    assert noise[0] > noise[1]


def test_thinned_evidence_keeps_all_tasks_and_the_ends_of_each() -> None:
    known = evidence({"birds": 2.0, "signs": 2.0})

    found = thinned(known, 20)

    assert found.names == known.names
    assert np.bincount(found.tasks).tolist() == [2] * 8
    heads = found.rates[:, STAGES.index("head")].reshape(8, 2)
    assert heads.min() == 0.5 * 0.016
    assert heads.max() == 8.0 * 0.016
    assert thinned(known, 32) is known


def test_where_there_is_no_room_for_two_a_task_the_last_tasks_go() -> None:
    found = thinned(evidence({"birds": 2.0, "signs": 2.0}), 7)

    assert found.names == ["birds-0", "birds-1", "birds-2"]
    assert len(found.values) <= 7
    assert len(found.features) == 3


def test_fitting_makes_the_evidence_likelier_and_tells_what_matters() -> None:
    known = evidence({"birds": 2.0, "signs": 2.0})

    found = fit_kernel(known, KERNEL, sweeps=2)

    def likelihood_of(kernel: object) -> float:
        return log_likelihood(kernel, known.points(), known.values, known.noise)  # type: ignore[arg-type]

    assert likelihood_of(found) > likelihood_of(KERNEL) + 10.0
    assert found.common > found.own
    assert found.level < KERNEL.level  # all tasks are alike here
    again = fit_kernel(known, KERNEL, sweeps=2)
    assert again == found

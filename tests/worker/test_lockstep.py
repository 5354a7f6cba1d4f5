"""Trials side by side: the same numbers as alone, whoever rides along."""

from collections.abc import Generator, Sequence
from threading import Event, get_ident

import pytest
import torch
from torch import Tensor

from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Augmentation, NoAugmentation, Recipe, Views
from lrsearch.contract.sources import ResNet27, SourceSpec
from lrsearch_worker.data.images import Images
from lrsearch_worker.engine.finetune import DivergedError, Finetune
from lrsearch_worker.engine.lockstep import side_by_side
from lrsearch_worker.engine.shares import Shares
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.build import build
from lrsearch_worker.weights import Weights

LAST_LAYER = [StageRates.of(0.0, 0.01), StageRates.of(0.0, 0.1)]
UNIFORM = [StageRates.of(0.001, 0.01), StageRates.of(0.01, 0.1)]
GRADUATED = [
    StageRates(
        conv1=0.0,
        conv2=0.001 * scale,
        conv3=0.002 * scale,
        conv4=0.004 * scale,
        conv5=0.008 * scale,
        head=0.016 * scale,
    )
    for scale in (0.5, 4.0)
]
STAGED = [
    StageRates(conv1=0.0, conv2=0.0, conv3=0.0, conv4=0.01, conv5=0.02, head=0.1),
    StageRates(conv1=0.0, conv2=0.0, conv3=0.0, conv4=0.0, conv5=0.01, head=0.1),
    StageRates(conv1=0.01, conv2=0.0, conv3=0.02, conv4=0.0, conv5=0.01, head=0.1),
]
DIVERGING = StageRates.of(1000.0, 1000.0)

Curve = list[tuple[float, ...]]
Trained = tuple[Curve, dict[str, Tensor]]


def task(
    images: Images,
    norm: str = "batch",
    augmentation: Augmentation | None = None,
    store_bytes: int = 2**29,
) -> LoadedTask:
    architecture = ResNet27.model_validate({"width": 0.0625, "norm": norm})
    spec = SourceSpec(architecture=architecture, input_size=16)
    weights = Weights(spec, build(architecture, labels=5, seed=11).state_dict())
    recipe = Recipe(epochs=3, batch_size=8, augmentation=augmentation or NoAugmentation())
    return LoadedTask(images, weights, recipe, store_bytes=store_bytes)


def trained(
    shared: LoadedTask, rates: StageRates, epochs: int = 3
) -> Generator[None, None, Trained]:
    """A run of `epochs`, or until it diverges."""
    finetune = Finetune(shared, rates)
    curve: Curve = []
    try:
        for metrics in finetune.steps():
            if metrics is not None:
                curve.append((metrics.train_loss, metrics.val_loss, metrics.val_top1))
                if metrics.epoch == epochs:
                    break
            yield
    except DivergedError as error:
        curve.append((error.epoch, error.step))
    return curve, finetune.weights()


def together(
    shared: LoadedTask, trials: Sequence[StageRates], threads: int = 2, epochs: int = 3
) -> list[Trained]:
    runs = [trained(shared, rates, epochs) for rates in trials]
    results = dict(side_by_side(runs, threads, Shares(len(runs))))
    return [results[i] for i in range(len(runs))]


def assert_the_same(some: list[Trained], others: list[Trained]) -> None:
    for (curve, weights), (other_curve, other_weights) in zip(some, others, strict=True):
        assert curve == other_curve
        assert all(torch.equal(weights[name], t) for name, t in other_weights.items())


@pytest.mark.parametrize("store_bytes", [2**29, 0])
@pytest.mark.parametrize("augmentation", [NoAugmentation(), Views(views=2)])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("trials", [LAST_LAYER, UNIFORM, GRADUATED, STAGED])
def test_a_trial_is_bitwise_the_same_with_companions_as_alone(
    three_animals: Images,
    trials: list[StageRates],
    norm: str,
    augmentation: Augmentation,
    store_bytes: int,
) -> None:
    alone = [
        together(task(three_animals, norm, augmentation, store_bytes), [rates])[0]
        for rates in trials
    ]
    shared = task(three_animals, norm, augmentation, store_bytes)
    assert_the_same(together(shared, trials), alone)


def test_trials_of_all_protocols_do_not_disturb_each_other_whatever_their_number(
    three_animals: Images,
) -> None:
    trials = [*LAST_LAYER, *UNIFORM, *GRADUATED, *STAGED]
    alone = [together(task(three_animals), [rates])[0] for rates in trials]
    for threads in (1, 2, 4):
        assert_the_same(together(task(three_animals), trials, threads), alone)
    assert_the_same(together(task(three_animals), trials[::-1]), alone[::-1])


def test_one_that_ends_early_and_one_that_diverges_do_not_disturb_the_others(
    three_animals: Images,
) -> None:
    shared = task(three_animals, norm="none")
    staying = [GRADUATED[0], UNIFORM[0]]
    alone = together(task(three_animals, norm="none"), staying)
    leaving = [trained(shared, GRADUATED[1], epochs=1), trained(shared, DIVERGING)]
    runs = [*leaving, *(trained(shared, rates) for rates in staying)]
    results = dict(side_by_side(runs, 2, Shares(len(runs))))
    assert len(results[0][0]) == 1
    assert results[1][0][-1][0] == 1.0  # diverged in the first epoch
    assert_the_same([results[2], results[3]], alone)


def test_the_one_furthest_behind_is_next() -> None:
    order = []

    def run(name: str, steps: int) -> Generator[None, None, str]:
        for _ in range(steps):
            order.append(name)
            yield
        return name

    runs = [run("a", 3), run("b", 1), run("c", 3)]
    ended = list(side_by_side(runs, 1, Shares(3)))
    assert order == ["a", "b", "c", "a", "c", "a", "c"]
    assert ended == [(1, "b"), (0, "a"), (2, "c")]


def test_as_many_steps_are_taken_at_a_time_as_there_are_threads() -> None:
    met = [Event(), Event()]
    threads = set()

    def meets(mine: Event, other: Event) -> Generator[None, None, bool]:
        mine.set()
        threads.add(get_ident())
        yield
        return other.wait(60.0)

    runs = [meets(*met), meets(*reversed(met))]
    assert dict(side_by_side(runs, 2, Shares(2))) == {0: True, 1: True}
    assert get_ident() not in threads


def test_an_error_ends_all_and_reaches_the_caller() -> None:
    closed = []

    def endless() -> Generator[None, None, None]:
        try:
            while True:
                yield
        finally:
            closed.append(True)

    def fails() -> Generator[None, None, None]:
        yield
        raise RuntimeError("the lease is lost")

    with pytest.raises(RuntimeError, match="the lease is lost"):
        list(side_by_side([endless(), fails(), endless()], 2, Shares(3)))
    assert closed == [True, True]


def test_a_caller_may_leave_before_the_end() -> None:
    closed = []

    def run(steps: int | None) -> Generator[None, None, int]:
        try:
            while steps is None or steps:
                yield
                steps = steps and steps - 1
        finally:
            closed.append(True)
        return 0

    outcomes = side_by_side([run(2), run(None)], 2, Shares(2))
    assert next(outcomes) == (0, 0)
    outcomes.close()
    assert closed == [True, True]

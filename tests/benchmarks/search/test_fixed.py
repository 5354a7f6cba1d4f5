"""Rates that are fixed on other tasks."""

from tests.benchmarks.search.lookup import GRADUATED
from tests.benchmarks.search.made_up import MIDDLING, Watched, a_task
from tests.benchmarks.search.strategies.fixed import best_on_average


def scales(**better: float) -> list[float]:
    """All scales alike but for those named by their place."""
    return [better.get(f"at_{place}", 0.5) for place in range(1, len(MIDDLING) + 1)]


def test_the_fixed_scale_is_the_best_on_average_on_the_other_tasks() -> None:
    others = [a_task(scales(at_4=0.9, at_7=0.8)), a_task(scales(at_4=0.5, at_7=0.7))]
    task = Watched(a_task(scales(at_2=1.0)))
    assert best_on_average(others, GRADUATED)(task, 1.0, 0) == 7


def test_the_fixed_scale_is_chosen_by_audit_images() -> None:
    others = [a_task(scales(at_3=0.9), audit=scales(at_5=0.6))]
    assert best_on_average(others, GRADUATED)(a_task(), 1.0, 0) == 5


def test_a_point_of_another_layer_is_found_wherever_a_task_holds_it() -> None:
    rule = {"discriminative": [0.6, 0.8, 0.7]}
    others = [a_task(more=rule)]
    chosen = best_on_average(others, "discriminative")
    assert chosen(a_task(more=rule), 1.0, 0) == 15
    assert chosen(a_task(more={"staged": [0.9, 0.9], **rule}), 1.0, 0) == 17

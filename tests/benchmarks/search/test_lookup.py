"""Tasks as strategies see them."""

import numpy as np
import pytest

from tests.benchmarks.search.lookup import BASELINE, PAPER, SCALES, evidence_of
from tests.benchmarks.search.made_up import MIDDLING, a_task


def test_a_task_holds_several_layers_and_the_graduated_one_keeps_its_places() -> None:
    task = a_task(more={"staged": [0.6, 0.7], "uniform": [0.8]})
    assert task.of("graduated") == list(SCALES)
    assert task.of("staged", "uniform") == [14, 15, 16]
    assert task.of("uniform", "staged") == [16, 14, 15]
    assert task.of("seeds") == []
    assert task.measured.rows[BASELINE]["baseline"]
    scales = [task.rates[place].head / 0.016 for place in PAPER]
    assert scales == pytest.approx([0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0])


def test_the_selected_trial_is_the_best_on_validation_images_after_an_epoch() -> None:
    early = [0.7] + [0.5] * 19
    task = a_task([early, *MIDDLING[1:12], 0.6], audit=[0.9, *MIDDLING[1:]])
    assert task.selected(SCALES, epoch=1) == 1
    assert task.selected(SCALES) == 13


def test_a_diverged_trial_answers_at_random_from_there_on() -> None:
    task = a_task([[0.8, 0.7], *MIDDLING[1:]])
    assert task.val_top1(1, epoch=2) == 0.7
    assert task.val_top1(1, epoch=3) == task.measured.probe.chance


def test_evidence_is_of_the_layers_that_were_asked_for() -> None:
    tasks = [a_task(more={"staged": [0.9]}, task="one"), a_task(task="two", domain="letters")]
    evidence = evidence_of(tasks)
    assert evidence.tasks.tolist() == [0] * 14 + [1] * 14
    both = evidence_of(tasks, ["graduated", "staged"])
    assert both.tasks.tolist() == [0] * 15 + [1] * 14
    assert both.values[14] == pytest.approx(np.log(900.5 / 100.5))
    assert both.domains == ["digits", "letters"]

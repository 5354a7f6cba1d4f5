from typing import Any

import pytest

from lrsearch.contract.protocols import Graduated, LastLayer, LogRange, Protocol, Staged, Uniform
from lrsearch.report.figure import accuracy_figure, contenders_figure, curves_figure
from tests.report.outcomes import (
    BASELINE_RATES,
    EPOCHS,
    GRADUATED_ACCURACIES,
    a_confirmed_report,
    a_job,
    a_report,
    a_result,
    a_trial,
    trials_of,
)


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_graduated_trials_stand_over_their_scale_on_a_log_axis() -> None:
    protocol = Graduated()
    figure = accuracy_figure(a_job(protocol), trials_of(protocol, GRADUATED_ACCURACIES), None)

    line = traces(figure)["validation"]
    assert figure.layout.xaxis.type == "log"
    assert list(line.x) == [0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0]
    assert list(line.y) == GRADUATED_ACCURACIES[:10]
    assert "2.5" in figure.layout.xaxis.ticktext


def test_the_baseline_is_a_dashed_line_with_its_accuracy() -> None:
    figure = accuracy_figure(a_job(), trials_of(Graduated(), [0.6]), None)

    (line,) = figure.layout.shapes
    assert (line.y0, line.y1, line.line.dash) == (0.55, 0.55, "dash")
    assert figure.layout.annotations[0].text == "baseline<br>55.0%"


def test_a_diverged_trial_is_marked_and_has_no_score() -> None:
    figure = accuracy_figure(a_job(), trials_of(Graduated(), GRADUATED_ACCURACIES), None)

    mark = traces(figure)["no score"]
    assert list(mark.x) == [10.0]
    assert mark.yaxis == "y2"
    assert None not in traces(figure)["validation"].y


def test_the_winner_is_marked_with_its_test_accuracy_and_interval() -> None:
    report = a_report()
    figure = accuracy_figure(report.job, report.trials, report.result)

    name = "winner: test 77.3% (95 %: 72.3% to 81.3%)"
    assert list(traces(figure)["winner: validation 81.0%"].x) == [2.5]
    tested = traces(figure)[name]
    assert list(tested.y) == [0.773]
    assert list(tested.error_y.array) == pytest.approx([0.04])
    assert list(tested.error_y.arrayminus) == pytest.approx([0.05])


def test_a_winner_that_was_not_tested_has_no_interval() -> None:
    report = a_report()
    assert report.result is not None
    winner = report.result.winner.model_copy(update={"test_top1": None, "test_interval": None})
    result = report.result.model_copy(update={"winner": winner})

    figure = accuracy_figure(report.job, report.trials, result)

    assert not any("test" in name for name in traces(figure))


def test_the_winners_second_seed_is_a_mark_of_its_own() -> None:
    report = a_confirmed_report()

    marks = traces(accuracy_figure(report.job, report.trials, report.result))
    curves = traces(curves_figure(report.job, report.trials, report.result))

    mark = marks["winner, second seed: validation 78.0%"]
    assert (list(mark.x), list(mark.y)) == ([2.5], [0.78])
    assert list(marks["validation"].x).count(2.5) == 1
    assert curves["scale 2.5, second seed"].line.dash == "dot"


def test_uniform_trials_have_a_line_for_each_last_layer_rate_and_a_place_for_frozen() -> None:
    protocol = Uniform()
    figure = accuracy_figure(a_job(protocol), trials_of(protocol, [0.6] * 9), None)

    lines = traces(figure)
    assert list(lines["LL 0.01"].x) == [1e-5, 1e-4, 1e-3, 1e-2]
    assert list(lines["LL 0.1"].x) == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert figure.layout.xaxis.tickvals[0] == 1e-5
    assert figure.layout.xaxis.ticktext[0] == "frozen"


def test_last_layer_trials_stand_over_their_last_layer_rate() -> None:
    protocol = LastLayer()
    figure = accuracy_figure(a_job(protocol), trials_of(protocol, [0.6, 0.7]), None)

    assert list(traces(figure)["validation"].x) == [0.01, 0.1]


def test_staged_trials_are_points_coloured_by_their_frozen_stages() -> None:
    protocol = Staged()
    points = [
        {"frozen": 1, "il": 0.001, "growth": 2.0, "ll": 0.1},
        {"frozen": 5, "il": 0.01, "growth": 2.0, "ll": 0.1},
    ]
    trials = [
        a_trial(number, protocol.rates(point), point, 0.6) for number, point in enumerate(points)
    ]

    figure = accuracy_figure(a_job(protocol), trials, None)

    lines = traces(figure)
    assert list(lines["frozen stages 1"].x) == [0.001]
    assert list(lines["frozen stages 5"].x) == pytest.approx([0.0001])
    assert figure.layout.xaxis.ticktext[0] == "frozen"
    assert lines["frozen stages 1"].mode == "markers"


@pytest.mark.parametrize(
    ("protocol", "point"),
    [
        (Graduated(scale=LogRange(low=0.1, high=10)), {"scale": 1.2}),
        (Uniform(ll=LogRange(low=0.01, high=1)), {"il": 0.0, "ll": 0.05}),
        (Graduated(multipliers=[(0, 1, 2, 4, 8, 16), (1, 1, 1, 1, 1, 10)]), None),
    ],
)
def test_every_protocol_has_a_small_figure(
    protocol: Protocol, point: dict[str, float] | None
) -> None:
    point = point or protocol.points()[-1]
    trials = [
        a_trial(0, BASELINE_RATES, {}, 0.5),
        *(a_trial(number, protocol.rates(point), point, 0.6) for number in range(1, 30)),
    ]

    json = accuracy_figure(a_job(protocol), trials, a_result(trials, 1)).to_json()

    assert len(json) < 20_000


def test_a_job_without_trials_has_an_empty_figure() -> None:
    assert len(accuracy_figure(a_job(state="waiting"), [], None).data) == 0


def test_the_learning_curves_set_off_winner_and_baseline() -> None:
    report = a_report()

    lines = traces(curves_figure(report.job, report.trials, report.result))

    assert list(lines["scale 2.5 (winner)"].x) == list(range(1, EPOCHS + 1))
    assert lines["scale 2.5 (winner)"].y[-1] == pytest.approx(0.81)
    assert lines["scale 2.5 (winner)"].line.width > lines["scale 2"].line.width
    assert lines["baseline"].line.dash == "dash"
    assert "scale 10" not in lines


def test_winner_and_baseline_are_compared_on_the_test_split() -> None:
    result = a_report().result
    assert result is not None

    baseline, winner = contenders_figure(result).data

    assert (baseline.y[0], baseline.x[0]) == ("baseline", 0.537)
    assert (winner.y[0], winner.x[0]) == ("winner", 0.773)

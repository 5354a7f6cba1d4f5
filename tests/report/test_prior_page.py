"""The figure of recommended scale against images per label, and its page."""

import numpy as np

from lrsearch.report.prior_figure import scales_figure
from lrsearch.report.prior_page import prior_page
from lrsearch.search.prior.scales import (
    IMAGES,
    LABELS,
    WIDE_SCALES,
    measured_scales,
    scale_lines,
)
from tests.search.prior.made_up import evidence, prior

KNOWN = prior({"birds": 8.0, "<signs>": 2.0})


def test_the_lines_are_of_the_best_scale_within_a_band() -> None:
    lines = scale_lines(KNOWN)

    assert tuple(line.labels for line in lines) == LABELS
    assert (IMAGES[0], IMAGES[-1]) == (2, 200)
    assert list(IMAGES) == sorted(set(IMAGES))
    for line in lines:
        assert len(line.best) == len(IMAGES)
        for low, best, high in zip(line.low, line.best, line.high, strict=True):
            assert low <= best <= high
            assert {low, best, high} <= set(WIDE_SCALES)


def test_a_task_is_a_dot_at_its_best_measured_scale() -> None:
    dots = measured_scales(KNOWN.evidence)

    assert {dot.domain: dot.scale for dot in dots} == {"birds": 8.0, "<signs>": 2.0}
    assert len(dots) == 8
    assert [dot.task for dot in dots] == KNOWN.evidence.names
    assert dots[0].images_per_label == 2.0 ** KNOWN.evidence.features[0, 0]


def test_rates_that_are_not_graduated_make_no_dot() -> None:
    uniform = evidence({"birds": 8.0})
    uniform.rates[:, 4] = np.where(uniform.rates[:, 4] > 0.0, 1e-3, 0.0)

    assert measured_scales(uniform) == []


def test_lines_and_dots_are_drawn_on_log_axes_in_the_same_colour() -> None:
    figure = scales_figure(scale_lines(KNOWN), measured_scales(KNOWN.evidence))

    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    traces = {trace.name: trace for trace in figure.data if trace.name}
    assert list(traces) == [
        *(f"{labels} labels" for labels in LABELS),
        *(f"measured, about {labels} labels" for labels in LABELS),
    ]
    dots = [traces[f"measured, about {labels} labels"] for labels in LABELS]
    assert sum(len(trace.x) for trace in dots) == 8
    for labels, trace in zip(LABELS, dots, strict=True):
        assert trace.marker.color == traces[f"{labels} labels"].line.color


def test_the_page_says_in_words_and_numbers_what_the_figure_shows() -> None:
    page = prior_page(KNOWN)

    line = scale_lines(KNOWN)[0]
    assert f"recommended scale goes from {line.best[0]:g} at 2 images per label" in page
    assert 'role="img" aria-describedby="in-words"' in page
    assert page.count('<td class="text">birds-') == 4
    assert "&lt;signs&gt;" in page
    assert "<signs>-0</td>" not in page

"""The figure of what the prior recommends: scale against images per label."""

from math import log

import plotly.graph_objects as go

from lrsearch.report.figure import LINES, layout
from lrsearch.search.prior.scales import (
    IMAGES,
    LABELS,
    MARKS,
    WIDE_SCALES,
    MeasuredScale,
    ScaleLine,
)

_SYMBOLS = ("circle", "square", "diamond")


def scales_figure(lines: list[ScaleLine], measured: list[MeasuredScale]) -> go.Figure:
    """Recommended scale over images per label, both on log axes.

    Args:
        lines: By number of labels: the best scale, and a band of those that are nearly as good.
        measured: The best scale of known tasks, dots in the colour of the nearest line.
    """
    figure = go.Figure(layout=layout("scale of the graduated rates", "images per label"))
    for line, colour in zip(lines, LINES, strict=False):
        figure.add_scatter(
            x=[*IMAGES, *reversed(IMAGES)],
            y=[*line.high, *reversed(line.low)],
            fill="toself",
            fillcolor=_transparent(colour),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            legendgroup=str(line.labels),
            showlegend=False,
        )
    for line, colour in zip(lines, LINES, strict=False):
        figure.add_scatter(
            x=list(IMAGES),
            y=line.best,
            customdata=list(zip(line.low, line.high, strict=True)),
            name=f"{line.labels} labels",
            mode="lines",
            line={"color": colour, "width": 2.5},
            legendgroup=str(line.labels),
            hovertemplate="%{x} images per label: scale <b>%{y}</b><br>within a point: "
            "%{customdata[0]} to %{customdata[1]}",
        )
    for place, (colour, symbol) in enumerate(zip(LINES, _SYMBOLS, strict=False)):
        dots = [dot for dot in measured if _nearest_line(dot.labels) == place]
        figure.add_scatter(
            x=[dot.images_per_label for dot in dots],
            y=[dot.scale for dot in dots],
            customdata=[[dot.task, dot.domain, dot.labels] for dot in dots],
            name=f"measured, about {LABELS[place]} labels",
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": symbol, "opacity": 0.55},
            legendgroup=str(LABELS[place]),
            hovertemplate="%{customdata[0]} (%{customdata[1]}, %{customdata[2]} labels)<br>"
            "best measured scale <b>%{y}</b> at %{x:.0f} images per label<extra></extra>",
        )
    figure.update_xaxes(type="log", tickvals=MARKS, ticktext=[str(mark) for mark in MARKS])
    figure.update_yaxes(
        type="log",
        tickformat=None,
        tickvals=list(WIDE_SCALES),
        ticktext=[f"{scale:g}" for scale in WIDE_SCALES],
    )
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, height=520
    )
    return figure


def _nearest_line(labels: int) -> int:
    return min(range(len(LABELS)), key=lambda place: abs(log(labels / LABELS[place])))


def _transparent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.13)"

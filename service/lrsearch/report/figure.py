"""Figures of a job; they use plotly alone and are kept small, since they are stored as JSON."""

from typing import Any

import plotly.graph_objects as go

from lrsearch.contract.jobs import Job
from lrsearch.contract.results import Result
from lrsearch.contract.trials import Trial
from lrsearch.report.axis import MainAxis, main_axis, point_label, rates_label

WINNER = "#c2410c"
BASELINE = "#64748b"
INK = "#1e293b"
GRID = "#e2e8f0"
LINES = ("#2563eb", "#0d9488", "#9333ea", "#ca8a04", "#db2777", "#475569")
"""Colours that stay apart for the colour-blind too."""


def accuracy_figure(job: Job, trials: list[Trial], result: Result | None) -> go.Figure:
    """Validation top-1 of every trial over what its protocol searches, with baseline and winner.

    Args:
        job: The job.
        trials: Its trials so far, in any order; those without a score are marked at the bottom.
        result: What it found, if it has ended: adds the winner's test top-1 and 95 % interval.
    """
    trials = sorted(trials, key=lambda trial: trial.number)
    axis = main_axis(job.request.protocol, trials)
    scored = [trial for trial in trials if trial.val_top1 is not None and not trial.replicate]
    figure = go.Figure(layout=layout("top-1 accuracy", axis.title))
    for i, group in enumerate(_ordered_groups(axis)):
        members = [trial for trial in scored if axis.groups.get(trial.number) == group]
        if members:
            figure.add_trace(_line(job, axis, group, members, LINES[i % len(LINES)]))
    _add_unscored(figure, job, axis, trials)
    _add_baseline(figure, trials)
    if result is not None:
        _add_winner(figure, axis, result)
        _add_confirmation(figure, axis, result)
    figure.update_xaxes(type="log", tickvals=list(axis.ticks), ticktext=list(axis.ticks.values()))
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, showlegend=True
    )
    return figure


def curves_figure(job: Job, trials: list[Trial], result: Result | None) -> go.Figure:
    """Validation top-1 by epoch: a line a trial, the winner's and the baseline's set off."""
    figure = go.Figure(layout=layout("validation top-1", "epoch"))
    winner = result.winner.trial if result is not None else None
    shown = [trial for trial in sorted(trials, key=lambda it: it.number) if trial.curve]
    searched = [trial for trial in shown if not trial.baseline and not trial.replicate]
    strength = {
        trial.number: i / max(len(searched) - 1, 1)
        for i, trial in enumerate(sorted(searched, key=lambda it: it.rates.head))
    }
    for trial in sorted(shown, key=lambda it: (it.number == winner, it.baseline)):
        name = point_label(job.request.protocol, trial)
        if trial.number == winner:
            line = {"color": WINNER, "width": 3.5}
        elif trial.replicate:
            line = {"color": WINNER, "width": 2.0, "dash": "dot"}
        elif trial.baseline:
            line = {"color": BASELINE, "width": 2.5, "dash": "dash"}
        else:
            line = {"color": _blend(strength[trial.number]), "width": 1.5}
        figure.add_scatter(
            x=[metrics.epoch for metrics in trial.curve],
            y=[metrics.val_top1 for metrics in trial.curve],
            name=f"{name} (winner)" if trial.number == winner else name,
            mode="lines" if len(trial.curve) > 1 else "markers",
            line=line,
            hovertemplate="epoch %{x}: %{y:.1%}",
        )
    figure.update_layout(hovermode="closest", showlegend=True)
    return figure


def contenders_figure(result: Result) -> go.Figure:
    """Test top-1 of winner and baseline with their 95 % intervals; empty without a test split."""
    figure = go.Figure(layout=layout(None, "test top-1"))
    contenders = [("baseline", result.baseline, BASELINE), ("winner", result.winner, WINNER)]
    for name, contender, colour in contenders:
        if contender is None or contender.test_top1 is None or contender.test_interval is None:
            continue
        top1, interval = contender.test_top1, contender.test_interval
        figure.add_scatter(
            x=[top1],
            y=[name],
            mode="markers",
            marker={"color": colour, "size": 14},
            error_x=_interval_bars(top1, interval.low, interval.high, colour),
            hovertemplate=f"{name}: {top1:.1%}, "
            f"{interval.low:.1%} to {interval.high:.1%}<extra></extra>",
        )
    figure.update_layout(showlegend=False, height=190, margin={"l": 80, "t": 10, "b": 50})
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickformat=None, rangemode="normal", showgrid=False)
    return figure


def layout(y_title: str | None, x_title: str) -> dict[str, Any]:
    """What all figures look like; the y axis is in per cent."""
    axis = {
        "gridcolor": GRID,
        "linecolor": "#94a3b8",
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "#94a3b8",
        "automargin": True,
    }
    return {
        "template": None,  # the default one alone would be 7 kB of JSON
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "height": 420,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 60},
        "hoverlabel": {"bgcolor": "#fff", "font": {"color": INK}},
        "legend": {"orientation": "v", "font": {"size": 12}},
        "xaxis": {**axis, "title": {"text": x_title}},
        "yaxis": {**axis, "title": {"text": y_title}, "tickformat": ".0%"},
    }


def _ordered_groups(axis: MainAxis) -> list[str]:
    return sorted(set(axis.groups.values()), key=lambda group: (_number(group), group))


def _number(group: str) -> float:
    try:
        return float(group.split()[0])
    except (ValueError, IndexError):
        return 0.0


def _line(job: Job, axis: MainAxis, group: str, members: list[Trial], colour: str) -> go.Scatter:
    members = sorted(members, key=lambda trial: axis.positions[trial.number])
    return go.Scatter(
        x=[axis.positions[trial.number] for trial in members],
        y=[trial.val_top1 for trial in members],
        customdata=[
            [trial.number, point_label(job.request.protocol, trial), rates_label(trial.rates)]
            for trial in members
        ],
        name=f"{axis.group_title} {group}" if axis.group_title else "validation",
        mode="lines+markers" if axis.is_connected else "markers",
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": 9},
        hovertemplate="trial %{customdata[0]}: %{customdata[1]}<br>"
        "validation top-1 <b>%{y:.1%}</b><br>%{customdata[2]}<extra></extra>",
    )


def _add_unscored(figure: go.Figure, job: Job, axis: MainAxis, trials: list[Trial]) -> None:
    """Marks at the bottom edge: a trial without a score is not one that scored 0."""
    ended = [
        trial
        for trial in trials
        if trial.state in ("diverged", "failed", "pruned") and trial.number in axis.positions
    ]
    if not ended:
        return
    figure.add_scatter(
        x=[axis.positions[trial.number] for trial in ended],
        y=[0.0] * len(ended),
        yaxis="y2",
        customdata=[
            [trial.number, point_label(job.request.protocol, trial), trial.state] for trial in ended
        ],
        name="no score",
        mode="markers",
        marker={"color": "#dc2626", "size": 9, "symbol": "x"},
        hovertemplate="trial %{customdata[0]}: %{customdata[1]}<br>%{customdata[2]}<extra></extra>",
        cliponaxis=False,
    )
    figure.update_layout(
        yaxis2={"overlaying": "y", "range": [-0.02, 1.0], "visible": False, "fixedrange": True}
    )


def _add_baseline(figure: go.Figure, trials: list[Trial]) -> None:
    baseline = next((it for it in trials if it.baseline and it.val_top1 is not None), None)
    if baseline is None or baseline.val_top1 is None:
        return
    figure.add_hline(
        y=baseline.val_top1,
        line={"color": BASELINE, "width": 2, "dash": "dash"},
    )
    # In the right margin: beside the line, where no trial's point can stand.
    figure.add_annotation(
        text=f"baseline<br>{baseline.val_top1:.1%}",
        x=1.0,
        xref="paper",
        xanchor="left",
        xshift=6,
        y=baseline.val_top1,
        align="left",
        font={"color": BASELINE},
        showarrow=False,
    )
    figure.update_layout(margin={"r": 80})


def _add_winner(figure: go.Figure, axis: MainAxis, result: Result) -> None:
    winner = result.winner
    position = axis.positions.get(winner.trial)
    if position is None:  # the baseline won, and its line shows it
        return
    figure.add_scatter(
        x=[position],
        y=[winner.val_top1],
        name=f"winner: validation {winner.val_top1:.1%}",
        mode="markers",
        marker={"color": WINNER, "size": 17, "symbol": "star"},
        hoverinfo="skip",
    )
    if winner.test_top1 is None or winner.test_interval is None:
        return
    interval = winner.test_interval
    text = f"test {winner.test_top1:.1%} (95 %: {interval.low:.1%} to {interval.high:.1%})"
    figure.add_scatter(
        x=[position],
        y=[winner.test_top1],
        name=f"winner: {text}",
        mode="markers",
        marker={"color": WINNER, "size": 11, "symbol": "diamond-open", "line": {"width": 2}},
        error_y=_interval_bars(winner.test_top1, interval.low, interval.high, WINNER),
        hovertemplate=f"winner: {text}<extra></extra>",
    )


def _add_confirmation(figure: go.Figure, axis: MainAxis, result: Result) -> None:
    confirmation = result.confirmation
    if confirmation is None or confirmation.val_top1 is None:
        return
    figure.add_scatter(
        x=[axis.positions[confirmation.trial]],
        y=[confirmation.val_top1],
        name=f"winner, second seed: validation {confirmation.val_top1:.1%}",
        mode="markers",
        marker={"color": WINNER, "size": 15, "symbol": "star-open", "line": {"width": 2}},
        hovertemplate=f"trial {confirmation.trial}: winner's rates, second seed<br>"
        "validation top-1 <b>%{y:.1%}</b><extra></extra>",
    )


def _interval_bars(top1: float, low: float, high: float, colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - top1],
        "arrayminus": [top1 - low],
        "color": colour,
        "thickness": 2,
        "width": 7,
    }


def _blend(share: float) -> str:
    """A colour from light to dark blue; `share` in [0, 1]."""
    light, dark = (0xBF, 0xDB, 0xFE), (0x1E, 0x3A, 0x8A)
    mixed = (round(a + (b - a) * share) for a, b in zip(light, dark, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)

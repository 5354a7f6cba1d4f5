"""The figure: mean regret of every strategy against what it costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go


def write_plot(
    path: Path, figures: Mapping[str, Mapping[str, Any]], budgets: Sequence[float]
) -> None:
    """Writes an HTML page: a line for each strategy, with 95 % intervals over targets.

    Args:
        path: Of the page; its folder is made.
        figures: By strategy: `regret_points_BUDGET` and its interval.
        budgets: In finetune-equivalents.
    """
    figure = go.Figure()
    keys = [f"regret_points_{budget:g}".replace(".", "_") for budget in budgets]
    for name, each in figures.items():
        means = [each[key] for key in keys]
        lows, highs = zip(*(each[f"{key}_95"] for key in keys), strict=True)
        figure.add_scatter(
            x=list(budgets),
            y=means,
            name=name.replace("_", " "),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - mean for high, mean in zip(highs, means, strict=True)],
                "arrayminus": [mean - low for low, mean in zip(lows, means, strict=True)],
                "thickness": 1,
            },
        )
    figure.update_layout(
        title="Regret against the exhaustive search of 12 finetunes, on images that chose nothing",
        xaxis_title="finetune-equivalents",
        yaxis_title="mean regret, points of accuracy",
        template="simple_white",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path)

"""A job's report as one page that needs nothing else: style, figures and plotly.js are in it."""

from datetime import UTC, datetime
from importlib.resources import files
from math import log10

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lrsearch.contract.rates import STAGES
from lrsearch.contract.results import Contender
from lrsearch.contract.trials import Trial
from lrsearch.report import text
from lrsearch.report.axis import point_label
from lrsearch.report.figure import accuracy_figure, contenders_figure, curves_figure
from lrsearch.report.job_report import JobReport


def page(report: JobReport) -> str:
    """The report as an HTML document; user text in it is escaped."""
    job, trials, result = report.job, report.trials, report.result
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            job=job,
            result=result,
            title=job.name or f"{report.data_set.name}, {job.request.protocol.name}",
            trials=[_row(report, trial) for trial in _best_first(trials)],
            contenders=_contenders(report),
            accuracy=embed(accuracy_figure(job, trials, result), "accuracy"),
            curves=embed(curves_figure(job, trials, result), "curves"),
            tested=embed(contenders_figure(result), "tested")
            if result is not None and result.winner.test_top1 is not None
            else None,
            stages=STAGES,
            written_at=datetime.now(UTC),
            **shared_parts(),
        )
    )


def shared_parts() -> dict[str, Markup]:
    """What every page has in it: `style` and `plotly`."""
    return {
        "style": Markup(files("lrsearch.report").joinpath("templates/page.css").read_text()),  # noqa: S704 - our own file
        "plotly": Markup(get_plotlyjs()),  # noqa: S704 - the library's own script
    }


def environment() -> Environment:
    """The templates, with our filters."""
    environment = Environment(
        loader=PackageLoader("lrsearch.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "percent": text.percent,
        "duration": text.duration,
        "rate": text.rate,
        "p_value": text.p_value,
        "points": text.points,
        "size": text.size,
    }
    return environment


def embed(figure: go.Figure, name: str) -> Markup:
    """A figure as a part of a page that has plotly in it; `name` is its element's id."""
    html = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displayModeBar": False, "responsive": True},
    )
    return Markup(html)  # noqa: S704 - plotly escapes what could end the script


def _best_first(trials: list[Trial]) -> list[Trial]:
    """Best validation top-1 first, ties by loss as the search itself breaks them."""
    return sorted(
        trials,
        key=lambda trial: (
            -(trial.val_top1 if trial.val_top1 is not None else -1.0),
            trial.val_loss if trial.val_loss is not None else 0.0,
            trial.number,
        ),
    )


def _row(report: JobReport, trial: Trial) -> dict[str, object]:
    lowest, highest = _rate_range(report.trials)
    span = log10(highest / lowest) or 1.0
    return {
        "trial": trial,
        "label": point_label(report.job.request.protocol, trial),
        "winner": report.result is not None and report.result.winner.trial == trial.number,
        "rates": [
            (value, 8 + round(62 * log10(value / lowest) / span) if value else None)
            for _, value in trial.rates.items()
        ],
    }


def _rate_range(trials: list[Trial]) -> tuple[float, float]:
    rates = [value for trial in trials for _, value in trial.rates.items() if value]
    return min(rates, default=1.0), max(rates, default=1.0)


def _contenders(report: JobReport) -> list[tuple[str, str, Contender]]:
    if report.result is None:
        return []
    labels = {
        trial.number: point_label(report.job.request.protocol, trial) for trial in report.trials
    }
    pairs = [("winner", report.result.winner), ("baseline", report.result.baseline)]
    return [(role, labels[it.trial], it) for role, it in pairs if it is not None]

"""The note on a job's study: the task, the outcome, and where to get the result."""

from lrsearch.contract.datasets import DataSet
from lrsearch.contract.jobs import Job
from lrsearch.contract.results import Contender, Result


def study_note(job: Job, data_set: DataSet, result: Result | None) -> str:
    """Markdown for the dashboard."""
    return "\n\n".join([_task(job, data_set), _outcome(job, result)])


def _task(job: Job, data_set: DataSet) -> str:
    request, statistics = job.request, data_set.statistics
    images = "all" if request.images_per_label is None else str(request.images_per_label)
    lines = [
        f"# {job.name or data_set.name}",
        (
            f"Target **{_escaped(data_set.name)}**, "
            f"source model **{_escaped(request.source_model)}**, "
            f"protocol `{request.protocol.name}`, strategy `{request.strategy}`."
        ),
    ]
    if statistics is not None:
        per_label = statistics.images_per_label
        lines.append(
            f"{statistics.images} images, {len(statistics.labels)} labels "
            f"({per_label.min} to {per_label.max} images each); "
            f"{images} training images per label; {request.recipe.epochs} epochs."
        )
    return "\n\n".join(lines)


def _outcome(job: Job, result: Result | None) -> str:
    if result is None:
        return f"The job is {job.state}." + (f" {_escaped(job.reason)}" if job.reason else "")
    rows = [_row("winner", result.winner)]
    if result.baseline is not None:
        rows.append(_row("baseline", result.baseline))
    return "\n".join(
        [
            f"**{result.verdict}**",
            "",
            "| | trial | conv1 | conv2 | conv3 | conv4 | conv5 | head | validation | test (95 %) |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            (
                f"Cost: {result.cost.finetune_equivalents:.1f} finetune-equivalents, "
                f"{result.cost.seconds:.0f} worker seconds. "
                f"[Result](/v1/jobs/{job.id}/result) · [weights]({result.weights_url})"
            ),
        ]
    )


def _row(name: str, contender: Contender) -> str:
    rates = " | ".join(f"{rate:g}" for _, rate in contender.rates.items())
    test = "none"
    if contender.test_top1 is not None and contender.test_interval is not None:
        interval = contender.test_interval
        test = f"{contender.test_top1:.3f} ({interval.low:.3f} to {interval.high:.3f})"
    return f"| {name} | {contender.trial} | {rates} | {contender.val_top1:.3f} | {test} |"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#!|" else c for c in text)

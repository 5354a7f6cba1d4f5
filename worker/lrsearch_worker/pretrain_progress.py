"""Shows how a source training goes: a bar on a terminal, a line an epoch elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lrsearch_worker.pretrain import EpochReport, Watcher


class PretrainProgress(Watcher):
    """Prints to `console`; a context manager, since a bar must be closed."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        self._epochs = epochs
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("Images", total=None, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def decoded(self, done: int, total: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, description="Decoding", completed=done, total=total)
        if done == total:
            self._console.print(f"decoded {total} images")

    def resumed(self, epoch: int) -> None:
        """Say so."""
        self._console.print(f"going on after epoch {epoch}")

    def step(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Move the bar."""
        self._bar.update(
            self._task,
            description=f"Epoch {epoch}/{self._epochs}",
            completed=(epoch - 1) * total + done,
            total=self._epochs * total,
            note=f"loss {loss:.3f}",
        )

    def epoch(self, report: EpochReport) -> None:
        """Print a line."""
        top1 = "" if report.top1 is None else f"  held-out top-1 {report.top1:.4f}"
        left = (self._epochs - report.epoch) * report.seconds
        self._console.print(
            f"epoch {report.epoch}/{self._epochs}  loss {report.loss:.4f}{top1}  "
            f"{report.images_per_second:.0f} images/s  {left / 60:.1f} min left",
            highlight=False,
            soft_wrap=True,
        )

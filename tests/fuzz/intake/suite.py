"""Ten thousand inputs for intake, in a process that is watched."""

import json
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import IO, Any

from tests.fuzz.intake.judge import ACCEPTED

INPUTS = 10_000

COMMAND = (sys.executable, "-m", "tests.fuzz.intake.process")
"""Starts the process that is watched."""

HANG_SECONDS = 60.0
"""Without a word for so long, the process hangs; the slowest inputs take a second or two."""

START_SECONDS = 300.0
"""Likewise at the beginning, when it loads its modules."""

GROWTH_BYTES = 512 * 1024**2
"""That memory may grow by, whatever comes: a few images at once and an xz archive's dictionary."""


@dataclass
class Report:
    """Of all inputs."""

    seed: int
    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """Each: the number and kind of its input, and what was wrong (`crash: …`, `hang: …`, …)."""
    slowest_cpu_seconds: float = 0.0
    grown_bytes: int = 0
    seconds: float = 0.0

    @property
    def figures(self) -> dict[str, Any]:
        """For programs."""
        what = Counter(fault.split(": ")[1] for fault in self.faults)
        refused = {code: n for code, n in self.outcomes.most_common() if code != ACCEPTED}
        return {
            "inputs": self.inputs,
            "crashes": what.pop("crash", 0),
            "hangs": what.pop("hang", 0),
            "escapes": what.pop("escape", 0),
            "other_faults": what.total(),
            "accepted": self.outcomes[ACCEPTED],
            "refused": refused,
            "kinds": dict(self.kinds.most_common()),
            "slowest_cpu_seconds": round(self.slowest_cpu_seconds, 2),
            "memory_growth_mib": self.grown_bytes // 1024**2,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }


def run(images: Sequence[bytes], count: int, seed: int) -> Report:
    """Give so many inputs, made of the images, to intake.

    A process that ends or hangs is succeeded by another, which goes on with the next input.
    """
    report, began = Report(seed), monotonic()
    with TemporaryDirectory(prefix="lrsearch-fuzz-") as name:
        folder = Path(name)
        paths = [folder / f"image-{number}" for number in range(len(images))]
        for path, content in zip(paths, images, strict=True):
            path.write_bytes(content)
        start = 0
        while start < count:
            place = folder / f"from-{start}"
            place.mkdir()
            order = {"images": list(map(str, paths)), "seed": seed, "start": start, "stop": count}
            start = _one_process(order, place, report)
    if report.grown_bytes > GROWTH_BYTES:
        report.faults.append(f"all: memory: grew by {report.grown_bytes} bytes")
    report.seconds = monotonic() - began
    return report


def _one_process(order: dict[str, Any], place: Path, report: Report) -> int:
    """Let a process work until it is done or ends otherwise; returns the number to go on with."""
    command = [*COMMAND, str(place)]
    pipe, complaints = subprocess.PIPE, place.with_suffix(".log")
    with (
        complaints.open("wb") as stderr,  # libraries complain there of images
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.close()
        now: dict[str, Any] = {"number": order["start"] - 1, "kind": "the start", "outcome": ""}
        try:
            for now in _lines(process.stdout):
                if "outcome" in now:
                    _note(now, report)
            if "outcome" not in now or now["number"] < order["stop"] - 1:
                last = complaints.read_bytes()[-1000:].decode(errors="replace")
                report.faults.append(_fault(now, f"crash: ended by {process.wait()}: {last}"))
        except queue.Empty:
            process.kill()
            report.faults.append(_fault(now, "hang: it said nothing any more"))
    if now["number"] < order["start"]:
        raise RuntimeError("the process does not even start")
    return int(now["number"]) + 1


def _lines(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """What the process says; raises `queue.Empty` where it says nothing for too long."""
    said: queue.Queue[bytes] = queue.Queue()

    def listen() -> None:
        for line in stream:
            said.put(line)
        said.put(b"")

    threading.Thread(target=listen, daemon=True).start()
    line = said.get(timeout=START_SECONDS)
    while line:
        yield json.loads(line)
        line = said.get(timeout=HANG_SECONDS)


def _note(result: dict[str, Any], report: Report) -> None:
    report.inputs += 1
    report.outcomes[result["outcome"]] += 1
    report.kinds[result["kind"]] += 1
    report.faults += [_fault(result, fault) for fault in result["faults"]]
    report.slowest_cpu_seconds = max(report.slowest_cpu_seconds, result["cpu_seconds"])
    report.grown_bytes = max(report.grown_bytes, result["grown_bytes"])


def _fault(result: dict[str, Any], what: str) -> str:
    return f"input {result['number']} ({result['kind']}): {what}"

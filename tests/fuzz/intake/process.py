"""The process that gives inputs to intake: it may crash, hang or eat memory, and is watched."""

import json
import os
import resource
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, process_time
from typing import Any

from tests.fuzz.intake.inputs import Inputs
from tests.fuzz.intake.judge import judge
from tests.fuzz.intake.sandbox import Sandbox

MEMORY_BYTES = 1024**3
"""That the process may take for data; more is a MemoryError."""

WARM_UP = 20
"""Inputs after which all modules are loaded, and memory should grow no more."""


def work(inputs: Inputs, numbers: range, folder: Path) -> Iterator[dict[str, Any]]:
    """Judge inputs in an empty folder; says before each which one it is, and after what came."""
    warnings.simplefilter("ignore")  # Pillow warns of what it finds odd
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    sandbox, settled = Sandbox(folder), 0
    for number in numbers:
        kind, content = inputs.make(number)
        yield {"number": number, "kind": kind}
        began, cpu_began = monotonic(), process_time()
        outcome, faults = judge(content, folder)
        faults += [f"escape: {escape}" for escape in sandbox.escapes]
        sandbox.escapes.clear()
        if number - numbers.start == WARM_UP:
            settled = _peak_bytes()
        yield {
            "number": number,
            "kind": kind,
            "outcome": outcome,
            "faults": faults,
            "seconds": monotonic() - began,
            "cpu_seconds": process_time() - cpu_began,
            "grown_bytes": _peak_bytes() - settled if settled else 0,
        }


def main(folder: Path) -> None:
    """Read the images and numbers from standard input, and print a line a happening."""
    order = json.loads(sys.stdin.readline())
    images = [Path(path).read_bytes() for path in order["images"]]
    inputs = Inputs(images, order["seed"])
    for line in work(inputs, range(order["start"], order["stop"]), folder):
        os.write(1, json.dumps(line).encode() + b"\n")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))

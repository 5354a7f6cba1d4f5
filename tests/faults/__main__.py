"""`python -m tests.faults`: the fault suite; its last line is one JSON object."""

import argparse
import json
import signal
import sys
from dataclasses import replace

from tests.faults.plan import SHORT, Plan
from tests.faults.suite import run


def main() -> int:
    """Run it; 0 where nothing was lost, double, stuck, overspent or told wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of what is broken, and when")
    parser.add_argument("--short", action="store_true", help="48 trials on 8 workers")
    parser.add_argument("--keep", action="store_true", help="keep logs and data")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # all is ended then
    plan = replace(SHORT if arguments.short else Plan(), seed=arguments.seed)
    outcome = run(plan, keep=arguments.keep)
    for fault in outcome.faults:
        print(fault, file=sys.stderr)  # noqa: T201
    print(json.dumps(outcome.figures))  # noqa: T201
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())

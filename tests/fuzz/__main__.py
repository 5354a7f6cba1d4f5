"""`python -m tests.fuzz api` or `intake`; the last line is one JSON object."""

import argparse
import json
import logging
import sys
from pathlib import Path

import structlog

PACKAGES = Path("out/packages")
"""Where the packages are unpacked that real images come from."""


def main() -> int:
    """Run it; 0 where nothing was found, and all was tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=["api", "intake"])
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    arguments = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return _api(arguments.seed) if arguments.what == "api" else _intake(arguments.seed)


def _api(seed: int) -> int:
    from tests.fuzz.api.suite import FEWEST_CASES, WHOLE, run

    report = run(WHOLE, seed)
    for finding in report.findings:
        _tell(f"{finding.route}: {finding.check}: {finding.message}\n{finding.curl}\n")
    for route in report.unreached:
        _tell(f"{route} never succeeded")
    print(json.dumps(report.figures))  # noqa: T201
    enough = report.figures["cases"] >= FEWEST_CASES
    return 1 if report.findings or report.unreached or not enough else 0


def _intake(seed: int) -> int:
    from tests.fuzz.intake.seeds import drawings, encodings, photographs
    from tests.fuzz.intake.suite import INPUTS, run

    images = encodings([*drawings()[::4], *photographs(PACKAGES)[::8]])
    report = run(images, INPUTS, seed)
    for fault in report.faults:
        _tell(fault)
    print(json.dumps(report.figures))  # noqa: T201
    return 1 if report.faults or report.inputs < INPUTS else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())

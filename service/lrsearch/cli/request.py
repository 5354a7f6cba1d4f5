"""A job's request, made of a file and of options."""

import json
from pathlib import Path
from typing import Any

from lrsearch.cli.errors import UsageError
from lrsearch.contract.jobs import JobRequest


def job_request(data_set: str | None, file: Path | None, options: dict[str, Any]) -> JobRequest:
    """The request to submit.

    Args:
        data_set: Id or name of the target; null leaves the file's.
        file: JSON of a whole or partial request.
        options: Values by dotted path (`recipe.epochs`), which go before the file's; null ones
            were not given.

    Raises:
        UsageError: The file is no JSON object.
        pydantic.ValidationError: The request is not valid.
    """
    request = _read(file) if file is not None else {}
    if data_set is not None:
        request["data_set"] = data_set
    for path, value in options.items():
        if value is not None:
            _set(request, path.split("."), value)
    return JobRequest.model_validate_json(json.dumps(request))


def scale_axis(values: list[str]) -> list[float] | dict[str, float]:
    """The scales to try: numbers, or one log range `LOW:HIGH`.

    Raises:
        UsageError: Something else was given.
    """
    try:
        if len(values) == 1 and ":" in values[0]:
            low, high = values[0].split(":")
            return {"low": float(low), "high": float(high)}
        return [float(part) for value in values for part in value.split(",")]
    except ValueError:
        raise UsageError(
            f"--scale {' '.join(values)}: give numbers (--scale 1 --scale 2, or --scale 1,2), "
            "or one range (--scale 0.25:10)"
        ) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        request = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file} is no JSON: {error}") from error
    if not isinstance(request, dict):
        raise UsageError(f"{file} must hold one JSON object, the fields of a job's request.")
    return request


def _set(request: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for key in parents:
        request = request.setdefault(key, {})
    # Another protocol or augmentation than the file's has other fields.
    if last in ("name", "kind") and parents and request.get(last) != value:
        request.clear()
    request[last] = value

"""What a webhook is sent."""

from typing import Literal

from pydantic import Field

from lrsearch.contract.base import Contract
from lrsearch.contract.jobs import Job
from lrsearch.contract.results import Result


class Notification(Contract):
    """A job has ended."""

    type: Literal["job_finished"] = "job_finished"
    job: Job
    result: Result | None = Field(description="Null unless the job is complete.")

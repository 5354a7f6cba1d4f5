"""A job's outcome as one document: what `report.json` holds and the page is made of."""

from pydantic import Field

from lrsearch.client import FINISHED_JOBS, Client
from lrsearch.contract.base import Contract
from lrsearch.contract.datasets import DataSet
from lrsearch.contract.jobs import Job
from lrsearch.contract.results import Result
from lrsearch.contract.trials import Trial


class JobReport(Contract):
    """A job with everything that belongs to it."""

    job: Job
    data_set: DataSet
    trials: list[Trial] = Field(description="By number; 0 is the baseline.")
    result: Result | None = Field(description="Null until the job is complete.")

    @classmethod
    def fetch(cls, client: Client, job_id: str) -> "JobReport":
        """Asks the service for a job's report; a job may still run."""
        job = client.job(job_id)
        return cls(
            job=job,
            data_set=client.data_set(job.data_set_id),
            trials=list(client.trials(job_id)),
            result=client.result(job_id) if job.state == "complete" else None,
        )

    @property
    def is_final(self) -> bool:
        """Whether nothing in it will change."""
        return self.job.state in FINISHED_JOBS

    @property
    def baseline(self) -> Trial | None:
        """The baseline's trial."""
        return next((trial for trial in self.trials if trial.baseline), None)

    def to_json(self) -> str:
        """The document as indented JSON."""
        return self.model_dump_json(indent=2) + "\n"

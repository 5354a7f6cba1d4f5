"""`python -m lrsearch_worker` is `lrsearch-worker`."""

from lrsearch_worker.cli import app

app(prog_name="lrsearch-worker")

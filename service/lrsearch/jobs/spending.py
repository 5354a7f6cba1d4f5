"""What a job has used of its budget."""

from lrsearch.db.tables import JobRow
from lrsearch.search.budget import Use


def use_of(job: JobRow, running: int) -> Use:
    """What a job has used, and has set aside for the trials that are running.

    Args:
        job: Locked, or as it is shown.
        running: Its trials that run now.
    """
    return Use(
        trials=job.trials_begun,
        epochs=job.epochs_spent,
        seconds=job.seconds_spent,
        seconds_reserved=job.seconds_reserved,
        best_val_top1=job.best_val_top1,
        running=running,
    )

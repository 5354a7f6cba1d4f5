"""Why an unfinished job or trial is where it is; the sentence beside it says it to people."""

from typing import Literal

ReasonCode = Literal[
    "paused",  # by the user
    "data_set_validating",  # nothing can begin before its data set is ready
    "no_worker",  # none is there, of whatever device
    "no_worker_for_device",  # workers are there, but of other kinds of device
    "workers_busy",  # all that could take it hold leases
    "worker_free",  # one that could take it is free, and asks every few seconds
    "retry",  # it ran before and was put back; the sentence says why
    "running",  # a worker holds a lease on it
    "baseline_and_probe",  # strategy `recommend` rests on both, and they are not over yet
    "budget_reserved",  # running trials have reserved what is left of the budget
]

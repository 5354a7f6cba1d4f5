"""The fault suite: what is left of a fleet's work when everything that can break does.

`python -m tests.faults` runs it; see `suite` for what it does and `checks` for what must hold.
"""

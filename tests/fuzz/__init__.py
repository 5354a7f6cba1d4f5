"""Hostile input at random: `python -m tests.fuzz api` and `python -m tests.fuzz intake`."""

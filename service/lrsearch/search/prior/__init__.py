"""The prior: what other tasks teach of the rates that a new one wants."""

"""The search: what to try next, what to stop early, and the Optuna study that users inspect."""

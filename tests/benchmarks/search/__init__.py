"""Strategies replayed on the table of real tasks: what each finds, and for how many finetunes."""

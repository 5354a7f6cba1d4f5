"""Strategies, replayed: which trial each ends with for a budget in finetune-equivalents.

They choose by validation alone where they choose among what was tried. What is fitted to other
tasks is fitted to other domains.
"""

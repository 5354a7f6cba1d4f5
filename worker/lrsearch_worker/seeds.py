"""Random generators that depend on names and numbers, and on nothing else."""

import hashlib

import torch


def replicate_seed(seed: int, replicate: int) -> int:
    """The seed of a recipe's replicate: its own for replicate 0, else one that looks unrelated."""
    if replicate == 0:
        return seed
    digest = hashlib.sha256(f"replicate\0{seed}\0{replicate}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def generator(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded from `parts`: the same on every machine, another for other parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

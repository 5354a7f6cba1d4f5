"""Evidence: what finetunes of known tasks reached."""

import json
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.search.prior.coordinates import coordinates
from lrsearch.search.prior.features import FEATURES
from lrsearch.search.prior.process import Array, Points

FORMAT = "lrsearch evidence 1"


@dataclass(frozen=True)
class Evidence:
    """Finetunes of several tasks; a task here is a target with a source model."""

    names: list[str]
    """Of the tasks."""
    domains: list[str]
    """Of the tasks: what is left out together when the prior is judged."""
    features: Array
    """`(tasks, features)`: see `task_features`."""
    tasks: NDArray[np.int64]
    """`(finetunes,)`: index of the task."""
    rates: Array
    """`(finetunes, stages)`: stage rates."""
    values: Array
    """`(finetunes,)`: logits of accuracy."""
    noise: Array
    """`(finetunes,)`: variances of the values, from the number of images."""

    def points(self) -> Points:
        """Where the finetunes lie."""
        return Points(
            coordinates([StageRates(**dict(zip(STAGES, row, strict=True))) for row in self.rates]),
            self.standardised(self.features)[self.tasks],
            self.tasks,
        )

    def standardised(self, features: Array) -> Array:
        """Features in standard deviations from their mean over the tasks."""
        spread = self.features.std(axis=0)
        centred = features - self.features.mean(axis=0)
        return np.asarray(centred / np.where(spread > 0.0, spread, 1.0), np.float64)

    def without(self, domain: str) -> "Evidence":
        """The same without the tasks of a domain."""
        kept = [i for i, each in enumerate(self.domains) if each != domain]
        return self._of_tasks(kept, np.flatnonzero(np.isin(self.tasks, kept)))

    def only(self, rows: NDArray[np.int64]) -> "Evidence":
        """The same with these finetunes alone, and without the tasks that keep none."""
        return self._of_tasks(sorted(set(self.tasks[rows].tolist())), rows)

    def _of_tasks(self, kept: list[int], rows: NDArray[np.int64]) -> "Evidence":
        place = {task: i for i, task in enumerate(kept)}
        return replace(
            self,
            names=[self.names[i] for i in kept],
            domains=[self.domains[i] for i in kept],
            features=self.features[kept],
            tasks=np.array([place[task] for task in self.tasks[rows]], dtype=np.int64),
            rates=self.rates[rows],
            values=self.values[rows],
            noise=self.noise[rows],
        )

    def and_also(self, other: "Evidence") -> "Evidence":
        """Both together."""
        return Evidence(
            [*self.names, *other.names],
            [*self.domains, *other.domains],
            np.concatenate([self.features, other.features]),
            np.concatenate([self.tasks, other.tasks + len(self.names)]),
            np.concatenate([self.rates, other.rates]),
            np.concatenate([self.values, other.values]),
            np.concatenate([self.noise, other.noise]),
        )

    def to_bytes(self, metadata: dict[str, str]) -> bytes:
        """As a safetensors file; `metadata` goes with it."""
        tensors = {
            "features": self.features.astype(np.float32),
            "tasks": self.tasks.astype(np.int32),
            "rates": self.rates.astype(np.float32),
            "values": self.values.astype(np.float32),
            "noise": self.noise.astype(np.float32),
        }
        known = {
            "format": FORMAT,
            "features": json.dumps(FEATURES),
            "names": json.dumps(self.names),
            "domains": json.dumps(self.domains),
        }
        return save(tensors, {**metadata, **known})

    @classmethod
    def from_bytes(cls, content: bytes) -> tuple["Evidence", dict[str, str]]:
        """What `to_bytes` gave, and its metadata.

        Raises:
            SafetensorError: It is no safetensors file.
            ValueError: It is of another format, or of other features.
        """
        tensors = load(content)
        metadata = _metadata(content)
        if (found := metadata.get("format")) != FORMAT:
            raise ValueError(f"the format is {found!r}; this version of lrsearch knows {FORMAT!r}")
        if (names := json.loads(metadata["features"])) != list(FEATURES):
            raise ValueError(f"the features are {names}, not {list(FEATURES)}")
        evidence = cls(
            json.loads(metadata["names"]),
            json.loads(metadata["domains"]),
            tensors["features"].astype(np.float64),
            tensors["tasks"].astype(np.int64),
            tensors["rates"].astype(np.float64),
            tensors["values"].astype(np.float64),
            tensors["noise"].astype(np.float64),
        )
        return evidence, metadata


def logit(correct: Array, images: Array) -> tuple[Array, Array]:
    """The logit of an accuracy and its variance, half an image being added on either side."""
    correct, images = correct + 0.5, images + 1.0
    share = correct / images
    return np.log(share / (1.0 - share)), 1.0 / (images * share * (1.0 - share))


def _metadata(content: bytes) -> dict[str, str]:
    """Of a safetensors file: a header in JSON, preceded by its length in 8 bytes."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata: dict[str, str] = header.get("__metadata__", {})
    return metadata

"""A worker's settings: from the environment, and from the command line above it."""

import re
import socket
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, HttpUrl, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lrsearch.contract.base import Name

DeviceChoice = Literal["auto", "cpu", "cuda", "mps"]
LogFormat = Literal["auto", "console", "json"]

GIB = 2**30


def host_name() -> str:
    """The machine's name, made into a `Name`."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")[:100]
    return name or "worker"


class WorkerSettings(BaseSettings):
    """Where the service is and what the worker may use.

    Each is read from `LRSEARCH_WORKER_` and its name, the key from `LRSEARCH_API_KEY`.
    """

    model_config = SettingsConfigDict(
        env_prefix="LRSEARCH_WORKER_", env_ignore_empty=True, extra="forbid"
    )

    url: str = Field(default="http://127.0.0.1:8000", description="Root of the service.")
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias="LRSEARCH_API_KEY",
        description="Key of worker scope; none where the service asks for none.",
    )
    key_file: Path | None = Field(
        default=None, description="File with the key; takes precedence over the variable."
    )
    data: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("lrsearch") / "worker",
        description="Folder for data sets and weights; several workers may share one.",
    )
    cache_gib: float = Field(
        default=20.0, gt=0.0, description="Size in GiB above which the longest unused goes."
    )
    device: DeviceChoice = Field(default="auto", description="What computes.")
    threads: int | None = Field(
        default=None, ge=1, description="Trials that compute at a time on the CPU; null: its cores."
    )
    name: Name = Field(default_factory=host_name, description="For people.")
    max_trials: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Trials that a lease may hold; null: two a thread on the CPU, eight on a GPU.",
    )
    checkpoint_seconds: float = Field(
        default=60.0,
        ge=0.0,
        allow_inf_nan=False,
        description="How long a trial runs until its next checkpoint, at the end of an epoch; 0: "
        "every epoch. With a minute a lost worker costs about as much again as noticing it, and a "
        "trial of a network of 22 M parameters (176 MB) sends 3 MB/s.",
    )
    log_format: LogFormat = Field(
        default="auto", description="`auto`: for people on a terminal, else JSON."
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        try:
            TypeAdapter(HttpUrl).validate_python(url)
        except ValidationError as error:
            raise ValueError(
                f"url is {url!r}; give the service's root, such as http://127.0.0.1:8000"
            ) from error
        return url.rstrip("/")

    @property
    def cache_bytes(self) -> int:
        """The cache's limit."""
        return int(self.cache_gib * GIB)

    def key(self) -> str | None:
        """The API key, if there is one.

        Raises:
            ValueError: The key file cannot be read or is empty.
        """
        if self.key_file is None:
            return self.api_key.get_secret_value() if self.api_key else None
        try:
            key = self.key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the key file {self.key_file} cannot be read: {error}") from error
        if not key:
            raise ValueError(f"the key file {self.key_file} is empty; it should hold an API key")
        return key

"""Settings of the service: arguments, else the environment (`LRSEARCH_…`), else defaults."""

from ipaddress import ip_address
from pathlib import Path
from typing import Self

from platformdirs import user_data_path
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Everything that can be set on the service; each default is what one machine wants."""

    model_config = SettingsConfigDict(
        env_prefix="LRSEARCH_",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a URL may have a password in it
    )

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("lrsearch"),
        description="Blobs, uploads and, without another database, the SQLite files.",
    )
    database_url: str = Field(
        default="",
        repr=False,
        description="`postgresql://…`; empty: SQLite in the data folder.",
    )
    database_password_file: Path | None = Field(
        default=None,
        description="File with the database's password, which stands above the URL's; empty: none.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0: any.")
    require_keys: bool | None = Field(
        default=None, description="Demand API keys; null: on every address but loopback."
    )
    image_roots: list[Path] = Field(
        default_factory=list,
        description="Folders below which data sets may be registered in place.",
    )
    lease_seconds: float = Field(
        default=30.0,
        ge=0.5,
        le=3600.0,
        description="A lease expires so long after its last heartbeat: long enough for a network's "
        "hiccup, short enough that a dead worker's trial soon runs elsewhere.",
    )
    max_attempts: int = Field(
        default=3, ge=1, le=100, description="Lost leases before a trial is given up as failed."
    )
    max_upload_bytes: int = Field(
        default=4096 * MIB, ge=1, description="Largest archive or checkpoint taken."
    )
    max_body_bytes: int = Field(default=4 * MIB, ge=1024, description="Largest JSON body taken.")
    max_running_jobs: int = Field(
        default=100,
        ge=0,
        description="Unfinished jobs of one owner; a key can have a limit of its own. 0: any.",
    )
    max_stored_bytes: int = Field(
        default=64 * 1024 * MIB,
        ge=0,
        description="Bytes of one owner's data sets and source models; likewise.",
    )
    max_requests_per_second: float = Field(
        default=50.0,
        ge=0.0,
        description="Requests with one key that this replica answers, on the average; likewise. "
        "Not for keys of workers, of which a fleet shares one.",
    )
    blob_grace_seconds: float = Field(
        default=3600.0,
        ge=0.0,
        description="Age from which a blob that nothing refers to is removed.",
    )
    keep_jobs_days: float | None = Field(
        default=None, ge=0.0, description="Finished jobs are deleted after so long; null: never."
    )
    keep_data_sets_days: float | None = Field(
        default=None,
        ge=0.0,
        description="Data sets that no job uses are deleted at that age; null: never.",
    )
    keep_logs_days: float | None = Field(
        default=90.0, ge=0.0, description="Logs of trials go at that age; null: with their jobs."
    )
    keep_leases_days: float | None = Field(
        default=30.0,
        ge=0.0,
        description="Leases that are over, and workers not seen since, go after so long; null: "
        "leases with their jobs, workers never.",
    )
    webhook_private_addresses: bool = Field(
        default=False,
        description="Let webhooks go to addresses that only this machine or its network can reach.",
    )
    housekeeping_seconds: float = Field(
        default=1.0, gt=0.0, le=60.0, description="Pause between looks for expired leases."
    )

    @model_validator(mode="after")
    def _keys_off_loopback(self) -> Self:
        if self.require_keys is False and not self.on_loopback:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines: keys cannot be switched "
                "off there; listen on 127.0.0.1 or leave require_keys unset"
            )
        return self

    @field_validator("database_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        try:
            if value:
                make_url(value)
        except (ValueError, ArgumentError):  # which may tell a password
            raise ValueError(
                "is no database's URL, such as postgresql://lrsearch@db/lrsearch"
            ) from None
        return value

    @field_validator("database_password_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _has_its_password(self) -> Self:
        file = self.database_password_file
        if file is not None and self.database.get_backend_name() == "sqlite":
            raise ValueError(
                f"database_password_file is {str(file)!r}, but SQLite takes no password; set "
                "database_url too, such as postgresql://lrsearch@db/lrsearch"
            )
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def keys_required(self) -> bool:
        """Whether every request needs an API key."""
        return not self.on_loopback if self.require_keys is None else self.require_keys

    @property
    def database(self) -> URL:
        """Where our own tables are, with the driver that we use.

        Raises:
            ValueError: The password file cannot be read or is empty.
        """
        if not self.database_url:
            return URL.create("sqlite", database=str(self.data_dir / "lrsearch.db"))
        url = make_url(self.database_url)
        if (password := self._password()) is not None:
            url = url.set(password=password)
        if url.get_backend_name() == "postgresql":
            return url.set(drivername="postgresql+psycopg")
        return url

    @property
    def ledger(self) -> URL:
        """Where Optuna's tables are: a schema, or for SQLite a file, of their own.

        Optuna stamps `alembic_version` in whatever database it is given.
        """
        url = self.database
        if url.get_backend_name() == "postgresql":
            return url.update_query_dict({"options": "-csearch_path=optuna"})
        path = Path(url.database or "lrsearch.db")
        return url.set(database=str(path.with_name(path.stem + "-optuna.db")))

    @property
    def heartbeat_seconds(self) -> float:
        """How often a worker shows that it lives: two may be lost without losing the lease."""
        return self.lease_seconds / 3

    def _password(self) -> str | None:
        """What the password file holds, where there is one."""
        file = self.database_password_file
        if file is None:
            return None
        try:
            password = file.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"database_password_file: {str(file)!r} cannot be read: {error}"
            ) from error
        if not password:
            raise ValueError(
                f"database_password_file: {str(file)!r} is empty; it should hold the database's "
                "password"
            )
        return password

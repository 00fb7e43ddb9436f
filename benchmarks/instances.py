"""Opens new Dagster instances to measure in, on SQLite and Postgres."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
from sqlalchemy import text

from edxorg_tests.support.postgres import running_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config of jobs that print nothing."""


class Opened(NamedTuple):
    """An instance in a folder, and the way to learn the size of its storage."""

    instance: dg.DagsterInstance
    folder: Path
    is_postgres: bool

    @property
    def home(self) -> Path:
        """The folder with the configuration of the instance."""
        return self.folder / "home"

    def bytes(self) -> int:
        """Return the size of the storage."""
        if not self.is_postgres:
            return sum(path.stat().st_size for path in self.home.rglob("*") if path.is_file())
        with self.instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0)


@contextmanager
def on_sqlite() -> Iterator[Opened]:
    """Open an instance on SQLite."""
    with tempfile.TemporaryDirectory() as folder, _instance(Path(folder), "") as instance:
        yield Opened(instance, Path(folder), is_postgres=False)


@contextmanager
def on_postgres() -> Iterator[Opened]:
    """Open an instance on a Postgres server of its own."""
    with ExitStack() as stack:
        server = stack.enter_context(running_postgres())
        url = f"postgresql+psycopg2://{server.user}:{server.password}@127.0.0.1:{server.port}/postgres"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        storage = f"storage:\n  postgres:\n    postgres_url: {url}\n"
        yield Opened(stack.enter_context(_instance(folder, storage)), folder, is_postgres=True)


STORAGES = {"SQLite": on_sqlite, "Postgres": on_postgres}


@contextmanager
def _instance(folder: Path, storage: str) -> Iterator[dg.DagsterInstance]:
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(f"telemetry:\n  enabled: false\n{storage}")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance

"""A Postgres of its own for tests, from the programs that the machine has."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edxorg_tests.support.processes import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBIAN = "/usr/lib/postgresql"
"""The folder of Debian's packages, whose programs are not all on PATH."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server on loopback with one database, which asks for a password."""

    programs: Path
    folder: Path
    port: int
    password: str = field(repr=False)
    user: str = "dagster"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that `deploy/dagster.yaml` reads."""
        return {
            "DAGSTER_POSTGRES_HOST": LOOPBACK,
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": self.user,
            "DAGSTER_POSTGRES_PASSWORD": self.password,
            "DAGSTER_POSTGRES_DB": "postgres",
            "PGSSLMODE": "prefer",
            "PGSSLROOTCERT": "",
        }

    def start(self) -> None:
        # Without fsync, since only the process dies here, and not the machine; without sockets, whose paths are short.
        options = f"-p {self.port} -h {LOOPBACK} -k '' -c fsync=off -c max_connections=200"
        self.control("start", "-l", str(self.folder / "log"), "-o", options)

    def kill(self) -> None:
        """End it without a good-bye to its clients; the next start recovers."""
        self.control("stop", "-m", "immediate")

    def control(self, *arguments: str) -> None:
        self.run("pg_ctl", "--wait", "-D", str(self.folder / "data"), *arguments)

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of Postgres, which refuses to be root."""
        user = _unprivileged()
        subprocess.run(  # noqa: S603
            [str(self.programs / program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=user,
            group=None if user is None else pwd.getpwuid(user).pw_gid,
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a new server until the block ends; where there are no programs, the test is skipped."""
    # Not below pytest's folder, which only its own user can enter.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = Postgres(_programs(), folder, free_port(), secrets.token_hex(8))
    try:
        password = folder / "password"
        password.write_text(server.password)
        if (user := _unprivileged()) is not None:
            for path in (folder, password):
                os.chown(path, user, pwd.getpwuid(user).pw_gid)
        login = ["--username", server.user, "--pwfile", str(password), "--auth", "scram-sha-256"]
        server.run("initdb", "-D", str(folder / "data"), "--encoding", "UTF8", "--no-sync", *login)
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    newest = max(Path(DEBIAN).glob("*/bin/initdb"), default=None, key=lambda path: int(path.parts[-3]))
    if newest is None:
        pytest.skip("Postgres is not installed: apt-get install postgresql")
    return newest.parent


def _unprivileged() -> int | None:
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None

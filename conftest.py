"""Servers for the tests of both packages, and no waiting for what tests need not wait for."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from hypothesis import settings

from ol_orchestrate.lib import redaction

pytest_plugins = ["ol_orchestrate.testing.servers", "ol_orchestrate.testing.openpgp_keys"]

# An example may take longer on a busy machine.
settings.register_profile("edxorg", deadline=None)
settings.load_profile("edxorg")

REAL_DATA = Path(os.environ.get("EDXORG_REAL_DATA") or Path(__file__).parent.parent / "shared/data")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Finds a file or folder of real data, which no repository may hold; where it is not, the test is skipped."""

    def find(name: str) -> Path:
        if not (path := REAL_DATA / name).exists():
            pytest.skip(f"{path} is not there; EDXORG_REAL_DATA names the folder of real data")
        return path

    return find


@pytest.fixture(autouse=True)
def no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are tried again at once: Dagster really waits, minutes long."""
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget secrets after each test: one that is a word of prose would be taken out of the messages of later tests."""
    monkeypatch.setattr(redaction, "_known", OrderedDict())


@pytest.fixture(autouse=True, scope="session")
def migrations_are_read_once() -> Iterator[None]:
    """Dagster has all scripts of its migrations read for each instance, which is a quarter of many a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", cache(ScriptDirectory.from_config))
        yield


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their number: a gzip holds the time it was made at, and parallel workers must agree on names."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None

"""Servers for the tests of both packages, and no waiting for retries."""

import dagster as dg
import pytest

pytest_plugins = ["ol_orchestrate.testing.servers"]


@pytest.fixture(autouse=True)
def no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are tried again at once: Dagster really waits, minutes long."""
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)

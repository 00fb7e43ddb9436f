"""A Vault that is down is told once, whatever fails of it: ticks of several sensors, and runs."""

import json
import re
from pathlib import Path

import dagster as dg
import pytest

from edxorg.lib.settings import Settings
from edxorg_tests.support.daemons import IGNORED_WARNINGS, location_with_daemons
from edxorg_tests.support.location import QUIET
from edxorg_tests.support.processes import free_port
from edxorg_tests.support.sensors import ARCHIVES, LOGS
from ol_orchestrate import alerts
from ol_orchestrate.failures import as_dagster_failure
from ol_orchestrate.testing.scripted import Response, serving

# apprise imports it on a Python that still has it.
IMGHDR = "ignore:'imghdr' is deprecated:DeprecationWarning"
pytestmark = pytest.mark.filterwarnings(*IGNORED_WARNINGS, IMGHDR)


def test_a_vault_that_is_down_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "SETTLED_AFTER", 0)
    monkeypatch.setenv("VAULT_TOKEN", "a-token")
    vault = {"address": f"http://127.0.0.1:{free_port()}", "auth_method": "token"}
    with serving(lambda _: Response(200)) as receiver:
        monkeypatch.setenv("EDXORG_ALERT_URLS", f"{receiver.url}/hook")
        settings = {"archive_url": "gs://archives", "google_secret_path": "secret/google", "vault": vault}
        with location_with_daemons(tmp_path, **settings) as location:
            location.tick_all()
            location.start(ARCHIVES, LOGS)
            location.tick_all()
            fail_for(Settings(vault=vault), location.instance)
            for _ in range(3):
                location.tick_all()
    (message,) = [json.loads(request.body) for request in receiver.requests]
    # Which of the run and the ticks an evaluation finds first, or alone, depends on the machine.
    assert re.fullmatch(r"edxorg: (read_secret|a tick of gcs_edxorg_).* failed", message["title"])
    assert re.match(
        rf"Secret secret/(google|other) of Vault at {vault['address']} \(login by token\): it cannot be",
        message["text"],
    )


def fail_for(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Fail a run of the location that needs another secret."""

    @dg.op(out=dg.Out(dg.Nothing))
    def read_secret(context: dg.OpExecutionContext) -> None:
        with as_dagster_failure(context, "edxorg/permanent_failure"):
            settings.vault.client().read("secret/other")

    @dg.job
    def read() -> None:
        read_secret()

    tags = {".dagster/repository": "__repository__@edxorg"}
    assert not read.execute_in_process(instance=instance, tags=tags, raise_on_error=False, run_config=QUIET).success

"""What the location reports of its failed runs, and that nothing of it is loaded where it is not configured."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import dagster as dg

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg_tests.support.archives import ARCHIVE, table_name, write_archive
from edxorg_tests.support.location import ArchiveLocation
from ol_orchestrate.testing.scripted import Response, serving

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SENSOR = "edxorg_error_reports_sensor"
DSN = "http://canary-of-the-key@127.0.0.1:1/1"
ROW = b"12\tcanary@learner.example\tcanary of a goal\n"

LOADED = """
import sys
from edxorg.definitions import defs
print(sorted(sensor.name for sensor in defs.sensors), "sentry_sdk" in sys.modules)
"""


def test_an_archive_with_500_failed_members_is_one_event_without_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {table_name(course=f"MITx-{number}x-1T2024"): ROW * 3 for number in range(500)}
    with serving(lambda _: Response(200, b"{}")) as server, dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        monkeypatch.setenv("SENTRY_DSN", server.url.replace("http://", "http://canary-of-the-key@") + "/7")
        location = ArchiveLocation(tmp_path, instance)
        (sensor,) = [each for each in build_definitions(location.settings).sensors or () if each.name == SENSOR]
        assert isinstance(sensor, dg.SensorDefinition)

        def tick(cursor: str | None) -> str | None:
            with dg.build_sensor_context(instance, cursor=cursor) as context:
                return sensor.evaluate_tick(context).cursor

        cursor = tick(None)
        write_archive(location.archives / ARCHIVE, tables)
        assert not location.run(ARCHIVE).success
        tick(tick(cursor))
        (request,) = server.requests
    envelope = gzip.decompress(request.body).decode()
    event = json.loads(envelope.splitlines()[2])
    value = event["exception"]["values"][0]["value"]
    assert value.startswith("500 of 500 members failed")
    assert event["tags"]["partition"] == ARCHIVE
    assert event["environment"] == "dev"
    assert "canary" not in envelope
    assert len(envelope) < 20_000


def test_nothing_of_sentry_is_loaded_before_there_is_something_to_report(tmp_path: Path) -> None:
    def loaded(**variables: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
        command = [sys.executable, "-c", LOADED]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout  # noqa: S603

    assert loaded() == "['edxorg_program_reports_sensor'] False\n"
    assert loaded(SENTRY_DSN=DSN) == f"['{SENSOR}', 'edxorg_program_reports_sensor'] False\n"


def test_an_empty_variable_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", "")
    assert not Settings().error_reports
    monkeypatch.setenv("SENTRY_DSN", DSN)
    assert Settings().error_reports
    assert "canary" not in repr(Settings())

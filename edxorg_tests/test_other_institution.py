"""What another institution's location tries to reach in production, as seen by the proxy that it goes through."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.remote_representation.external_data import SensorExecutionErrorSnap
from dagster._grpc.impl import get_external_sensor_execution

from edxorg.components import EdxorgLocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from edxorg_tests.support.shell import Shell

OF_MIT = ("mit", "simeon", "ol-data", "secret-data")


@contextmanager
def refusing_proxy() -> Iterator[tuple[str, set[str]]]:
    """A proxy that refuses all, and what it was asked for: `host:443`, or the whole address without its query."""
    asked: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            asked.add(self.path.partition("?")[0])
            self.send_error(403)

        do_CONNECT = do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = refuse  # noqa: N815 - their names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_another_institution_in_production_tries_no_address_of_mit(
    edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_proxy() as (proxy, asked):
        variables = {
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "DAGSTER_ENVIRONMENT": "production",
            "EDXORG_INSTITUTION": "delftx",
            "EDXORG_ARCHIVE_URL": "gs://delftx-in/x",
            "EDXORG_ARCHIVE_NAME": "delftx-{date}.tar.gz",
            "EDXORG_LANDING_ZONE_URL": "s3://delftx-lake/x",
            "EDXORG_PROGRAM_REPORTS_URL": "s3://delftx-reports/x",
            "EDXORG_CATALOGUE_NUMBER": "42",
            "EDXORG_API_URL": "http://api.test",
            "EDXORG_API_TOKEN_URL": "http://api.test/token",
            "EDXORG_API_CLIENT_ID": "id",
            "EDXORG_API_CLIENT_SECRET": "secret",
            "VAULT_AUTH_METHOD": "token",
            "VAULT_TOKEN": "token",
            "AWS_ENDPOINT_URL": "http://s3.test",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "STORAGE_EMULATOR_HOST": "http://gcs.test",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code, printed, _ = edxorg("doctor")
        assert (code, "institution: delftx (from EDXORG_INSTITUTION)" in printed) == (1, True)
        by_doctor = set(asked)
        definitions = EdxorgLocation().definitions()
        repository = definitions.get_repository_def()
        files = {"edxorg_archive": "delftx-2024-01-31.tar.gz"}
        with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
            for job in repository.get_all_jobs():
                partition = None
                if isinstance(job.partitions_def, dg.DynamicPartitionsDefinition):
                    partition = files.get(str(job.partitions_def.name), "delftx-prod-events-2024-01-31.log.gz")
                    instance.add_dynamic_partitions(str(job.partitions_def.name), [partition])
                if not job.name.startswith("__"):
                    run = job.execute_in_process(instance=instance, partition_key=partition, raise_on_error=False)
                    assert not run.success, job.name
            for sensor in repository.sensor_defs:
                if isinstance(sensor, dg.AutomationConditionSensorDefinition):
                    continue
                found = get_external_sensor_execution(
                    repository, RegisteredCodeLocationOrigin("x"), instance.get_ref(), sensor.name, *(None,) * 5
                )
                assert isinstance(found, SensorExecutionErrorSnap), sensor.name
    told = "\n".join(asked)
    for place in ("http://gcs.test", "http://s3.test/delftx-lake", "http://s3.test/delftx-reports", "http://api.test"):
        assert place in told
        assert place in "\n".join(by_doctor)
    assert [each for each in asked if any(word in each.lower() for word in OF_MIT)] == []

"""Copies of program reports, between two accounts with credentials and endpoints of their own."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from edxorg.components.edxorg_location import build_definitions
from edxorg.jobs.program_reports import sync_edxorg_program_reports
from edxorg.lib.settings import Settings
from edxorg.ops.program_reports import LazyS3Resource, report_runs
from edxorg_tests.support.location import QUIET
from ol_orchestrate.lib import reconciled_copies, retrying
from ol_orchestrate.lib.reconciled_copies import Needed, batches, needs_copy
from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, StoredObject, base, open_store
from ol_orchestrate.long_tags import MAX_BYTES
from ol_orchestrate.resources.outputs import SimpleResultsDir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ol_orchestrate.testing.servers import S3Server

PREFIX = "reports_v2/MITx"


def nothing(method: str, key: str) -> None:
    """What an account does in between, if it is not told otherwise."""
    del method, key


def put(server: S3Server, path: str, content: bytes = b"") -> None:
    """Make a bucket, or an object under whatever key; without a client, which would cost more than the test."""
    connection = http.client.HTTPConnection(server.endpoint_url.removeprefix("http://"), timeout=30)
    connection.request("PUT", f"/{quote(path)}", content)
    assert connection.getresponse().status == http.client.OK
    connection.close()


class S3Account:
    """An S3 account before a server: it knows one access key, and can be told to do things in between.

    Attributes:
        before: Called with method and key before a request is passed on.
        refused: Methods that this account does not allow.
    """

    def __init__(self, server: S3Server, name: str) -> None:
        self.server = server
        self.access_key_id = f"AK{name}"
        self.before: Callable[[str, str], None] = nothing
        self.refused: set[str] = set()
        self.changes: list[str] = []
        account = self
        address = server.endpoint_url.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                known = f"Credential={account.access_key_id}/" in self.headers.get("Authorization", "")
                if not known or self.command in account.refused:
                    self.answer(403, [], b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>")
                    return
                path = unquote(self.path.partition("?")[0])
                account.before(self.command, path)
                if self.command in {"PUT", "POST"}:
                    account.changes.append(path)
                connection = http.client.HTTPConnection(address, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                self.answer(response.status, response.getheaders(), response.read())
                connection.close()

            def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                for header, value in headers:
                    is_length_of_head = header.lower() == "content-length" and self.command == "HEAD"
                    if is_length_of_head or header.lower() not in {"content-length", "transfer-encoding", "connection"}:
                        self.send_header(header, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - the base class's names

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def resource(self) -> LazyS3Resource:
        return LazyS3Resource(
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=f"secret of {self.access_key_id}",
        )

    def store(self, url: str) -> ObjectStore:
        keys = (self.access_key_id, "secret", None)
        return open_store(url, StoreAccess(aws_endpoint_url=self.endpoint_url, aws_region="us-east-1", aws_keys=keys))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Two:
    """The source's account, the destination's, and the job between them."""

    def __init__(self, source: S3Account, destination: S3Account, settings: Settings, folder: Path) -> None:
        self.source = source
        self.destination = destination
        self.settings = settings
        self.reports = source.store(settings.program_reports_url)
        self.copies = destination.store(settings.program_reports_destination_url)
        self.folder = folder

    def run(
        self, *keys: str, instance: dg.DagsterInstance | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        return sync_edxorg_program_reports(self.settings).execute_in_process(
            instance=instance,
            tags=tags,
            raise_on_error=False,
            run_config={**(report_runs(self.settings).run_config(keys) if keys else {}), **QUIET},
            resources={
                "s3_download": self.source.resource,
                "s3_upload": self.destination.resource,
                "results_dir": SimpleResultsDir(parent=str(self.folder)),
            },
        )

    def put(self, key: str, content: bytes) -> None:
        """An object at the source, under a key that a store would refuse."""
        put(self.source.server, f"{self.settings.program_reports_url.split('/')[2]}/{key}", content)

    def landed(self) -> dict[str, bytes]:
        return {copy.key: b"".join(self.copies.read(copy.key)) for copy in self.copies.list()}

    def left_on_disk(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture
def two(
    moto_server: S3Server, rclone_s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Two]:
    monkeypatch.setattr(retrying, "PAUSE", 0.01)
    source, destination = S3Account(moto_server, "SOURCE"), S3Account(rclone_s3_server, "DESTINATION")
    name = os.urandom(6).hex()
    settings = Settings(
        program_reports_url=f"s3://source-{name}/{PREFIX}",
        program_reports_destination_url=f"s3://destination-{name}/edxorg-program-credentials",
    )
    for account, bucket in ((source, f"source-{name}"), (destination, f"destination-{name}")):
        put(account.server, bucket)
    yield Two(source, destination, settings, tmp_path)
    source.close()
    destination.close()


def reason(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    return str(failure.description)


def outcome(result: dg.ExecuteInProcessResult, step: str) -> dict[str, Any]:
    (event,) = [each for each in result.events_for_node(step) if each.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_reports_land_under_their_whole_keys_each_account_with_its_own_credentials(two: Two) -> None:
    two.reports.write("a.csv", b"a,b\n1,2\n")
    two.reports.write("sub/b.csv", b"b")
    result = two.run()
    assert result.success
    assert two.landed() == {f"{PREFIX}/a.csv": b"a,b\n1,2\n", f"{PREFIX}/sub/b.csv": b"b"}
    uploaded = outcome(result, "copy_program_reports")
    assert (uploaded["reports"], uploaded["bytes"], uploaded["failed"]) == (2, 9, 0)
    assert uploaded["checked_by"] in {"md5", "sha256", "crc64nvme", "crc32"}
    assert two.left_on_disk() == []


def test_a_run_without_keys_copies_what_is_missing_and_nothing_twice(two: Two) -> None:
    two.reports.write("a.csv", b"a")
    assert two.run().success
    two.reports.write("b.csv", b"b")
    two.destination.changes.clear()
    age_copies(two)
    assert two.run().success
    assert [path.rpartition("/")[2] for path in two.destination.changes] == ["b.csv"]


def age_copies(two: Two) -> None:
    """Make the reports older than their copies, which takes a second by the stores' clocks."""
    while any(
        report.modified >= copy.modified
        for report in two.reports.list()
        for copy in two.copies.list(f"{PREFIX}/{report.key}")
    ):
        for copy in list(two.copies.list()):
            two.copies.write(copy.key, b"".join(two.copies.read(copy.key)))


def test_odd_names_are_kept(two: Two) -> None:
    names = [
        "with some spaces.csv",
        "ünï cödé ☃.csv",
        "50%25+1&2=3?#.csv",
        "~tilde'quote\".csv",
        "it..em.csv",
        " leading.csv",
        "back\\slash*.csv",
    ]
    for name in names:
        two.put(f"{PREFIX}/{name}", name.encode())
    assert two.run().success
    assert two.landed() == {f"{PREFIX}/{name}": name.encode() for name in names}


def test_keys_that_lead_elsewhere_are_refused_by_name_and_the_others_delivered(two: Two) -> None:
    for name in ("../../stolen.csv", "a//b.csv", "good.csv", "folder/"):
        two.put(f"{PREFIX}/{name}", b"1")
    assert {report.key for report in two.reports.list()} == {"../../stolen.csv", "a//b.csv", "good.csv"}
    assert two.run().success
    assert set(two.landed()) == {f"{PREFIX}/good.csv"}
    result = two.run(f"{PREFIX}/../../stolen.csv", "other/x.csv", f"{PREFIX}/good.csv")
    assert not result.success
    assert "2 of 3 reports failed" in reason(result)
    assert "../../stolen.csv" in reason(result)
    assert "'other/x.csv' is not in s3://" in reason(result)
    assert set(two.landed()) == {f"{PREFIX}/good.csv"}


def test_a_name_with_a_delete_character_is_refused_and_the_others_delivered(two: Two) -> None:
    for name in ("1.csv", "2\x7f.csv", "3.csv"):
        two.put(f"{PREFIX}/{name}", b"1")
    assert two.run().success
    assert set(two.landed()) == {f"{PREFIX}/1.csv", f"{PREFIX}/3.csv"}
    result = two.run(f"{PREFIX}/2\x7f.csv")
    assert "'2\\x7f.csv' is refused as an object key" in reason(result)


def test_an_unexpected_error_fails_one_report_for_good_and_the_others_are_delivered(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.csv", "2\x7f.csv", "3.csv"):
        two.put(f"{PREFIX}/{name}", b"1")
    monkeypatch.setattr(base, "_SAFE_KEY", re.compile(".+"))  # and the client below refuses the key
    with dg.instance_for_test() as instance:
        result = two.run(instance=instance)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags["edxorg/permanent_failure"] == "true"
        told = [each.user_message for each in instance.all_logs(result.run_id)]
    assert set(two.landed()) == {f"{PREFIX}/1.csv", f"{PREFIX}/3.csv"}
    assert "1 of 3 reports failed; the others were delivered" in reason(result)
    assert f"{PREFIX}/2\x7f.csv: ValueError. The log of the run" in reason(result)
    assert any("Could not parse path" in text for text in told)
    assert two.left_on_disk() == []


def test_a_report_that_vanished_fails_alone_for_good(two: Two) -> None:
    two.reports.write("there.csv", b"1")
    with dg.instance_for_test() as instance:
        result = two.run(f"{PREFIX}/gone.csv", f"{PREFIX}/there.csv", instance=instance)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags["edxorg/permanent_failure"] == "until_mended"
    assert not result.success
    assert "1 of 2 reports failed; the others were delivered" in reason(result)
    assert "gone.csv: there is no such object" in reason(result)
    assert set(two.landed()) == {f"{PREFIX}/there.csv"}


def test_a_report_that_is_gone_since_the_sensor_saw_it_fails_nothing(two: Two) -> None:
    two.reports.write("there.csv", b"1")
    result = two.run(f"{PREFIX}/gone.csv", f"{PREFIX}/there.csv", tags={"dagster/sensor_name": "reports"})
    assert result.success
    uploaded = outcome(result, "copy_program_reports")
    assert (uploaded["reports"], uploaded["gone"]) == (1, 1)
    assert set(two.landed()) == {f"{PREFIX}/there.csv"}


def test_a_report_that_goes_while_it_is_copied_is_gone_too_and_asked_for_once(two: Two) -> None:
    two.reports.write("goes.csv", b"1")
    two.reports.write("there.csv", b"1")
    asked = []

    def delete_before_it_is_read(method: str, key: str) -> None:
        if method == "GET" and key.endswith("goes.csv"):
            asked.append(key)
            two.source.before = nothing
            two.reports.delete("goes.csv")
            two.source.before = delete_before_it_is_read

    two.source.before = delete_before_it_is_read
    result = two.run()
    assert result.success
    uploaded = outcome(result, "copy_program_reports")
    assert (uploaded["reports"], uploaded["gone"]) == (1, 1)
    assert set(two.landed()) == {f"{PREFIX}/there.csv"}
    assert len(asked) == 1


def test_a_destination_without_permission_is_named(two: Two) -> None:
    two.reports.write("a.csv", b"1")
    two.destination.refused = {"PUT", "POST"}
    result = two.run(f"{PREFIX}/a.csv")
    assert not result.success
    assert "refuses access" in reason(result)
    assert two.settings.program_reports_destination_url in reason(result)
    assert "secret of" not in reason(result)
    assert two.left_on_disk() == []
    two.destination.refused = set()
    assert two.run().success
    assert set(two.landed()) == {f"{PREFIX}/a.csv"}


def test_a_source_without_permission_fails_before_anything_else(two: Two) -> None:
    two.source.refused = {"GET", "HEAD"}
    result = two.run()
    assert not result.success
    assert two.settings.program_reports_url in reason(result)


def test_a_failure_that_passes_is_tried_again_in_the_same_run(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.reports.write("a.csv", b"first")
    two.reports.write("b.csv", b"b")
    rewrites = iter([b"secon", b"third"])

    def change_while_it_is_read(method: str, key: str) -> None:
        if method == "GET" and key.endswith("a.csv") and (new := next(rewrites, None)):
            two.source.before = nothing
            two.reports.write("a.csv", new)
            two.source.before = change_while_it_is_read

    two.source.before = change_while_it_is_read
    assert two.run(f"{PREFIX}/a.csv", f"{PREFIX}/b.csv").success
    assert two.landed() == {f"{PREFIX}/a.csv": b"third", f"{PREFIX}/b.csv": b"b"}
    monkeypatch.setattr(reconciled_copies, "RETRIES", 0)
    rewrites = (f"{number:05}".encode() for number in count())
    result = two.run(f"{PREFIX}/a.csv", f"{PREFIX}/b.csv")
    assert not result.success
    assert "changed while it was read" in reason(result)


def test_a_retry_copies_only_what_has_failed(two: Two) -> None:
    failing = {f"b{'b' * 200}{number:02}.csv" for number in range(12)}
    names = ["a.csv", *sorted(failing), "c.csv"]
    for name in names:
        two.reports.write(name, b"first")
    waiting = {*failing}

    def refuse_once(method: str, key: str) -> None:
        if method == "PUT" and (name := key.rpartition("/")[2]) in waiting:
            waiting.discard(name)
            two.reports.write(name, b"published again")

    two.destination.before = refuse_once
    uploads = two.destination.changes
    with dg.instance_for_test() as instance, pytest.MonkeyPatch.context() as once:
        once.setattr(reconciled_copies, "RETRIES", 0)
        result = two.run(*(f"{PREFIX}/{name}" for name in names), instance=instance)
        run = instance.get_run_by_id(result.run_id)

    assert result.success
    assert [key.rpartition("/")[2] for key in uploads] == [*names, *sorted(failing)]
    assert outcome(result, report_runs(two.settings).op)["reports"] == len(names)
    assert {two.landed()[f"{PREFIX}/{name}"] for name in failing} == {b"published again"}
    assert run is not None
    assert max(len(value.encode()) for value in run.tags.values()) <= MAX_BYTES, "Postgres takes no longer ones"


def test_a_change_between_download_and_upload_is_not_lost(two: Two) -> None:
    two.reports.write("a.csv", b"first")
    changes = iter([b"secon"])

    def change_the_source(method: str, key: str) -> None:
        if method == "PUT" and key.endswith("a.csv") and (new := next(changes, None)):
            two.reports.write("a.csv", new)

    two.destination.before = change_the_source
    assert two.run(f"{PREFIX}/a.csv").success
    assert two.landed() == {f"{PREFIX}/a.csv": b"secon"}


def test_a_report_that_never_rests_fails(two: Two) -> None:
    two.reports.write("a.csv", b"0")
    numbers = count(1)

    def change_the_source(method: str, key: str) -> None:
        if method == "PUT" and key.endswith("a.csv"):
            two.reports.write("a.csv", f"{next(numbers)}".encode())

    two.destination.before = change_the_source
    result = two.run(f"{PREFIX}/a.csv")
    assert not result.success
    assert "changes faster than it is copied" in reason(result)


def test_folders_stand_in_for_buckets(tmp_path: Path) -> None:
    settings = Settings(
        program_reports_url=f"file://{tmp_path}/reports",
        program_reports_destination_url=f"file://{tmp_path}/lake/edxorg-program-credentials",
    )
    open_store(settings.program_reports_url).write("2024/a.csv", b"1")
    result = sync_edxorg_program_reports(settings).execute_in_process(
        run_config=QUIET,
        resources={
            "s3_download": LazyS3Resource(profile_name="edxorg"),
            "s3_upload": S3Resource(),
            "results_dir": SimpleResultsDir(parent=str(tmp_path / "runs")),
        },
    )
    assert result.success
    assert (tmp_path / "lake/edxorg-program-credentials/2024/a.csv").read_bytes() == b"1"


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    settings = Settings(program_reports_destination_url=f"file://{tmp_path}/lake")
    result = sync_edxorg_program_reports(settings).execute_in_process(
        raise_on_error=False,
        run_config=QUIET,
        resources={
            "s3_download": LazyS3Resource(profile_name="edxorg"),
            "s3_upload": S3Resource(),
            "results_dir": SimpleResultsDir(parent=str(tmp_path / "runs")),
        },
    )
    assert not result.success
    assert "s3://edx-program-reports" in reason(result)
    assert "edxorg" in reason(result)


def job_of_several_processes() -> dg.JobDefinition:
    """The job as another location might have it run: each step in a process of its own."""
    definitions = build_definitions(Settings())
    several = dg.Definitions(
        jobs=[sync_edxorg_program_reports(Settings())],
        resources=definitions.resources,
        executor=dg.multiprocess_executor,
    )
    return several.resolve_job_def("sync_edxorg_program_reports")


def test_steps_in_processes_of_their_own_deliver_too_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("home", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("EDXORG_PROGRAM_REPORTS_URL", f"file://{tmp_path}/reports")
    monkeypatch.setenv("EDXORG_PROGRAM_REPORTS_DESTINATION_URL", f"file://{tmp_path}/copies")
    monkeypatch.setenv("EDXORG_LANDING_ZONE_URL", f"file://{tmp_path}/lake")
    open_store(f"file://{tmp_path}/reports").write("2024/a.csv", b"1")
    with dg.instance_for_test(temp_dir=str(tmp_path / "home")) as instance:
        result = dg.execute_job(dg.reconstructable(job_of_several_processes), instance, run_config=QUIET)
        assert result.success
    assert (tmp_path / "copies/2024/a.csv").read_bytes() == b"1"
    assert not (tmp_path / "lake").exists()
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "copies" / ".unfinished").iterdir()) == []


class TestNeed:
    NOW = datetime(2024, 1, 31, tzinfo=UTC)

    def stored(self, size: int, seconds: int) -> StoredObject:
        return StoredObject("a.csv", size, self.NOW + timedelta(seconds=seconds), "")

    def test_what_is_missing_differs_or_is_not_older_than_its_copy(self) -> None:
        assert needs_copy(self.stored(1, 0), None)
        assert needs_copy(self.stored(1, 0), self.stored(2, 9))
        assert needs_copy(self.stored(1, 9), self.stored(1, 0))
        assert needs_copy(self.stored(1, 5), self.stored(1, 5))
        assert not needs_copy(self.stored(1, 0), self.stored(1, 1))

    def test_runs_are_bounded_in_number_and_bytes(self) -> None:
        gigabyte = 10**9
        sizes = [1] * 1200 + [8 * gigabyte] * 5 + [50 * gigabyte] + [gigabyte]
        needed = [Needed(f"{number:05}", size) for number, size in enumerate(sizes)]
        runs = list(batches(needed))
        assert [each for run in runs for each in run] == needed
        assert all(len(run) <= 500 for run in runs)
        assert all(len(run) == 1 or sum(each.size for each in run) <= 20 * gigabyte for run in runs)
        assert len(runs) == 7


COPY = """
import sys
from pathlib import Path
from ol_orchestrate.lib.reconciled_copies import ReconciledCopies, copy
from ol_orchestrate.lib.stores import StoreAccess
source, destination, report = sys.argv[1:]
access = [StoreAccess(aws_endpoint_url=url, aws_region="us-east-1", aws_keys=("AK", "secret", None))
          for url in (source, destination)]
reports = ReconciledCopies.between("s3://bucket/reports_v2", access[0], "s3://large-reports", access[1])
copy(reports, "reports_v2/large.csv", Path(report))
copied = reports.destination.find("reports_v2/large.csv")
print(copied.size, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


class EndlessReport(BaseHTTPRequestHandler):
    """S3 with a single object, which is made up as it is read."""

    protocol_version = "HTTP/1.1"
    size = 0

    def do_HEAD(self) -> None:
        self.send_response_only(200)
        self.send_headers(self.size)

    def do_GET(self) -> None:
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self.send_response_only(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{self.size}")
        self.send_headers(last + 1 - first)
        for start in range(first, last + 1, 1 << 20):
            self.wfile.write(bytes(min(1 << 20, last + 1 - start)))

    def send_headers(self, length: int) -> None:
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", '"of-several-parts-2"')
        self.send_header("Last-Modified", "Wed, 31 Jan 2024 12:00:00 GMT")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell a process's peak")  # noqa: PTH110
def test_a_large_report_is_never_whole_in_memory(rclone_s3_server: S3Server, tmp_path: Path) -> None:
    """By default 300 MB; `LARGE_REPORT_BYTES=5000000000` takes minutes and passes as well."""
    EndlessReport.size = int(os.environ.get("LARGE_REPORT_BYTES", "300000000"))
    put(rclone_s3_server, "large-reports")
    server = ThreadingHTTPServer(("127.0.0.1", 0), EndlessReport)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = f"http://127.0.0.1:{server.server_port}"
    command = [sys.executable, "-c", COPY, source, rclone_s3_server.endpoint_url, str(tmp_path / "report")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    server.shutdown()
    server.server_close()
    assert result.returncode == 0, result.stderr
    size, peak_kilobytes = map(int, result.stdout.split())
    assert size == EndlessReport.size
    assert peak_kilobytes << 10 < 200_000_000
    assert list(tmp_path.iterdir()) == []

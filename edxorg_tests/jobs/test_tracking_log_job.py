"""The tracking log job on a real instance: what lands and is recorded, and what happens to logs that are not right."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.assets import tracking_logs
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.progress import Progress, RunObserver, observed_by
from edxorg.lib.settings import Settings
from edxorg.samples.sample_log import write_sample_log
from edxorg_tests.support.archives import landed, times
from edxorg_tests.support.location import (
    EVENTS,
    LOG,
    NORMALIZED,
    NORMALIZED_LOGS,
    OTHER_LOGS,
    REJECTS,
    TRUNCATED,
    LogLocation,
    log_location_in,
)
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.stores import VerifiedReader, open_store
from ol_orchestrate.lib.stores.checksums import ExpectedChecksum
from ol_orchestrate.lib.stores.folder_store import FolderStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edxorg_tests.support.shell import Shell
    from ol_orchestrate.testing.servers import GCSServer, S3Server

OVERSIZED = b'{"name": "' + b"x" * (17 << 20) + b'"}'


@pytest.fixture
def location(tmp_path: Path) -> Iterator[LogLocation]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield LogLocation(tmp_path, instance)


def reason(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    (event,) = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None, event.step_failure_data.error_display_string
    return failure.description or ""


def failed_for_good(location: LogLocation, result: dg.ExecuteInProcessResult) -> bool:
    run = location.instance.get_run_by_id(result.run_id)
    return run is not None and run.tags.get("edxorg/permanent_failure") == "true"


def test_a_log_without_a_record_is_looked_for_where_the_logs_are(location: LogLocation, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / LOG).write_bytes(gzip.compress(b"\n".join(EVENTS)))
    location.settings = location.settings.model_copy(update={"tracking_log_url": f"file://{logs}"})
    location.instance.add_dynamic_partitions("edxorg_tracking_log", [LOG])
    assert location.run_job("refresh_edxorg_tracking_logs", LOG).success
    assert len(location.rows()) == 2
    (logs / LOG).unlink()
    assert f"file://{logs}/{LOG}" in reason(location.run_job("refresh_edxorg_tracking_logs", LOG))


class TestWhatLands:
    def test_a_log_is_recorded_with_its_metadata(self, location: LogLocation) -> None:
        location.write(EVENTS[0], b"", b"Jan  1 00:00:00 host " + EVENTS[1], b"no event")
        assert location.run(LOG).success
        assert location.rows() == [
            {"name": "a", "time": "2024-05-06 01:02:03.000000", "page": None},
            {"name": "b", "time": None, "page": None},
        ]
        assert location.rejects() == [{"line": 4, "reason": "no_json_object", "raw": "no event"}]
        (recorded,) = location.recorded()
        found = {name: value.value for name, value in recorded.metadata.items()}
        assert found["path"] == f"file://{location.lake}/{NORMALIZED}"
        assert found["object_key"] == NORMALIZED
        assert found["size"] == len(landed(location.lake)[NORMALIZED])
        assert (found["archive"], found["checked_by"]) == (LOG, "size")
        assert found["archive_version"] == open_store(location.settings.archive_url).read(LOG).info.version
        assert found["sum"] == "4 lines = 2 normalized + 1 rejected + 1 blank"
        assert (found["dagster/row_count"], found["lines_in"], found["rejected"], found["blank"]) == (2, 4, 1, 1)
        assert found["rejected_by_reason"] == {"no_json_object": 1}
        assert found["rejects"] == f"file://{location.lake}/{REJECTS}"
        assert (found["syslog_prefixes"], found["exact_path_lines"], found["columns"]) == (1, 0, 3)
        assert found["exact_path_share"] == 0
        content = gzip.decompress(landed(location.lake)[NORMALIZED])
        assert location.versions() == [hashlib.sha256(content).hexdigest()]
        stored = open_store(location.settings.landing_zone_url).find(NORMALIZED, with_metadata=True)
        assert stored is not None
        assert stored.metadata["version"] == location.versions()[0]

    def test_unchanged_it_is_neither_written_nor_recorded_again(self, location: LogLocation) -> None:
        location.write(*EVENTS, b"no event")
        location.run(LOG)
        written = times(location.lake)
        assert set(written) == {NORMALIZED, REJECTS}
        location.write(*EVENTS, b"no event", packed=gzip.compress(b"\n".join([*EVENTS, b"no event"]), 1))
        result = location.run(LOG)
        assert result.success
        assert result.get_asset_materialization_events() == []
        assert times(location.lake) == written
        assert len(location.versions()) == 1

    def test_published_again_with_other_content_it_is_replaced(self, location: LogLocation) -> None:
        for lines in (EVENTS, EVENTS[:1], EVENTS):
            location.write(*lines)
            assert location.run(LOG).success
            assert len(location.rows()) == len(lines)
        first, second, third = location.versions()
        assert first == third != second
        assert set(landed(location.lake)) == {NORMALIZED}

    def test_an_object_that_is_gone_comes_back(self, location: LogLocation) -> None:
        location.write(*EVENTS, b"no event")
        location.run(LOG)
        before = landed(location.lake)
        for key in (NORMALIZED, REJECTS):
            (location.lake / key).unlink()
        assert location.run(LOG).success
        assert landed(location.lake) == before

    def test_rejects_are_those_of_the_latest_version(self, location: LogLocation) -> None:
        location.write(*EVENTS, b"bad", OVERSIZED)
        assert location.run(LOG).success
        (record,) = set(landed(location.lake)) - {NORMALIZED, REJECTS}
        assert record == f"edxorg/rejects/tracking_logs/{LOG}/{hashlib.sha256(OVERSIZED).hexdigest()}.record.gz"
        assert gzip.decompress(landed(location.lake)[record]) == OVERSIZED
        assert [each["reason"] for each in location.rejects()] == ["no_json_object", "too_long"]
        location.write(*EVENTS, b"worse")
        assert location.run(LOG).success
        assert [each["raw"] for each in location.rejects()] == ["worse"]
        assert set(landed(location.lake)) == {NORMALIZED, REJECTS}
        location.write(*EVENTS)
        assert location.run(LOG).success
        assert set(landed(location.lake)) == {NORMALIZED}
        assert len(location.versions()) == 1, "the events were the same all the time"

    def test_the_rejects_of_a_log_whose_name_begins_alike_stay(self, location: LogLocation) -> None:
        other = f"edxorg/rejects/tracking_logs/{LOG}.ndjson.gz.more/object"
        open_store(location.settings.landing_zone_url).write(other, b"1")
        location.write(*EVENTS)
        assert location.run(LOG).success
        assert set(landed(location.lake)) == {NORMALIZED, other}

    def test_lines_that_were_rejected_are_a_warning_on_the_raw_log(self, location: LogLocation) -> None:
        location.write(*EVENTS, b"bad", b'{"time": "x"}')
        location.run(LOG)
        location.write(*EVENTS)
        location.run(LOG)
        good, bad = location.checked()
        assert (good.passed, bad.passed) == (True, False)
        assert (bad.partition, bad.severity) == (LOG, dg.AssetCheckSeverity.WARN)
        assert bad.metadata["found"].value == 2
        assert "| no_json_object | 1 |" in str(bad.metadata["by reason"].value)
        assert bad.metadata["rejects"].value == f"file://{location.lake}/{REJECTS}"

    def test_a_log_without_a_materialization_is_found_by_its_name(self, location: LogLocation) -> None:
        location.write(*EVENTS)
        location.instance.add_dynamic_partitions("edxorg_tracking_log", [LOG])
        assert location.run_job("refresh_edxorg_tracking_logs", LOG).success
        assert len(location.recorded()) == 1


class TestLogsThatAreNotRight:
    @pytest.mark.parametrize(
        ("packed", "message"),
        [
            (b"plain text\n", "no gzip file"),
            (b"", "the file is empty"),
            (TRUNCATED, "breaks off"),
        ],
        ids=["not gzip", "empty file", "truncated"],
    )
    def test_a_broken_one_replaces_nothing(self, packed: bytes, message: str, location: LogLocation) -> None:
        location.write(*EVENTS, b"bad")
        location.run(LOG)
        written = times(location.lake)
        location.write(packed=packed)
        result = location.run(LOG)
        assert message in reason(result)
        assert f"{location.archives}/{LOG}" in reason(result)
        assert failed_for_good(location, result)
        assert times(location.lake) == written
        assert len(location.versions()) == len(location.checked()) == 1

    def test_a_log_without_a_good_line_fails_and_its_rejects_land(self, location: LogLocation) -> None:
        location.write(b"bad", b"worse", b"")
        result = location.run(LOG)
        assert "none of its 3 lines holds an event" in reason(result)
        assert failed_for_good(location, result)
        assert set(landed(location.lake)) == {REJECTS}
        assert len(location.rejects()) == 2
        assert location.recorded() == []
        assert [each.passed for each in location.checked()] == [False]

    def test_a_log_that_is_gone_says_so(self, location: LogLocation) -> None:
        location.instance.add_dynamic_partitions("edxorg_tracking_log", [LOG])
        result = location.run_job("refresh_edxorg_tracking_logs", LOG)
        assert f"{location.archives}/{LOG}" in reason(result)

    def test_a_partition_with_another_name_says_so(self, location: LogLocation) -> None:
        location.instance.add_dynamic_partitions("edxorg_tracking_log", ["../up"])
        result = location.run_job("refresh_edxorg_tracking_logs", "../up")
        assert "is not named like mitx-edx-events-2024-01-31.log.gz" in reason(result)

    @pytest.mark.parametrize("packed", [None, b"plain text, for whatever reason\n"], ids=["readable", "not gzip"])
    def test_bytes_that_the_store_did_not_announce_touch_nothing(
        self, packed: bytes | None, location: LogLocation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        location.write(*EVENTS)
        location.run(LOG)
        written = times(location.lake)
        location.write(*EVENTS, b"bad", b'{"name": "c"}', packed=packed)
        read = FolderStore.read

        def read_otherwise(store: FolderStore, key: str) -> VerifiedReader:
            reader = read(store, key)
            return VerifiedReader(replace(reader.info, checksum=ExpectedChecksum("md5", bytes(16))), reader._fetch)  # noqa: SLF001

        monkeypatch.setattr(FolderStore, "read", read_otherwise)
        monkeypatch.setattr(tracking_logs, "RETRIES", dg.RetryPolicy(max_retries=1, delay=0))
        result = location.run(LOG)
        assert "the bytes that arrived are not those of version" in reason(result)
        assert not failed_for_good(location, result)
        assert [event.event_type_value for event in result.all_events].count("STEP_RESTARTED") == 1
        assert times(location.lake) == written
        assert len(location.versions()) == 1

    def test_a_log_that_changes_while_it_is_read_is_read_again(
        self, location: LogLocation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = [b'{"name": "%b"}' % hashlib.sha512(b"%d" % n).hexdigest().encode() for n in range(60_000)]
        location.write(packed=gzip.compress(b"\n".join(lines), 1))
        monkeypatch.setattr(tracking_logs, "RETRIES", dg.RetryPolicy(max_retries=1, delay=0))
        seen = []

        class Publisher(RunObserver):
            def progress(self, progress: Progress) -> None:
                seen.append((progress.bytes_read < progress.bytes_total, set(landed(location.lake))))
                if len(seen) == 1:
                    location.write(*EVENTS)

        with observed_by(Publisher()):
            result = location.run(LOG)
        assert seen[0] == (True, set()), "it was read in part"
        assert all(objects <= {NORMALIZED} for _, objects in seen)
        assert [event.event_type_value for event in result.all_events].count("STEP_RESTARTED") == 1
        assert result.success
        assert len(location.rows()) == 2
        assert len(location.versions()) == 1


def write_days(location: LogLocation) -> Sequence[str]:
    """Three logs of which the second is broken."""
    location.write(*EVENTS)
    location.write(name=OTHER_LOGS[0], packed=TRUNCATED)
    location.write(EVENTS[0], b"bad", name=OTHER_LOGS[1])
    return LOG, *OTHER_LOGS


class TestSeveralDays:
    def test_a_bad_one_does_not_stop_the_others(self, location: LogLocation) -> None:
        days = write_days(location)
        result = location.run(*days)
        assert reason(result).startswith("1 of 3 logs failed; the others were delivered\n")
        assert OTHER_LOGS[0] in reason(result)
        assert failed_for_good(location, result)
        assert [len(location.versions(day)) for day in days] == [1, 0, 1]
        assert sorted(each.partition or "" for each in location.checked()) == [days[0], days[2]]
        location.write(EVENTS[0], name=OTHER_LOGS[0])
        assert location.run(*days).success
        assert [len(location.versions(day)) for day in days] == [1, 1, 1]

    def test_the_asset_can_be_materialized_over_a_range(self, location: LogLocation) -> None:
        days = [LOG, OTHER_LOGS[0]]
        location.instance.add_dynamic_partitions("edxorg_tracking_log", days)
        for day in days:
            location.write(*EVENTS, name=day)
        defs = build_definitions(location.settings)
        result = dg.materialize(
            [each for each in defs.assets or [] if isinstance(each, dg.AssetsDefinition)],
            selection=[NORMALIZED_LOGS],
            instance=location.instance,
            resources=defs.resources,
            tags={"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]},
        )
        assert result.success
        assert [len(location.versions(day)) for day in days] == [1, 1]


RUN = """
import sys
from pathlib import Path
from edxorg_tests.support.location import LOG, log_location_in
with log_location_in(Path(sys.argv[1])) as location:
    # Dagster's own databases: killed while it makes those, it cannot read them afterwards.
    location.instance.get_runs(limit=1), location.instance.all_asset_keys(), location.instance.all_instigator_state()
    print("ready", flush=True)
    sys.exit(not location.run(LOG).success)
"""


def start_run(folder: Path) -> subprocess.Popen[bytes]:
    """The job in a process of its own, with Dagster loaded."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", RUN, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
    return process


def state(location: LogLocation) -> tuple[dict[str, bytes], str]:
    """Everything that landed, and the latest version."""
    return landed(location.lake), location.versions()[0]


def state_after_run(folder: Path) -> tuple[dict[str, bytes], str]:
    """Run the job here."""
    with log_location_in(folder) as location:
        assert location.run(LOG).success
        return state(location)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[dict[str, bytes], str]]:
    """A log, and the state after one run of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "archives").mkdir()
    write_sample_log(folder / "archives" / LOG, events=6_000, seed=4)
    return folder / "archives" / LOG, state_after_run(folder)


def copy_log(undisturbed: tuple[Path, object], folder: Path) -> None:
    (folder / "archives").mkdir()
    (folder / "archives" / LOG).write_bytes(undisturbed[0].read_bytes())


def test_killed_while_it_writes_and_before_it_records_it_ends_the_same(
    undisturbed: tuple[Path, tuple[dict[str, bytes], str]], tmp_path: Path
) -> None:
    copy_log(undisturbed, tmp_path)
    for found in (".unfinished/*", "edxorg/**/.normalized_*.metadata"):
        process = start_run(tmp_path)
        while process.poll() is None and not any((tmp_path / "lake").glob(found)):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    written = times(tmp_path / "lake")
    assert state_after_run(tmp_path) == undisturbed[1]
    assert times(tmp_path / "lake").items() >= written.items(), "what was there is not written again"


def test_two_runs_at_the_same_time_both_end_well(
    undisturbed: tuple[Path, tuple[dict[str, bytes], str]], tmp_path: Path
) -> None:
    copy_log(undisturbed, tmp_path)
    with log_location_in(tmp_path) as location:
        location.versions()  # makes Dagster's tables, which two processes cannot do at the same time
    other = start_run(tmp_path)
    assert state_after_run(tmp_path) == undisturbed[1]
    assert other.wait() == 0
    with log_location_in(tmp_path) as location:
        assert state(location) == undisturbed[1]


@pytest.mark.parametrize("lake", ["s3", "gs"])
def test_from_cloud_storage_to_a_bucket(
    location: LogLocation,
    lake: str,
    gcs_server: GCSServer,
    gcs_bucket: str,
    moto_server: S3Server,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**gcs_server.environment, **moto_server.environment}.items():
        monkeypatch.setenv(name, value)
    source = open_store(f"gs://{gcs_bucket}/COLD")
    url = f"s3://{s3_bucket}/lake" if lake == "s3" else f"gs://{gcs_bucket}/lake"
    location.settings = Settings(archive_url=source.url, landing_zone_url=url)
    source.write(LOG, gzip.compress(b"\n".join([*EVENTS, b"bad"])))
    assert location.run(LOG).success
    (recorded,) = location.recorded()
    assert recorded.metadata["checked_by"].value == "crc32c"
    before = {each.key: each.version for each in open_store(url).list()}
    assert set(before) == {NORMALIZED, REJECTS}
    result = location.run(LOG)
    assert result.success
    assert {each.key: each.version for each in open_store(url).list()} == before
    source.write(LOG, gzip.compress(b"\n".join(EVENTS[:1])))
    assert location.run(LOG).success
    assert [each.key for each in open_store(url).list()] == [NORMALIZED]
    assert len(location.versions()) == 2


class TestCommands:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_from_sample_to_lake(self, edxorg: Shell, tmp_path: Path) -> None:
        assert edxorg("sample", "tracking-log", "--out", LOG, "--size", "300KB", "--seed", "1")[0] == 0
        first = (tmp_path / LOG).read_bytes()
        assert 250_000 < len(gzip.decompress(first)) < 350_000
        edxorg("sample", "tracking-log", "--out", LOG, "--size", "300KB", "--seed", "1")
        assert (tmp_path / LOG).read_bytes() == first
        code, output, _ = edxorg("inspect", LOG, "--json")
        assert code == 0
        looked = json.loads(output)
        assert (looked["lines_in"], looked["lines_out"], looked["outcome"]) == (273, 270, None)
        assert not (tmp_path / "lake").exists()
        code, output, _ = edxorg("ingest", "tracking-log", LOG, "--landing-zone", "lake", "--json")
        assert code == 0
        delivered = json.loads(output)
        rejects = f"file://{tmp_path}/lake/{REJECTS}"
        expected = {**looked, "succeeded": True, "reasons": [], "outcome": "delivered", "rejects": rejects}
        assert delivered == expected
        assert set(landed(tmp_path / "lake")) == {NORMALIZED, REJECTS}
        code, output, _ = edxorg("ingest", "tracking-log", LOG, "--landing-zone", "lake")
        assert code == 0
        assert "273 lines = 270 normalized + 2 rejected + 1 blank; unchanged" in output

    def test_a_log_that_fails_is_one_line_and_exit_code_1(self, edxorg: Shell, tmp_path: Path) -> None:
        (tmp_path / LOG).write_bytes(b"this is plain text\n")
        (tmp_path / OTHER_LOGS[0]).write_bytes(gzip.compress(b"bad"))
        code, output, error = edxorg("ingest", "tracking-log", LOG, OTHER_LOGS[0], "--landing-zone", "lake")
        assert code == 1
        rejects = f"file://{tmp_path}/lake/edxorg/rejects/tracking_logs/{OTHER_LOGS[0]}.ndjson.gz"
        shown = output.splitlines()
        assert shown.index(f"file://{tmp_path}/{LOG}") < shown.index(f"file://{tmp_path}/{OTHER_LOGS[0]}")
        assert f"Rejected lines: {rejects}" in shown
        lines = [line for line in error.splitlines() if not line.startswith("Made the folder ")]
        assert [line.partition(":")[0] for line in lines] == ["Error", "Error"]
        code, output, error = edxorg("inspect", LOG)
        assert (code, output) == (2, "")
        assert "this is no gzip file, but text" in error

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((LOG,), "there is no such object"),
            (("events.log.gz",), "is not named like mitx-edx-events-2024-01-31.log.gz"),
            ((LOG, f"other/{LOG}"), "files of one name are one partition"),
        ],
    )
    def test_a_mistake_is_one_line_and_exit_code_2(
        self, edxorg: Shell, arguments: tuple[str, ...], message: str
    ) -> None:
        code, _, error = edxorg("ingest", "tracking-log", *arguments, "--landing-zone", "lake")
        assert code == 2
        assert len(error.splitlines()) == 1
        assert message in error

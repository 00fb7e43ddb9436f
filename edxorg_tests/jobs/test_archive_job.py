"""The archive job on a real instance: what it records, and what it does the second time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.archive.ingest_report import IngestReport
from edxorg.lib.archive.ingestion import _Ingestion
from edxorg.lib.members import Member, MemberKind
from edxorg.lib.settings import Settings
from edxorg.ops.ingest_archive import report_metadata
from edxorg_tests.support.archives import POST, TABLE, landed, table_name, times, write_archive
from edxorg_tests.support.location import ArchiveLocation
from ol_orchestrate.lib.stores import SourceInfo, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.lib.archive.reconciling import Reconciler
    from ol_orchestrate.testing.servers import GCSServer, S3Server

COURSE = "MITx-6.00x-2012_Fall"
MEMBERS = {
    table_name(): TABLE,
    table_name("not_in_the_dictionary", site="edge"): TABLE,
    table_name("empty"): b"id\tname\n",
    f"{COURSE}-course_structure-prod-analytics.json": b"{}",
    f"{COURSE}-prod.mongo": POST,
}


@pytest.fixture
def location(tmp_path: Path) -> Iterator[ArchiveLocation]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield ArchiveLocation(tmp_path, instance)


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [each for each in result.all_events if each.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_delivered_members_are_recorded_with_their_metadata(location: ArchiveLocation) -> None:
    write_archive(location.archives / "mitx-2024-01-31.tar.gz", MEMBERS)
    result = location.run("mitx-2024-01-31.tar.gz")
    assert result.success
    (recorded,) = location.recorded()
    (key,) = (key for key in landed(location.lake) if "/auth_user/" in key)
    found = {name: value.value for name, value in recorded.metadata.items()}
    assert recorded.partition == f"{COURSE}|prod"
    assert found["path"] == f"file://{location.lake}/{key}"
    assert found["object_key"] == key
    assert (found["source"], found["source_system"], found["course_id"]) == ("edxorg", "prod", COURSE)
    assert (found["archive"], found["member"]) == ("mitx-2024-01-31.tar.gz", table_name())
    assert found["archive_version"]
    assert (found["dagster/row_count"], found["rejected"]) == (2, 0)
    assert found["size"] == len(landed(location.lake)[key])
    assert recorded.tags is not None
    assert recorded.tags["dagster/data_version"] == Path(key).stem
    assert recorded.tags["edxorg/archive_date"] == "2024-01-31"
    assert recorded.tags["edxorg/row_count"] == "2"
    raw_archive = dg.AssetKey(["edxorg", "raw_data_archive"])
    (arrival,) = location.instance.fetch_materializations(raw_archive, limit=2).records
    assert recorded.tags["dagster/input_event_pointer/edxorg/raw_data_archive"] == str(arrival.storage_id)
    assert recorded.tags["dagster/input_data_version/edxorg/raw_data_archive"] == found["archive_version"]
    assert set(location.instance.get_dynamic_partitions("course_and_source")) == {f"{COURSE}|prod", f"{COURSE}|edge"}
    recorded_versions = location.everything_recorded()
    assert ("edxorg/raw_data/db_table/not_in_the_dictionary", f"{COURSE}|edge") in recorded_versions
    assert len(recorded_versions) == len(landed(location.lake)) == 5


def test_email_preferences_are_recorded_by_organization(location: ArchiveLocation) -> None:
    name = "mitx-2024-01-31.tar.gz"
    write_archive(location.archives / name, {"MITx-email_opt_in-prod-analytics.csv": b"user_id\n1\n"})
    assert location.run(name).success
    assert list(location.everything_recorded()) == [("edxorg/raw_data/email_opt_in", "MITx")]
    assert location.instance.get_dynamic_partitions("course_and_source") == []
    assert location.instance.get_dynamic_partitions("edxorg_organization") == ["MITx"]
    spec = build_definitions(Settings()).resolve_asset_graph().get(dg.AssetKey(["edxorg", "raw_data", "email_opt_in"]))
    assert (spec.partitions_def, spec.parent_keys) == (
        dg.DynamicPartitionsDefinition(name="edxorg_organization"),
        {dg.AssetKey(["edxorg", "raw_data_archive"])},
    )
    assert "dagster/column_schema" in spec.metadata
    assert metadata_of(location.run(name))["unchanged"] == 1


def test_the_run_shows_the_sum(location: ArchiveLocation) -> None:
    write_archive(location.archives / "mitx-2024-01-31.tar.gz", {**MEMBERS, "odd.csv": b"1", "._odd": b"2"})
    found = metadata_of(location.run("mitx-2024-01-31.tar.gz"))
    assert found["sum"].startswith("7 members = 4 delivered + 0 unchanged + 0 superseded + 1 empty")
    assert (found["members"], found["delivered"], found["unrecognised"], found["ignored"]) == (7, 4, 1, 1)
    assert "odd.csv" in found["list of unrecognised"]
    assert found["checked_by"] == "size"


def test_names_in_an_archive_are_no_markup_in_what_the_run_shows() -> None:
    account = IngestReport()
    account.add_unread(Member("o|d`d`<b>.csv", MemberKind.UNRECOGNISED, reason="[odd](https://evil.example)"), 12)
    source = SourceInfo("file:///a.tar.gz", 1, "1", datetime.now(UTC), checksum=None)
    shown = report_metadata(account, source, "fsync")["list of unrecognised"].value
    assert shown.splitlines()[2:] == [
        "| o&#124;d&#96;d&#96;&#60;b&#62;.csv | 12 | &#91;odd&#93;(https:&#8288;//evil.example) |"
    ]


def test_the_same_archive_again_writes_and_records_nothing(location: ArchiveLocation) -> None:
    write_archive(location.archives / "mitx-2024-01-31.tar.gz", MEMBERS)
    location.run("mitx-2024-01-31.tar.gz")
    written = times(location.lake)
    result = location.run("mitx-2024-01-31.tar.gz")
    assert result.success
    assert len(location.recorded()) == 1
    assert times(location.lake) == written
    assert metadata_of(result)["unchanged"] == 4


def test_versions_over_the_weeks(location: ArchiveLocation) -> None:
    other = TABLE + b"3\tBarbara\n"
    for day, content in (("2024-01-01", TABLE), ("2024-01-08", other), ("2024-01-15", TABLE), ("2024-01-22", TABLE)):
        write_archive(location.archives / f"mitx-{day}.tar.gz", {table_name(): content})
        assert location.run(f"mitx-{day}.tar.gz").success
    recorded = location.recorded()
    days = [each.tags["edxorg/archive_date"] for each in recorded if each.tags]
    assert days == ["2024-01-15", "2024-01-08", "2024-01-01"]
    newest = max(times(location.lake).items(), key=lambda item: item[1])[0]
    assert recorded[0].tags
    assert recorded[0].tags["dagster/data_version"] in newest
    write_archive(location.archives / "mitx-2024-01-02.tar.gz", {table_name(): other + b"4\tJoan\n"})
    assert metadata_of(location.run("mitx-2024-01-02.tar.gz"))["superseded"] == 1
    assert len(location.recorded()) == 3
    assert location.run("mitx-2024-01-02.tar.gz", supersede=True).success
    assert len(location.recorded()) == 4


def test_a_broken_member_fails_alone_and_the_run_names_it(location: ArchiveLocation) -> None:
    write_archive(location.archives / "mitx-2024-01-31.tar.gz", {**MEMBERS, table_name("bad"): b"id\tid\n1\t2\n"})
    result = location.run("mitx-2024-01-31.tar.gz")
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    description = failure.step_failure_data.user_failure_data.description or ""
    assert table_name("bad") in description
    assert "1 of 6 members failed" in description
    assert len(location.everything_recorded()) == 5
    run = location.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["edxorg/permanent_failure"] == "true"
    assert metadata_of(result)["failed"] == 1


def test_a_run_without_usable_settings_says_that_an_operator_can_mend_it(
    location: ArchiveLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(location.archives / "mitx-2024-01-31.tar.gz", MEMBERS)
    location.settings = location.settings.model_copy(update={"landing_zone_url": "s3://lake"})
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    run = location.instance.get_run_by_id(location.run("mitx-2024-01-31.tar.gz").run_id)
    assert run is not None
    assert run.tags["edxorg/permanent_failure"] == "until_mended"
    assert "no-such-profile" in run.tags["failed/process_edxorg_archive"]


def test_an_encrypted_member_without_a_key_waits_for_the_operator(location: ArchiveLocation) -> None:
    write_archive(location.archives / "mitx-2024-01-31.tar.gz", {**MEMBERS, f"{table_name('other')}.gpg": b"any"})
    run = location.instance.get_run_by_id(location.run("mitx-2024-01-31.tar.gz").run_id)
    assert run is not None
    assert run.tags["edxorg/permanent_failure"] == "until_mended"
    assert len(location.everything_recorded()) == 5


def test_a_partition_without_a_materialization_is_found_by_its_name(location: ArchiveLocation) -> None:
    name = "mitx-2024-01-31.tar.gz"
    write_archive(location.archives / name, MEMBERS)
    location.instance.add_dynamic_partitions("edxorg_archive", [name])
    assert location.run_job("retrieve_edxorg_raw_data", name).success
    assert len(location.recorded()) == 1


def test_an_archive_that_is_gone_says_so_in_one_line(location: ArchiveLocation) -> None:
    name = "mitx-2024-01-31.tar.gz"
    location.instance.add_dynamic_partitions("edxorg_archive", [name])
    result = location.run_job("retrieve_edxorg_raw_data", name)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert name in (failure.step_failure_data.user_failure_data.description or "")


def test_from_cloud_storage_to_s3(
    location: ArchiveLocation,
    gcs_server: GCSServer,
    gcs_bucket: str,
    moto_server: S3Server,
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**gcs_server.environment, **moto_server.environment}.items():
        monkeypatch.setenv(name, value)
    archive = write_archive(tmp_path / "mitx-2024-01-31.tar.gz", MEMBERS)
    open_store(f"gs://{gcs_bucket}/COLD").write(archive.name, archive.read_bytes())
    location.settings = Settings(archive_url=f"gs://{gcs_bucket}/COLD", landing_zone_url=f"s3://{s3_bucket}/lake")
    result = location.run(archive.name)
    assert result.success
    assert metadata_of(result)["checked_by"] == "crc32c"
    assert sum(1 for _ in open_store(f"s3://{s3_bucket}/lake").list()) == 6, "with the report"
    assert metadata_of(location.run(archive.name))["unchanged"] == 4


def test_nothing_of_a_damaged_archive_is_recorded_or_left(location: ArchiveLocation) -> None:
    name = "mitx-2024-01-31.tar.gz"
    data = bytearray(write_archive(location.archives / name, MEMBERS).read_bytes())
    data[-6] ^= 1
    (location.archives / name).write_bytes(data)
    result = location.run(name)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert "Nothing of this archive is recorded" in (failure.step_failure_data.user_failure_data.description or "")
    found = metadata_of(result)
    assert (found["delivered"], found["rows"]) == (0, 0)
    assert found["sum"].startswith(f"{found['members']} members =")
    assert location.everything_recorded() == {}
    assert landed(location.lake) == {}


def test_a_refused_archive_leaves_what_was_ever_recorded_and_says_how_much_it_deleted(
    location: ArchiveLocation,
) -> None:
    for day, content in (("01-01", TABLE), ("01-08", TABLE + b"3\tBarbara\n")):
        write_archive(location.archives / f"mitx-2024-{day}.tar.gz", {table_name(): content})
        assert location.run(f"mitx-2024-{day}.tar.gz").success
    before = landed(location.lake)
    name = "mitx-2024-01-15.tar.gz"
    members = {table_name(): TABLE, table_name("teams"): TABLE, table_name(course="MITx-A-2020"): TABLE}
    data = bytearray(write_archive(location.archives / name, members).read_bytes())
    data[-6] ^= 1
    (location.archives / name).write_bytes(data)
    (failure,) = location.run(name).get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert "Its objects were deleted: 2" in (failure.step_failure_data.user_failure_data.description or "")
    assert landed(location.lake) == before


def test_of_two_archives_at_once_the_newer_one_is_current(
    location: ArchiveLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = "mitx-2024-01-03.tar.gz", "mitx-2024-01-10.tar.gz"
    write_archive(location.archives / older, {table_name(): TABLE, table_name("teams"): TABLE})
    write_archive(location.archives / newer, {table_name(): TABLE + b"3\tBarbara\n", table_name("groups"): TABLE})
    settle, results = _Ingestion.settle, []

    def and_the_newer_one_runs(self: _Ingestion, reconciler: Reconciler) -> None:
        settle(self, reconciler)
        monkeypatch.undo()
        results.append(location.run(newer))

    monkeypatch.setattr(_Ingestion, "settle", and_the_newer_one_runs)
    results.append(location.run(older))
    assert [result.success for result in results] == [True, True]
    found = metadata_of(results[1])
    assert (found["delivered"], found["superseded"]) == (1, 1)
    (recorded,) = location.recorded()
    assert recorded.tags is not None
    assert recorded.tags["edxorg/archive_date"] == "2024-01-10"
    of_place = {key: when for key, when in times(location.lake).items() if "/auth_user/" in key}
    assert recorded.tags["dagster/data_version"] in max(of_place, key=of_place.__getitem__)
    assert [key for key in landed(location.lake) if "/unfinished/" in key] == []

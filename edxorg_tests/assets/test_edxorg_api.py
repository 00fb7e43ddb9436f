"""The catalogue's daily job on a real instance, against a server that answers like the Discovery API."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.catalogue import (
    COURSE_METADATA,
    COURSE_RUN_METADATA,
    COURSES_RAW,
    PROGRAM_COURSE_METADATA,
    PROGRAM_METADATA,
    PROGRAMS_RAW,
)
from edxorg.lib.settings import Settings
from edxorg.samples.catalogue_server import serve_sample_catalogue
from edxorg_tests.support.archives import landed, times
from edxorg_tests.support.location import Location
from ol_orchestrate.failures import FailureRetries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg.samples.catalogue_server import SampleCatalogue

JOB = "edxorg_api_daily_job"
TABLES = [COURSE_METADATA, COURSE_RUN_METADATA, PROGRAM_COURSE_METADATA, PROGRAM_METADATA]
PROGRAMS = {"program_metadata", "program_course_metadata", "programs_raw"}
COURSES = {"course_metadata", "course_run_metadata", "courses_raw"}
OUTPUTS = sorted(PROGRAMS | COURSES)
ALL_ONCE = dict.fromkeys(PROGRAMS | COURSES, 1)


class CatalogueLocation(Location):
    """The location, as the catalogue's job needs it."""

    @property
    def defs(self) -> dg.Definitions:
        return build_definitions(self.settings)

    def run(self) -> dg.ExecuteInProcessResult:
        return self.run_job(JOB)

    def recorded(self, output: str) -> list[dg.AssetMaterialization]:
        return self.materializations(key_of(output))

    def times_recorded(self) -> dict[str, int]:
        counts = {name: len(self.recorded(name)) for name in OUTPUTS}
        return {output: count for output, count in counts.items() if count}

    def latest_rows(self, output: str) -> list[dict[str, Any]]:
        """What the latest materialization points to."""
        content = landed(self.lake)[str(self.recorded(output)[0].metadata["object_key"].value)]
        return [json.loads(line) for line in content.splitlines()]


def key_of(output: str) -> dg.AssetKey:
    return dg.AssetKey(["edxorg", "api_data", output])


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Why each step failed that did."""
    found = {}
    for event in result.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        found[str(event.step_key)] = str(failure and failure.description)
    return found


@pytest.fixture(scope="module")
def served() -> Iterator[SampleCatalogue]:
    with serve_sample_catalogue(programs=21, courses=22) as catalogue:
        yield catalogue


@pytest.fixture
def catalogue(served: SampleCatalogue, monkeypatch: pytest.MonkeyPatch) -> Iterator[SampleCatalogue]:
    """Two pages of programs and two of courses; a test can change them."""
    monkeypatch.setenv("EDXORG_API_URL", served.url)
    monkeypatch.setenv("EDXORG_API_TOKEN_URL", f"{served.url}/oauth2/access_token")
    monkeypatch.setenv("EDXORG_API_CLIENT_ID", served.client_id)
    monkeypatch.setenv("EDXORG_API_CLIENT_SECRET", served.client_secret)
    programs, courses = served.programs, served.courses
    served.programs, served.courses = copy.deepcopy(programs), copy.deepcopy(courses)
    yield served
    served.programs, served.courses = programs, courses


@pytest.fixture
def location(tmp_path: Path, catalogue: SampleCatalogue) -> Iterator[CatalogueLocation]:
    del catalogue  # its address is in the environment
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield CatalogueLocation(tmp_path, instance)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(FailureRetries, "calculate_delay", lambda *_: 0)


def test_everything_lands_whole(location: CatalogueLocation, catalogue: SampleCatalogue) -> None:
    started = datetime.now(UTC).replace(microsecond=0)
    assert location.run().success
    assert location.times_recorded() == ALL_ONCE
    assert len(landed(location.lake)) == len(OUTPUTS)
    stamps = set()
    for table in TABLES:
        (recorded,) = location.recorded(table.name)
        (version,) = ((recorded.tags or {})["dagster/data_version"],)
        found: dict[str, Any] = {name: value.value for name, value in recorded.metadata.items()}
        rows = location.latest_rows(table.name)
        assert found["object_key"] == f"edxorg/api_data/{table.name}/{version}.json"
        assert found["path"] == f"file://{location.lake}/{found['object_key']}"
        assert found["size"] == len(landed(location.lake)[found["object_key"]])
        assert found["dagster/row_count"] == len(rows)
        assert [column.name for column in found["dagster/column_schema"].columns] == list(rows[0])
        assert all(row.keys() == rows[0].keys() for row in rows)
        stamps |= {row["retrieved_at"] for row in rows if table.stamped}
    (retrieved_at,) = map(datetime.fromisoformat, stamps)
    assert started <= retrieved_at <= datetime.now(UTC)
    assert {row["uuid"] for row in location.latest_rows("program_metadata")} == {
        program["uuid"] for program in catalogue.programs
    }
    assert {row["run_key"] for row in location.latest_rows("course_run_metadata")} == {
        run["key"] for course in catalogue.courses for run in course["course_runs"]
    }


def test_raw_records_land_with_all_their_fields(location: CatalogueLocation, catalogue: SampleCatalogue) -> None:
    catalogue.programs[0]["new_field"] = {"deep": [1, 2.50]}
    assert location.run().success
    for name, key, sent in ((PROGRAMS_RAW, "uuid", catalogue.programs), (COURSES_RAW, "key", catalogue.courses)):
        (recorded,) = location.recorded(name)
        version = (recorded.tags or {})["dagster/data_version"]
        assert recorded.metadata["object_key"].value == f"edxorg/api_data/{name}/{version}.json"
        assert recorded.metadata["dagster/row_count"].value == len(sent)
        assert location.latest_rows(name) == sorted(sent, key=lambda record: str(record[key]))


def test_daily_runs_with_one_change_make_two_objects_of_raw_courses(
    location: CatalogueLocation, catalogue: SampleCatalogue
) -> None:
    for day in range(4):
        catalogue.courses[day]["course_runs"][0]["availability"] = ("Upcoming", "Starting Soon")[day % 2]
        if day == 2:
            catalogue.courses[3]["a_field_that_no_table_has"] = 1
        assert location.run().success
    objects = [key.split("/")[2] for key in landed(location.lake)]
    assert {name: objects.count(name) for name in (COURSES_RAW, PROGRAMS_RAW, "course_metadata")} == {
        COURSES_RAW: 2,
        PROGRAMS_RAW: 1,
        "course_metadata": 1,
    }
    assert {name: location.times_recorded()[name] for name in (COURSES_RAW, PROGRAMS_RAW)} == {
        COURSES_RAW: 2,
        PROGRAMS_RAW: 1,
    }


def test_numbers_to_plot_are_recorded(location: CatalogueLocation, catalogue: SampleCatalogue) -> None:
    location.run()
    runs = sum(len(course["course_runs"]) for course in catalogue.courses)
    pairs = sum(len(program["courses"]) for program in catalogue.programs)
    for outputs, numbers in (
        (PROGRAMS, {"programs": 21, "program_courses": pairs, "repeated": 0}),
        (COURSES, {"courses": 22, "course_runs": runs, "repeated": 0}),
    ):
        for output in outputs:
            (recorded,) = location.recorded(output)
            assert {name: recorded.metadata[name].value for name in numbers} == numbers


def test_columns_show_before_the_first_run(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        graph = CatalogueLocation(tmp_path, instance).defs.resolve_asset_graph()
    for table in TABLES:
        asset = graph.get(key_of(table.name))
        columns = asset.metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == [*table.row.model_fields, *["retrieved_at"][: table.stamped]]
        assert all(column.description for column in columns)
        never_null = [name for name, field in table.row.model_fields.items() if field.annotation is str]
        assert [column.name for column in columns if not column.constraints.nullable] == never_null
        assert asset.description
        assert asset.group_name == "edxorg_catalogue"


def test_an_unchanged_catalogue_is_neither_written_nor_recorded(location: CatalogueLocation) -> None:
    location.run()
    written = times(location.lake)
    again = location.run()
    assert again.success
    assert times(location.lake) == written
    assert location.times_recorded() == ALL_ONCE


def test_a_changed_course_is_a_new_version_of_the_courses_and_their_raw_records_alone(
    location: CatalogueLocation, catalogue: SampleCatalogue
) -> None:
    location.run()
    written = times(location.lake)
    catalogue.courses[3]["title"] = "Changed"
    assert location.run().success
    assert location.times_recorded() == ALL_ONCE | {"course_metadata": 2, "courses_raw": 2}
    assert {key: times(location.lake)[key] for key in written} == written
    assert len(landed(location.lake)) == len(OUTPUTS) + 2
    changed = [row["course_key"] for row in location.latest_rows("course_metadata") if row["title"] == "Changed"]
    assert changed == [catalogue.courses[3]["key"]]


class OneRecordMoreThanItHas(list[dict[str, Any]]):
    """A listing that names one record more than it has."""

    def __len__(self) -> int:
        return super().__len__() + 1


@pytest.mark.usefixtures("no_waiting")
def test_a_listing_that_lacks_a_record_replaces_nothing(
    location: CatalogueLocation, catalogue: SampleCatalogue
) -> None:
    location.run()
    before = landed(location.lake)
    catalogue.courses = OneRecordMoreThanItHas(copy.deepcopy(catalogue.courses))
    catalogue.courses[0]["title"] = "Changed"
    result = location.run()
    assert not result.success
    assert "22 of 23 records arrived" in failures(result)["edxorg_mitx_course_metadata"]
    assert landed(location.lake) == before
    assert location.times_recorded() == ALL_ONCE
    attempts = [event.step_key for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert attempts == ["edxorg_mitx_course_metadata"] * 2
    run = location.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["edxorg/permanent_failure"] == "false"


@pytest.mark.parametrize(
    ("broken", "failing", "rest"),
    [
        ("courses", "edxorg_mitx_course_metadata", PROGRAMS),
        ("programs", "edxorg_program_metadata", COURSES),
    ],
)
def test_if_one_listing_fails_the_other_lands(
    location: CatalogueLocation, catalogue: SampleCatalogue, broken: str, failing: str, rest: set[str]
) -> None:
    for record in getattr(catalogue, broken)[:1]:
        record.pop("key", None)
        record.pop("uuid")
    result = location.run()
    assert failures(result).keys() == {failing}
    assert "page 1" in failures(result)[failing]
    assert location.times_recorded() == dict.fromkeys(rest, 1)
    assert not any(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)
    run = location.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["edxorg/permanent_failure"] == "true"


def test_the_number_of_the_catalogue_is_a_setting(location: CatalogueLocation) -> None:
    another = CatalogueLocation(location.lake.parent, location.instance, Settings(catalogue_number=11))
    result = another.run()
    assert "/api/v1/catalogs/11/courses/" in failures(result)["edxorg_mitx_course_metadata"]
    assert another.times_recorded() == dict.fromkeys(PROGRAMS, 1)


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "refused"])
def test_the_client_is_nowhere_to_be_read(
    location: CatalogueLocation,
    catalogue: SampleCatalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    accepted: bool,
) -> None:
    secret = "canary-of-the-secret"  # noqa: S105 - of a server that lives for one test
    monkeypatch.setenv("EDXORG_API_CLIENT_SECRET", secret)
    monkeypatch.setattr(catalogue, "client_secret", secret if accepted else "another one")
    result = location.run()
    assert result.success == accepted
    assert failures(result).keys() == (
        set() if accepted else {"edxorg_program_metadata", "edxorg_mitx_course_metadata"}
    )
    run = location.instance.get_run_by_id(result.run_id)
    events = location.instance.all_logs(result.run_id)
    snapshot = location.defs.resolve_job_def(JOB).get_job_snapshot()
    told = [dg.serialize_value(each) for each in (run, snapshot, *events)]
    assert len(events) > len(OUTPUTS)
    assert all("canary" not in text for text in told)
    assert all("canary" not in text for text in capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    assert not [path for path in files if b"canary" in path.read_bytes()]


def test_the_schedule_asks_for_one_run_of_both_listings(location: CatalogueLocation) -> None:
    schedule = location.defs.resolve_schedule_def("edxorg_api_daily_schedule")
    five_o_clock = datetime(2024, 5, 6, 5, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=location.instance,
        scheduled_execution_time=five_o_clock,
        repository_def=location.defs.get_repository_def(),
    ) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []
    assert (schedule.job_name, request.run_config) == (JOB, {})
    job = location.defs.resolve_job_def(JOB)
    assert job.asset_layer.executable_asset_keys == set(map(key_of, OUTPUTS))
    assert {node.name for node in job.nodes} == {"edxorg_program_metadata", "edxorg_mitx_course_metadata"}

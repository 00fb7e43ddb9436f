"""Landing on a real instance: what is written and what Dagster records, over runs that repeat, revert and die."""

# No postponed annotations here: Dagster looks at those of the assets.

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ol_orchestrate.described import COLUMN_SCHEMA
from ol_orchestrate.landing.land import Artifact, land, recorded_version
from ol_orchestrate.lib.record_tags import RecordTags
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.versions import SingleObject, VersionedObjects

PARTITIONS = dg.StaticPartitionsDefinition(["first", "second"])
TAGS = RecordTags("school")
SCHEMA = dg.TableSchema([dg.TableColumn("letter", "string", "A letter.")])
EARLY, LATE = date(2024, 1, 1), date(2024, 1, 8)


@dataclass
class Landing:
    """An asset that lands what it is told to, in a folder; both are the test's own."""

    folder: Path
    instance: dg.DagsterInstance
    partition: str | None = None
    one_copy: bool = False
    zone: str = "lake"
    made: dict[str, Any] = field(default_factory=dict)
    dies: bool = False

    @property
    def key(self) -> dg.AssetKey:
        return dg.AssetKey(["made", self.folder.name])

    @property
    def key_downstream(self) -> dg.AssetKey:
        return dg.AssetKey(["downstream", self.folder.name])

    def assets(self) -> list[dg.AssetsDefinition]:
        partitions = PARTITIONS if self.partition else None

        @dg.asset(key=self.key, output_required=False, partitions_def=partitions)
        def made(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
            to = self.versions()
            before = recorded_version(context.instance, self.key, to.store.url, TAGS, partition=self.partition)
            result = land(self.key, Artifact(**self.made), before, to=to, tags=TAGS)
            if self.dies:
                raise RuntimeError("between writing and recording")
            if result:
                yield result

        condition = dg.AutomationCondition.eager()
        new_version = dg.AutomationCondition.data_version_changed()

        @dg.asset(
            key=self.key_downstream,
            deps=[self.key],
            partitions_def=partitions,
            automation_condition=condition.replace("newly_updated", new_version),
        )
        def downstream() -> None: ...

        return [made, downstream]

    def versions(self) -> VersionedObjects | SingleObject:
        store = open_store(f"file://{self.folder}/{self.zone}")
        place = f"made/{self.partition or 'whole'}"
        return (
            SingleObject(store, f"{place}.txt")
            if self.one_copy
            else VersionedObjects(store, lambda version: f"{place}/{version}")
        )

    def run(self, version: str, *, everything: bool = False, **made: Any) -> dg.ExecuteInProcessResult:  # noqa: ANN401
        self.made = {"version": version, "content": io.BytesIO(f"content {version}".encode()), **made}
        return dg.materialize(
            self.assets(),
            instance=self.instance,
            partition_key=self.partition,
            selection=None if everything else [self.key],
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def objects(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.paths()}

    def times(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in self.paths()}

    def paths(self) -> list[Path]:
        found = (self.folder / self.zone).rglob("*")
        return [path for path in found if path.is_file() and not path.name.startswith(".")]

    def recorded(self) -> list[dg.AssetMaterialization]:
        """Return the materializations, from the latest to the first."""
        records = self.instance.fetch_materializations(self.key, limit=100).records
        return [each.asset_materialization for each in records if each.asset_materialization]

    def recorded_versions(self) -> list[str]:
        return [(each.tags or {})["dagster/data_version"] for each in self.recorded()]


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture(params=[None, "first"], ids=["whole", "partitioned"])
def landing(tmp_path: Path, instance: dg.DagsterInstance, request: pytest.FixtureRequest) -> Landing:
    return Landing(tmp_path, instance, request.param)


def test_a_new_version_is_written_and_recorded(landing: Landing) -> None:
    assert landing.run(
        "one", source_date=EARLY, row_count=3, schema=SCHEMA, metadata={"letters": 3, "site": None}
    ).success
    (recorded,) = landing.recorded()
    found = {name: value.value for name, value in recorded.metadata.items()}
    place = "made/first" if landing.partition else "made/whole"
    assert landing.objects() == {"one": b"content one"}
    assert recorded.partition == landing.partition
    assert found == {
        "path": f"file://{landing.folder}/lake/{place}/one",
        "object_key": f"{place}/one",
        "size": len(b"content one"),
        "dagster/row_count": 3,
        COLUMN_SCHEMA: SCHEMA,
        "letters": 3,
    }
    tags = recorded.tags or {}
    assert tags["dagster/data_version"] == "one"
    assert tags["dagster/data_version_is_user_provided"] == "true"
    assert (tags["school/archive_date"], tags["school/row_count"]) == ("2024-01-01", "3")
    assert {"school/columns", "school/landing_zone"} <= tags.keys()


def test_an_artifact_that_is_no_table_has_neither_rows_nor_columns(landing: Landing) -> None:
    landing.run("one")
    (recorded,) = landing.recorded()
    assert recorded.metadata.keys() == {"path", "object_key", "size"}
    assert not {"school/archive_date", "school/row_count", "school/columns"} & (recorded.tags or {}).keys()


@pytest.mark.parametrize("one_copy", [False, True], ids=["copies", "one copy"])
def test_an_unchanged_version_is_neither_written_nor_recorded(landing: Landing, *, one_copy: bool) -> None:
    landing.one_copy = one_copy
    landing.run("one")
    written = landing.times()
    assert landing.run("one").success
    assert landing.times() == written
    assert landing.recorded_versions() == ["one"]


def test_an_object_that_is_gone_is_written_and_recorded_again(landing: Landing) -> None:
    landing.run("one")
    (lost,) = landing.paths()
    lost.unlink()
    landing.run("one")
    assert landing.objects() == {"one": b"content one"}
    assert landing.recorded_versions() == ["one", "one"]


def test_a_version_that_comes_back_is_the_newest_object_again(landing: Landing) -> None:
    for version in ("one", "two", "one"):
        landing.run(version)
    times = landing.times()
    assert times["one"] > times["two"]
    assert landing.recorded_versions() == ["one", "two", "one"]


def test_a_single_object_always_has_the_latest_version(landing: Landing) -> None:
    landing.one_copy = True
    for version in ("one", "two", "one"):
        landing.run(version)
    assert list(landing.objects().values()) == [b"content one"]
    assert landing.recorded_versions() == ["one", "two", "one"]


@pytest.mark.parametrize("one_copy", [False, True], ids=["copies", "one copy"])
def test_a_run_that_died_before_recording_is_made_good(landing: Landing, *, one_copy: bool) -> None:
    landing.one_copy = one_copy
    landing.dies = True
    assert not landing.run("one").success
    assert list(landing.objects().values()) == [b"content one"]
    assert landing.recorded() == []
    written, landing.dies = landing.times(), False
    assert landing.run("one").success
    assert landing.times() == written
    assert landing.recorded_versions() == ["one"]


def test_another_landing_zone_knows_nothing_of_the_first(landing: Landing) -> None:
    landing.run("one")
    landing.zone = "other"
    landing.run("one")
    assert landing.objects() == {"one": b"content one"}
    assert landing.recorded_versions() == ["one", "one"]


def test_each_partition_has_versions_of_its_own(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    landing = Landing(tmp_path, instance, "first")
    for partition, version in (("first", "one"), ("second", "two"), ("first", "one")):
        landing.partition = partition
        landing.run(version)
    assert [each.partition for each in landing.recorded()] == ["second", "first"]


def test_an_earlier_file_does_not_undo_a_later_one(landing: Landing) -> None:
    landing.run("late", source_date=LATE)
    assert landing.run("early", source_date=EARLY).success
    assert landing.objects().keys() == {"late"}
    assert landing.recorded_versions() == ["late"]


@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")  # Dagster's own, in its helper for tests
def test_an_unchanged_version_starts_nothing_downstream(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    landing = Landing(tmp_path, instance)
    defs = dg.Definitions(assets=landing.assets())
    tick = dg.evaluate_automation_conditions(defs=defs, instance=instance)
    landing.run("one", everything=True)
    tick = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=tick.cursor)
    result = landing.run("one", everything=True)
    assert result.success
    assert [event.step_key for event in result.get_step_success_events()] == [landing.key.to_python_identifier()]
    assert [event.step_key for event in result.get_step_skipped_events()] == [
        landing.key_downstream.to_python_identifier()
    ]
    tick = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=tick.cursor)
    assert tick.total_requested == 0
    landing.run("two")
    tick = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=tick.cursor)
    assert tick.get_num_requested(landing.key_downstream) == 1

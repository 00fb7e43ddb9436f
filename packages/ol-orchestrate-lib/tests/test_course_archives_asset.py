"""The assets of course XML with what the library alone has: any landing zone, any code location."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from ol_orchestrate.assets.openedx_course_archives import courserun_metadata, extract_edxorg_courserun_metadata
from ol_orchestrate.io_managers.filepath import FileObjectIOManager
from ol_orchestrate.lib.course_content_keys import CourseKeys
from ol_orchestrate.lib.course_partition import CoursePartition, Site
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx.described_course import EXPORT_OUTPUTS
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.location_names import LocationNames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ol_orchestrate.testing.servers import S3Server

KEYS = CourseKeys("edxorg")
COURSE = CoursePartition("MITx-6.00x-2012_Fall", Site.EDGE)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def export(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    course = b'<course url_name="2012_Fall" org="MITx" course="6.00x"><chapter url_name="a"/></course>'
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, data in (("course.xml", course), *files):
            info = tarfile.TarInfo(f"course/{path}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def run(
    instance: dg.DagsterInstance,
    url: str,
    key: str,
    assets: dg.AssetsDefinition = extract_edxorg_courserun_metadata,
) -> dg.ExecuteInProcessResult:
    """Record an object as the course's XML, and run the assets for it."""
    courses = assets.partitions_def
    assert isinstance(courses, dg.DynamicPartitionsDefinition)
    instance.add_dynamic_partitions(str(courses.name), [COURSE.key()])
    [upstream] = {dep.asset_key for spec in assets.specs for dep in spec.deps}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(upstream, partition=COURSE.key(), metadata={"path": f"{url}/{key}"})
    )
    return dg.materialize(
        [assets],
        instance=instance,
        partition_key=COURSE.key(),
        resources={"s3file_io_manager": FileObjectIOManager(url=url)},
        run_config=QUIET,
        raise_on_error=False,
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def test_the_outputs_of_a_course_land_on_s3(
    instance: dg.DagsterInstance, moto_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{s3_bucket}/lake"
    store = open_store(url)
    store.write("in.tar.gz", export(("handouts/a.txt", b"a")))
    assert run(instance, url, "in.tar.gz").success
    keys = {each.key for each in store.list("edxorg/processed_data/")}
    assert len(keys) == len(EXPORT_OUTPUTS)
    manifest = store.find(KEYS.manifest("course_static_assets_manifest", COURSE), with_metadata=True)
    assert manifest is not None
    listing = f"{hashlib.sha256(b'a').hexdigest()}  handouts/a.txt\n"
    version = hashlib.sha256(listing.encode()).hexdigest()
    assert manifest.metadata["version"] == version
    assert KEYS.static_assets("course_static_assets", COURSE, version) in keys
    again = run(instance, url, "in.tar.gz")
    assert again.success
    assert not again.get_asset_materialization_events()


def test_a_course_without_rows_has_empty_outputs(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "in.tar.gz").write_bytes(export())
    result = run(instance, f"file://{tmp_path}", "in.tar.gz")
    assert result.success
    found = {
        event.materialization.asset_key.path[-1]: event.materialization.metadata
        for event in (each.step_materialization_data for each in result.get_asset_materialization_events())
    }
    assert set(found) == {output.name for output in EXPORT_OUTPUTS}
    assert found["course_video"]["dagster/row_count"].value == 0
    path = str(found["course_video"]["path"].value).removeprefix("file://")
    with open(path, "rb") as file:  # noqa: PTH123 - as it is recorded
        assert file.read() == b""


def test_the_assets_of_another_source_have_none_of_edx_orgs_names(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    courses = dg.DynamicPartitionsDefinition(name="school_courses")
    assets = courserun_metadata(LocationNames(location="campus", source="school", courses=courses))
    (tmp_path / "in.tar.gz").write_bytes(export(("handouts/a.txt", b"a")))
    result = run(instance, f"file://{tmp_path}", "in.tar.gz", assets)
    assert result.success
    assert assets.op.name == "extract_campus_courserun_metadata"
    assert {(spec.key.path[0], spec.group_name) for spec in assets.specs} == {("campus", "campus_course_content")}
    recorded = [event.materialization for event in result.get_asset_materialization_events()]
    assert len(recorded) == len(EXPORT_OUTPUTS)
    assert {each.metadata["source"].value for each in recorded} == {"school"}
    assert all(str(each.metadata["object_key"].value).startswith("school/processed_data/") for each in recorded)
    assert {name.partition("/")[0] for each in recorded for name in each.tags or {}} == {"dagster", "school"}
    assert "edxorg" not in repr(recorded)
    assert not run(instance, f"file://{tmp_path}", "in.tar.gz", assets).get_asset_materialization_events()


def test_a_failure_that_stays_is_tagged_with_the_source_of_the_location(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    courses = dg.DynamicPartitionsDefinition(name="school_courses")
    assets = courserun_metadata(LocationNames(location="campus", source="school", courses=courses))
    failed = instance.get_run_by_id(run(instance, f"file://{tmp_path}", "gone", assets).run_id)
    assert failed is not None
    assert failed.tags["school/permanent_failure"] == "until_mended"


MEASURED = """
import json, resource, sys
import dagster as dg
sys.path.insert(0, sys.argv[2])
from test_course_archives_asset import run
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with dg.instance_for_test() as instance:
    succeeded = run(instance, f"file://{sys.argv[1]}", "in.tar.gz").success
print(json.dumps([succeeded, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024]))
"""


def test_static_files_larger_than_their_memory_are_bundled(tmp_path: Path) -> None:
    """96 MB, in a process of its own, that must not need more than what one block and the rows take."""
    packed = tmp_path / "in.tar.gz"
    noise = hashlib.shake_128(b"").digest(1 << 20)  # does not compress, so that no limit on bombs is met
    write_course_with_static_file(packed, noise, megabytes=96)
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "ignore", "-c", MEASURED, str(tmp_path), __file__.rpartition("/")[0]],
        capture_output=True,
        text=True,
        check=True,
    )
    succeeded, used = json.loads(result.stdout.splitlines()[-1])
    assert succeeded
    assert used < 80 << 20
    assert sum(path.stat().st_size for path in tmp_path.rglob("course_static_assets/**/*.tar.gz")) > 90 << 20


def write_course_with_static_file(out: Path, block: bytes, *, megabytes: int) -> None:
    class Blocks(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), len(block))
            buffer[:size] = block[:size]
            return size

    with gzip.open(out, "wb", compresslevel=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        course = b'<course url_name="2012_Fall" org="MITx" course="6.00x"><chapter url_name="a"/></course>'
        for path, size, content in (
            ("course.xml", len(course), io.BytesIO(course)),
            ("handouts/film.bin", megabytes << 20, io.BufferedReader(Blocks(), len(block))),
        ):
            info = tarfile.TarInfo(f"course/{path}")
            info.size = size
            tar.addfile(info, content)


def test_the_keys_of_course_outputs_are_those_of_the_contract() -> None:
    assert KEYS.output("x") == "edxorg/processed_data/x"
    assert KEYS.structure_output("x", COURSE, "1") == "edxorg/processed_data/x/MITx-6.00x-2012_Fall|edge/1.json"
    assert KEYS.export_output("x", COURSE, "1") == "edxorg/processed_data/x/edge/MITx-6.00x-2012_Fall/1.json"
    assert KEYS.static_assets("x", COURSE, "1") == "edxorg/processed_data/x/edge/MITx-6.00x-2012_Fall/1.tar.gz"
    assert KEYS.manifest("x", COURSE) == "edxorg/processed_data/x/edge/MITx-6.00x-2012_Fall/manifest.json"


def test_a_name_with_a_slash_makes_no_key() -> None:
    forged = CoursePartition("../prod/MITx-6.00x-2012_Fall", Site.EDGE)
    with pytest.raises(BadInputError, match="without slashes"):
        KEYS.manifest("x", forged)
    with pytest.raises(BadInputError, match="without slashes"):
        KEYS.structure_output("x", forged, "1")

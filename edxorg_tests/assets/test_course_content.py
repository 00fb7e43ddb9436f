"""Course structures and course XML: what is made of them, when, and what is told where that fails."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.components.edxorg_location import build_definitions
from edxorg.definitions import defs
from edxorg.lib.object_keys import COURSE_STRUCTURE, COURSE_XML
from edxorg.lib.settings import Settings
from edxorg.samples.courses import LTI_PASSPORT
from edxorg.samples.sample_archive import write_sample_archive
from edxorg_tests.support.archives import times
from edxorg_tests.support.course_files import (
    COURSE,
    PARTITION,
    STRUCTURE_OUTPUTS,
    XML_OUTPUTS,
    Lake,
    asset_key,
    course_xml,
    recorded,
    structure,
    why_failed,
)
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Lake(tmp_path, instance)


def test_a_structure_becomes_two_outputs(lake: Lake) -> None:
    lake.bring(COURSE_STRUCTURE, structure())
    before = datetime.now(UTC)
    result = lake.flatten()
    assert result.success
    assert recorded(result) == set(STRUCTURE_OUTPUTS)
    for output, rows in (("flattened_course_structure", 1), ("course_blocks", 2)):
        ((key, content),) = lake.objects(output).items()
        found = lake.latest(output)
        assert key == f"{PARTITION}/{found['object_key'].rpartition('/')[2]}"
        assert found["dagster/row_count"] == rows == len(content.splitlines())
        assert (found["source_system"], found["course_id"], found["problems"]) == ("prod", COURSE, 0)
        row = json.loads(content.splitlines()[0])
        assert row["course_id"] == COURSE
        retrieved = datetime.fromisoformat(row["retrieved_at"])
        assert retrieved.utcoffset() is not None
        assert abs((before - retrieved).total_seconds()) < 60


def test_an_export_becomes_eight_outputs(lake: Lake) -> None:
    lake.bring(COURSE_XML, course_xml())
    result = lake.extract()
    assert result.success
    assert recorded(result) == set(XML_OUTPUTS)
    for output in XML_OUTPUTS[:6]:
        ((key, content),) = lake.objects(output).items()
        assert key.startswith(f"prod/{COURSE}/")
        assert key.endswith(".json")
        rows = [json.loads(line) for line in content.splitlines()]
        assert lake.latest(output)["dagster/row_count"] == len(rows)
        assert all(row["course_id"] == "course-v1:MITx+6.00x+2012_Fall" for row in rows)
    ((key, bundle),) = lake.objects("course_static_assets").items()
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        assert tar.getnames() == ["about/overview.html"]
    ((manifest_key, manifest),) = lake.objects("course_static_assets_manifest").items()
    assert manifest_key == f"prod/{COURSE}/manifest.json"
    assert key == f"prod/{COURSE}/{json.loads(manifest)['data_version']}.tar.gz"


def test_the_partition_tells_the_run_that_studio_called_course(lake: Lake) -> None:
    files = {"course.xml": b'<course url_name="course" org="MITx" course="6.00x"/>', "course/course.xml": b"<course/>"}
    lake.bring(COURSE_XML, course_xml(more=files))
    assert lake.extract().success
    ((_, content),) = lake.objects("course_metadata").items()
    row = json.loads(content)
    assert (row["course_id"], row["semester"]) == ("course-v1:MITx+6.00x+2012_Fall", "2012_Fall")


def test_the_same_again_writes_and_records_nothing(lake: Lake) -> None:
    for asset, content in ((COURSE_STRUCTURE, structure()), (COURSE_XML, course_xml())):
        lake.bring(asset, content)
    assert recorded(lake.flatten()) | recorded(lake.extract()) == {*STRUCTURE_OUTPUTS, *XML_OUTPUTS}
    written = times(lake.folder)
    lake.bring(COURSE_XML, gzip.compress(gzip.decompress(course_xml()), compresslevel=1, mtime=1))
    written |= {key: time for key, time in times(lake.folder).items() if "raw_data" in key}
    for result in (lake.flatten(), lake.extract()):
        assert result.success
        assert recorded(result) == set()
    assert times(lake.folder) == written


def test_only_what_changed_is_recorded(lake: Lake) -> None:
    lake.bring(COURSE_XML, course_xml())
    lake.extract()
    lake.bring(COURSE_XML, course_xml("Another title"))
    assert recorded(lake.extract()) == {"course_metadata", "course_xml_blocks"}
    lake.bring(COURSE_XML, course_xml("Another title", {"about/overview.html": b"<p>New</p>"}))
    assert recorded(lake.extract()) == {"course_static_assets", "course_static_assets_manifest"}
    assert len(lake.objects("course_static_assets_manifest")) == 1
    assert len(lake.objects("course_static_assets")) == 2


def test_content_that_comes_back_is_the_newest_again(lake: Lake) -> None:
    for title in ("A", "B", "A"):
        lake.bring(COURSE_STRUCTURE, structure(title))
        assert recorded(lake.flatten()) == set(STRUCTURE_OUTPUTS)
    newest = max((lake.folder / "edxorg/processed_data/course_blocks").rglob("*.json"), key=lambda p: p.stat().st_mtime)
    assert json.loads(newest.read_bytes().splitlines()[0])["course_title"] == "A"
    assert newest.name == lake.latest("course_blocks")["object_key"].rpartition("/")[2]


def test_an_object_that_is_gone_is_made_again(lake: Lake) -> None:
    lake.bring(COURSE_STRUCTURE, structure())
    lake.flatten()
    (gone,) = (lake.folder / "edxorg/processed_data/course_blocks").rglob("*.json")
    gone.unlink()
    assert recorded(lake.flatten()) == {"course_blocks"}
    assert gone.exists()


def test_a_broken_file_is_told_and_the_rest_delivered(lake: Lake) -> None:
    lake.bring(COURSE_XML, course_xml(more={"html/bad.xml": b"<html>\n<p"}))
    result = lake.extract()
    assert result.success
    found = lake.latest("course_xml_blocks")
    assert found["problems"] == 1
    assert "course/html/bad.xml:2:" in found["list of problems"]
    logged = [entry for entry in lake.instance.all_logs(result.run_id) if "html/bad.xml" in entry.user_message]
    assert [entry.level for entry in logged] == [30]
    assert len(recorded(result)) == len(XML_OUTPUTS)


def test_children_that_are_not_there_are_listed(lake: Lake) -> None:
    lake.bring(COURSE_XML, course_xml(more={"chapter/c.xml": b'<chapter><html url_name="gone"/></chapter>'}))
    assert lake.extract().success
    found = lake.latest("course_xml_blocks")
    assert found["missing_children"] == 1
    assert found["list of missing children"] == '| child |\n| --- |\n| &#60;html url_name="gone"/&#62; |'
    document = structure().replace(b'"children": []', b'"children": ["block-v1:gone"]')
    lake.bring(COURSE_STRUCTURE, document)
    assert lake.flatten().success
    found = lake.latest("course_blocks")
    assert found["missing_children"] == 1
    assert found["list of missing children"] == "| child |\n| --- |\n| block-v1:gone |"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no archive", "this is no gzip file, but text"),
        (gzip.compress(b"", mtime=0), "no course export"),
        (course_xml()[:-40], "truncated"),
    ],
)
def test_an_export_that_is_no_course_fails_for_good_and_names_it(lake: Lake, content: bytes, said: str) -> None:
    lake.bring(COURSE_XML, content)
    result = lake.extract()
    assert not result.success
    reason = why_failed(result)
    assert said in reason
    assert f"edxorg/raw_data/course_xml/prod/{COURSE}/" in reason
    assert "\n" not in reason
    assert recorded(result) == set()
    assert not (lake.folder / "edxorg/processed_data").exists()
    assert_permanent(lake, result)


def assert_permanent(lake: Lake, result: dg.ExecuteInProcessResult, tag: str = "true") -> None:
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    run = lake.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["edxorg/permanent_failure"] == tag
    assert run.tags["dagster/retry_on_asset_or_op_failure"] == "false"


def test_a_structure_that_is_none_fails_for_good(lake: Lake) -> None:
    lake.bring(COURSE_STRUCTURE, b'{"root": "x", "blocks": {}}')
    result = lake.flatten()
    assert "has the shape of the course blocks API" in why_failed(result)
    assert_permanent(lake, result)


@pytest.mark.parametrize("outputs", [STRUCTURE_OUTPUTS, XML_OUTPUTS])
def test_a_course_whose_file_was_never_delivered_says_so(lake: Lake, outputs: list[str]) -> None:
    lake.instance.add_dynamic_partitions("course_and_source", [PARTITION])
    result = lake.run(outputs)
    reason = why_failed(result)
    assert "has no materialization for partition 'MITx-6.00x-2012_Fall|prod'" in reason
    assert "\n" not in reason
    assert_permanent(lake, result, "until_mended")


def test_a_file_that_is_gone_is_named(lake: Lake) -> None:
    lake.bring(COURSE_XML, course_xml())
    (gone,) = (path for path in (lake.folder / COURSE_XML).rglob("*") if path.is_file())
    gone.unlink()
    result = lake.extract()
    assert gone.name in why_failed(result)
    assert "does not exist" in why_failed(result)
    assert_permanent(lake, result, "until_mended")


@pytest.mark.parametrize("partition", ["no course", "a/../b|prod"])
def test_a_partition_that_is_no_course_is_refused(lake: Lake, partition: str) -> None:
    lake.bring(COURSE_STRUCTURE, structure(), partition)
    result = lake.flatten(partition)
    assert "course" in why_failed(result)
    assert_permanent(lake, result)


def test_the_file_name_form_of_a_course_is_in_the_keys(lake: Lake) -> None:
    partition = "MITx-8.01x-2T2017-A-ccx-12|edge"
    lake.bring(COURSE_XML, course_xml(), partition)
    lake.bring(COURSE_STRUCTURE, structure(), partition)
    assert lake.extract(partition).success
    assert lake.flatten(partition).success
    assert next(iter(lake.objects("course_video"))).startswith("edge/MITx-8.01x-2T2017-A-ccx-12/")
    ((key, content),) = lake.objects("course_blocks").items()
    assert key.startswith(f"{partition}/")
    assert json.loads(content.splitlines()[0])["source_system"] == "edge"


def test_a_secret_is_in_nothing_that_is_made_or_recorded(lake: Lake, tmp_path: Path) -> None:
    """From a sample archive on, where every course has its passports in the structure, the XML and the policy."""
    name = "mitx-2024-01-31.tar.gz"
    (tmp_path / "archives").mkdir()
    write_sample_archive(tmp_path / "archives" / name, courses=2, rows_per_course=10, seed=0)
    settings = Settings(archive_url=f"file://{tmp_path}/archives", landing_zone_url=lake.url)
    raw_data_archives(settings).register(lake.instance, open_store(settings.archive_url).read(name).info)
    job = build_definitions(settings).resolve_job_def("retrieve_edxorg_raw_data")
    assert job.execute_in_process(instance=lake.instance, partition_key=name).success
    partitions = lake.instance.get_dynamic_partitions("course_and_source")
    assert len(partitions) == 2
    for partition in partitions:
        assert lake.flatten(partition).success
        assert lake.extract(partition).success
    secret = LTI_PASSPORT.split(":")[2].encode()
    raw = [path for path in (lake.folder / COURSE_STRUCTURE).rglob("*.json") if secret in path.read_bytes()]
    assert len(raw) == 2, "the secret is where it comes from, or this test shows nothing"
    made = [path for path in (lake.folder / "edxorg/processed_data").rglob("*") if path.is_file()]
    objects = [path for path in made if not path.name.startswith(".")]
    forums = [path for path in objects if "forum_posts" in path.parts]
    assert len(objects) - len(forums) == 2 * (len(STRUCTURE_OUTPUTS) + len(XML_OUTPUTS))
    for path in made:
        content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
        assert secret not in content, path
    stored = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(lake.folder)]
    databases = [path for path in stored if ".db" in path.name]
    assert databases
    for path in stored:
        assert path.name == name or secret not in path.read_bytes(), path


def test_every_output_may_be_unchanged_and_one_of_each_step_asks_for_all() -> None:
    automated = {"flattened_course_structure", "course_xml_blocks"}
    for output in (*STRUCTURE_OUTPUTS, *XML_OUTPUTS):
        spec = next(spec for spec in defs.resolve_all_asset_specs() if spec.key == asset_key(output))
        assert (spec.automation_condition is not None) == (output in automated)
        assert spec.skippable
        assert spec.group_name == "edxorg_course_content"
        assert spec.description

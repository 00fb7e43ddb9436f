"""Courses in a landing zone on a folder, as the archive job records them, and runs of the assets made of them."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from edxorg.assets.course_content import course_structure_rows
from edxorg.assets.edxorg_archive import archive_members, course_exports
from edxorg.lib.object_keys import COURSE_KEYS
from edxorg.location import EDXORG
from edxorg_tests.support.archives import tar_bytes
from edxorg_tests.support.location import QUIET
from ol_orchestrate.assets.openedx_course_archives import extract_edxorg_courserun_metadata
from ol_orchestrate.io_managers.filepath import FileObjectIOManager
from ol_orchestrate.landing.records import metadata_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

dummy_edxorg_course_structure, dummy_edxorg_course_xml = archive_members(), course_exports()
flatten_edxorg_course_structure = course_structure_rows()

COURSE = "MITx-6.00x-2012_Fall"
PARTITION = f"{COURSE}|prod"
STRUCTURE_OUTPUTS = ["flattened_course_structure", "course_blocks"]
XML_OUTPUTS = [
    "course_metadata",
    "course_video",
    "course_policy",
    "course_certificate_signatory",
    "course_grading_policy",
    "course_xml_blocks",
    "course_static_assets",
    "course_static_assets_manifest",
]


def structure(title: str = "A course") -> bytes:
    """A structure of two blocks."""
    usage = "block-v1:MITx+6.00x+2012_Fall+type@{}+block@{}"
    course, chapter = usage.format("course", "course"), usage.format("chapter", "one")
    metadata = {"display_name": title, "lti_passports": ["a:b:SECRET"]}
    document = {
        course: {"category": "course", "children": [chapter], "metadata": metadata},
        chapter: {"category": "chapter", "children": [], "metadata": {}},
    }
    return json.dumps(document).encode()


def course_xml(title: str = "A course", more: dict[str, bytes] | None = None) -> bytes:
    """An export of two blocks."""
    files = {
        "course.xml": b'<course url_name="2012_Fall" org="MITx" course="6.00x"/>',
        "course/2012_Fall.xml": f'<course display_name="{title}"><video url_name="v"/></course>'.encode(),
        "video/v.xml": b'<video edx_video_id="id"/>',
        "about/overview.html": b"<p>About</p>",
        "policies/2012_Fall/policy.json": b'{"course/2012_Fall": {"tags": ["x"], "lti_passports": ["a:b:SECRET"]}}',
    }
    return gzip.compress(tar_bytes({f"course/{path}": data for path, data in (files | (more or {})).items()}), mtime=0)


class Lake:
    """The assets of courses over a landing zone on a folder, with an instance of its own."""

    def __init__(
        self, folder: Path, instance: dg.DagsterInstance, *more: dg.AssetsDefinition, **resources: object
    ) -> None:
        self.instance = instance
        self.folder = folder / "lake"
        self.url = f"file://{self.folder}"
        defs = dg.Definitions(
            assets=[
                dummy_edxorg_course_structure,
                flatten_edxorg_course_structure,
                dummy_edxorg_course_xml,
                extract_edxorg_courserun_metadata,
                *more,
            ],
            resources={"s3file_io_manager": FileObjectIOManager(url=self.url), **resources},
            executor=dg.in_process_executor,
        )
        self._job = defs.resolve_implicit_global_asset_job_def()

    def bring(self, asset: str, content: bytes, partition: str = PARTITION, day: date | None = None) -> None:
        """Write and record a course's file, as the archive job does."""
        version = hashlib.sha256(content).hexdigest()
        course_id, _, site = partition.rpartition("|")
        key = f"{asset}/{site}/{course_id}/{version}"
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.instance.add_dynamic_partitions("course_and_source", [partition])
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                dg.AssetKey.from_user_string(asset),
                partition=partition,
                metadata=metadata_of(self.url, key, len(content)),
                tags=EDXORG.tags.of(version, self.url, source_date=day),
            )
        )

    def run(self, outputs: list[str], partition: str = PARTITION) -> dg.ExecuteInProcessResult:
        """Run the assets of these outputs for a course."""
        return self.run_assets({asset_key(output) for output in outputs}, partition)

    def run_assets(
        self, keys: set[dg.AssetKey], partition: str = PARTITION, *, tags: Mapping[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        return self._job.get_subset(asset_selection=keys).execute_in_process(
            instance=self.instance,
            partition_key=partition,
            tags=tags,
            raise_on_error=False,
            run_config=QUIET,
        )

    def flatten(self, partition: str = PARTITION) -> dg.ExecuteInProcessResult:
        return self.run(STRUCTURE_OUTPUTS, partition)

    def extract(self, partition: str = PARTITION) -> dg.ExecuteInProcessResult:
        return self.run(XML_OUTPUTS, partition)

    def objects(self, output: str) -> dict[str, bytes]:
        """Keys below the output's own, and contents."""
        folder = self.folder / COURSE_KEYS.output(output)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def latest(self, output: str, partition: str = PARTITION) -> dict[str, Any]:
        """Metadata of the latest materialization."""
        filters = dg.AssetRecordsFilter(asset_key=asset_key(output), asset_partitions=[partition])
        (record,) = self.instance.fetch_materializations(filters, limit=1).records
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def asset_key(output: str) -> dg.AssetKey:
    return dg.AssetKey.from_user_string(COURSE_KEYS.output(output))


def recorded(result: dg.ExecuteInProcessResult) -> set[str]:
    """The outputs that a run recorded."""
    keys = [event.asset_key for event in result.get_asset_materialization_events()]
    return {key.path[-1] for key in keys if key is not None}


def why_failed(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    return failure.description or ""

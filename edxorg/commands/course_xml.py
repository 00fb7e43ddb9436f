"""Inspects and ingests the export of one course."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.table import Column, Table

from edxorg.commands import console, homes, runs
from edxorg.lib.members import EDX_NAMING, CourseName, MemberKind, identify
from edxorg.lib.object_keys import COURSE_KEYS, COURSE_XML
from edxorg.lib.progress import Progress
from edxorg.lib.settings import COURSE_XML_MAX_RATIO
from ol_orchestrate.lib.archives import gunzip
from ol_orchestrate.lib.course_partition import CoursePartition
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx import Course, RatioLimit, StaticAssets, course_outputs, read_course
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.tar import tar_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

    from edxorg.commands.runs import SourceUrl
    from edxorg.lib.settings import Settings
    from ol_orchestrate.lib.stores import SourceInfo, VerifiedReader

LOOKED_AT = 100
"""Number of an archive's first entries that are searched; an export of a course has XML among them."""


class Export(NamedTuple):
    """The export of a course, read once.

    Attributes:
        info: The store's description of the file.
        named: The course and site that its name tells; None if it is not named as edX names exports.
        sha256: SHA-256 of its bytes.
        static_files: Number of files that are not XML.
    """

    info: SourceInfo
    named: CoursePartition | None
    sha256: str
    course: Course
    static_files: int

    @classmethod
    def read(cls, reader: VerifiedReader, settings: Settings, *, quiet: bool) -> Export:
        """Read an export, with a progress bar unless `quiet`.

        Raises:
            CourseExportError: The file is no export of a course.
        """
        digest = hashlib.sha256()

        def watched(bar: console.Bar) -> Iterator[bytes]:
            count = 0
            for block in reader:
                digest.update(block)
                count += len(block)
                bar.progress(Progress(count, reader.info.size, items=0, rows=0))
                yield block

        name = reader.info.url.rpartition("/")[2]
        member = identify(name)
        named = member.course if member.kind is MemberKind.COURSE_XML else None
        with console.progress_bar(name, reader.info.size, quiet=quiet) as bar, StaticAssets() as static_assets:
            course = read_course(
                watched(bar),
                name=reader.info.url,
                course_id=named.course_id if named else None,
                static_assets=static_assets,
                ratio_limit=RatioLimit(settings.course_xml_max_ratio, COURSE_XML_MAX_RATIO),
            )
            return cls(reader.info, named, digest.hexdigest(), course, static_assets.manifest()["file_count"])

    def partition(self) -> CoursePartition:
        """Return the course and site that the file's name tells, or else the export.

        Raises:
            BadInputError: The course key in the export is not safe in object keys.
        """
        if self.named:
            return self.named
        course_id = f"{self.course.org}-{self.course.number}-{self.course.run}"
        try:
            CourseName.parse(course_id)
        except ValueError as error:
            raise BadInputError(f"{self.info.url}: {error}") from None
        return CoursePartition(course_id, EDX_NAMING.default_site)

    def summary(self) -> dict[str, Any]:
        """Return the counts for programs."""
        course = self.course
        outputs = course_outputs(course, source_system=self.partition().site)
        return {
            "url": self.info.url,
            "course_id": course.course_id,
            "partition": self.partition().key(),
            "blocks": dict(Counter(block.key.block_type for block in course.blocks).most_common()),
            "rows": {name: sum(1 for _ in output.rows()) for name, output in outputs.items()},
            "static_files": self.static_files,
            "missing_children": len(course.missing),
            "problems": [str(problem) for problem in course.problems],
        }


def is_export(source: SourceUrl, settings: Settings) -> bool:
    """Return True for the export of a course: XML is among its first entries, and no member of a weekly archive is."""
    if settings.archive_name.date_in(source.name):
        return False
    try:
        for entry in islice(tar_entries(gunzip(runs.open_source(source, settings))), LOOKED_AT):
            if entry.name.endswith(".xml"):
                return True
            if identify(entry.name, entry=entry.type).course:
                return False
    except BadInputError:
        pass  # reading it whole reports the defect
    return source.name.endswith(".xml.tar.gz")


def inspect(reader: VerifiedReader, settings: Settings, *, as_json: bool) -> None:
    """Print the counts of an export."""
    export = Export.read(reader, settings, quiet=as_json)
    summary = export.summary()
    if as_json:
        click.echo(json.dumps(summary))
        return
    console.out.print(f"{summary['course_id']}, partition {summary['partition']}", markup=False, highlight=False)
    table = Table("block", Column("number", justify="right"))
    for block_type, count in summary["blocks"].items():
        table.add_row(block_type, f"{count:,}")
    console.out.print(table)
    table = Table("output", Column("rows", justify="right"))
    for name, rows in summary["rows"].items():
        table.add_row(name, f"{rows:,}")
    console.out.print(table)
    console.out.print(f"{export.static_files:,} static files; {len(export.course.missing):,} children are not in it")
    _show_problems(summary["problems"])


def ingest(source: SourceUrl, settings: Settings, *, as_json: bool) -> bool:
    """Run the assets of course XML for one export; return True if all succeeded."""
    export = Export.read(runs.open_source(source, settings), settings, quiet=as_json)
    runs.check_landing_zone(settings)
    summary, info, sha256 = export.summary(), export.info, export.sha256
    partition = summary["partition"]
    del export  # the run reads the course again, and two of them may be more than the memory holds

    from ol_orchestrate.lib.openedx.described_course import EXPORT_OUTPUTS  # noqa: PLC0415 - `--help` can do without

    with console.loading("Starting Dagster"):
        from edxorg.components.edxorg_location import build_definitions  # noqa: PLC0415
        from edxorg.location import location_names  # noqa: PLC0415

    location = location_names(settings.name)
    keys = [location.key(COURSE_KEYS.output(output.name)) for output in EXPORT_OUTPUTS]
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    outputs = job.get_subset(asset_selection=set(keys))
    runs.make_landing_zone(settings)
    with homes.dagster_instance() as instance, console.err.status(f"Making the outputs of {partition} …"):
        _register(instance, info, sha256, partition, settings)
        reasons = runs.run_job(outputs, instance, partition)
        landed = {} if reasons else _landed(instance, keys, partition)
    if as_json:
        result = {"succeeded": not reasons, "reasons": reasons, "objects": landed}
        click.echo(json.dumps({**summary, **result}))
        return not reasons
    for key in landed.values():
        console.out.print(key, markup=False, highlight=False, soft_wrap=True)
    _show_problems(summary["problems"])
    for reason in reasons:
        click.echo(f"Error: {reason}", err=True)
    return not reasons


def _register(instance: dg.DagsterInstance, info: SourceInfo, sha256: str, partition: str, settings: Settings) -> None:
    """Record the export at its URL as the course's XML, unless it was recorded last."""
    import dagster as dg  # noqa: PLC0415

    from edxorg.location import location_names  # noqa: PLC0415
    from ol_orchestrate.io_managers.filepath import recorded_path  # noqa: PLC0415
    from ol_orchestrate.landing.batch import add_partitions  # noqa: PLC0415
    from ol_orchestrate.landing.records import latest_recorded  # noqa: PLC0415

    location, landing_zone = location_names(settings.name), settings.landing_zone_url
    asset = location.key(COURSE_XML)
    add_partitions(instance, location.courses, [partition])
    known = latest_recorded(instance, asset, landing_zone, location.tags, [partition]).get(partition)
    same_version = known is not None and known.version == sha256
    if same_version and recorded_path(instance, asset, partition) == info.url:
        return
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset,
            partition=partition,
            metadata={"path": info.url, "size": info.size, "source": "edxorg ingest course-xml"},
            tags=location.tags.of(sha256, landing_zone),
        )
    )


def _landed(instance: dg.DagsterInstance, outputs: list[dg.AssetKey], partition: str) -> dict[str, str]:
    """Return the URLs of the outputs, unchanged ones included."""
    from ol_orchestrate.io_managers.filepath import recorded_path  # noqa: PLC0415

    paths = {key.path[-1]: recorded_path(instance, key, partition) for key in sorted(outputs)}
    return {name: path for name, path in paths.items() if path is not None}


def _show_problems(problems: list[str]) -> None:
    for problem in first_and_more(problems, console.LISTED):
        console.out.print(problem, style="yellow", markup=False, highlight=False, soft_wrap=True)

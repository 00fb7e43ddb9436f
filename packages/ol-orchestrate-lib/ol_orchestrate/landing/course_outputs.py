"""The steps that all assets made of a course's files share: to find the file, to read it, and to land the outputs.

Each asset runs for one course, so that one course's failure is its own.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

import dagster as dg

from ol_orchestrate import long_tags
from ol_orchestrate.automation import on_new_version, watched_asset
from ol_orchestrate.described import described
from ol_orchestrate.each_alone import EachAlone
from ol_orchestrate.failures import failure_of_partitions
from ol_orchestrate.landing.batch import others_wait, record, record_attempts
from ol_orchestrate.landing.land import Artifact, land
from ol_orchestrate.landing.records import latest_recorded, latest_records, latest_versions
from ol_orchestrate.landing.unchanged import record_unchanged
from ol_orchestrate.landing_zone import landing_zone
from ol_orchestrate.lib import markdown
from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.course_partition import CoursePartition
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx import CODE_VERSION
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.versions import Recorded, VersionedObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ol_orchestrate.lib.dictionary import Output
    from ol_orchestrate.lib.openedx import JsonLines, Problem, Reference
    from ol_orchestrate.lib.stores import ObjectStore, VerifiedReader
    from ol_orchestrate.lib.versions import SingleObject
    from ol_orchestrate.location_names import LocationNames


def output_specs(
    outputs: Iterable[Output], *, made_of: str, automated: str, location: LocationNames, follow_code: bool
) -> list[dg.AssetSpec]:
    """Return the specs of the assets that one step makes.

    Args:
        outputs: The outputs of the step.
        made_of: The asset whose file they are made of.
        automated: The output with the automation condition; the others run along with it. Conditions of all would be
            evaluated one after the other, and the later ones would request a run again that ended in between. Choose an
            output that seldom stays as it was, since Dagster takes it for failed from a failure to its next record.
        location: The names of the location.
        follow_code: True if automation makes all courses again when `CODE_VERSION` changes.
    """
    automation = on_new_version(follow_code=follow_code)
    return [
        described(
            dg.AssetSpec(
                location.key(location.course_keys.output(output.name)),
                group_name=location.group("course_content"),
                deps=[location.key(made_of)],
                partitions_def=location.courses,
                automation_condition=automation if output.name == automated else None,
                code_version=CODE_VERSION,
                skippable=True,  # nothing is recorded of an output that is as it was
            ),
            output,
        )
        for output in outputs
    ]


@dataclass(frozen=True, slots=True)
class _Records:
    """The latest records of some courses, read together, as each query of Postgres has a connection of its own.

    Attributes:
        files: The records of the files, by partition.
        outputs: The recorded versions of outputs, by asset and partition.
    """

    files: Mapping[str, dg.EventLogRecord]
    outputs: Mapping[dg.AssetKey, Mapping[str, Recorded]]


MORE_COURSES = "more_courses"
"""Name of the tags of a run with the partitions that it has beside its own, as `long_tags` writes them. Dagster gives a
run one partition or a range."""

COURSES_AT_ONCE = 25
"""Courses whose outputs are recorded together, if a run has several; a run that is killed loses no more."""


def tags_of_courses(more: Sequence[str]) -> dict[str, str]:
    """Return the tags of a run that has more courses than its own partition."""
    return long_tags.split(MORE_COURSES, list(more)) if more else {}


def more_courses(tags: Mapping[str, str]) -> list[str]:
    """Return the courses that a run has beside its own partition."""
    return list(long_tags.joined(MORE_COURSES, tags) or ())


def each_course(
    context: dg.AssetExecutionContext, made_of: str, location: LocationNames, work: Callable[[CourseOutputs], None]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetMaterialization]:
    """Do the work for each course of the run, and record its outputs.

    A run has one course, or several, each of which fails alone: its own partition, a range of them, or those that the
    tags `MORE_COURSES` name beside it.

    Args:
        context: The context of the step.
        made_of: The asset whose files the outputs are made of.
        location: The names of the location.
        work: Lands the outputs of one course.

    Yields:
        What the step has to yield. Of several courses, nearly all is recorded in batches instead.
    """
    own = context.partition_keys
    courses = list(dict.fromkeys([*own, *more_courses(context.run.tags)]))
    if len(courses) == 1:
        before = _records(context, made_of, location, courses)
        with CourseOutputs(context, made_of, location, courses[0], before) as outputs:
            work(outputs)
            context.log.info("%s", outputs)
            for result in outputs.new:
                with others_wait(context.instance):
                    yield result
        yield from record_unchanged(context, courses)
        return
    # Dagster knows the run's own partition only. Conditions and checks have to see that the others are at work too, and
    # failed if the run dies, however that happens.
    more = [course for course in courses if course not in set(own)]
    record_attempts(context.op_execution_context, watched_asset(context.assets_def), more)
    several = _SeveralCourses(context, made_of, location, work, EachAlone(context.log))
    for some in batched(courses, COURSES_AT_ONCE):
        yield from several.land(some)
        # One line for all of them, as Dagster takes 3 to 20 ms to store a line.
        context.log.info("%s\n%s", several.progress(len(courses)), "\n".join(several.landed))
    failed = several.courses.failed
    yield from record_unchanged(context, courses, failed)
    if failed:
        raise failure_of_partitions(failed, len(courses), "courses")


@dataclass(slots=True)
class _SeveralCourses:
    """A run over several courses.

    Attributes:
        courses: The courses that failed, and why.
        landed: What has landed last, in words.
    """

    context: dg.AssetExecutionContext
    made_of: str
    location: LocationNames
    work: Callable[[CourseOutputs], None]
    courses: EachAlone
    landed: Sequence[str] = ()
    _done: int = 0

    def land(self, courses: Sequence[str]) -> Iterator[dg.AssetMaterialization]:
        """Land the outputs of some courses, and record them asset by asset."""
        new: dict[str, list[dg.AssetMaterialization]] = {}
        self.landed = []
        waiting = list(courses)
        # A file that came meanwhile has its turn at once: the run that it asks for may be over before this one records.
        while waiting:
            before = self._versions(waiting)
            records = _records(self.context, self.made_of, self.location, waiting)
            for course in waiting:
                new[course] = self._land_one(course, records)
            after = self._versions(waiting)
            waiting = [course for course in waiting if before.get(course) != after.get(course)]
        for asset in sorted(self.context.selected_asset_keys):
            of_asset = [each for of_course in new.values() for each in of_course if each.asset_key == asset]
            yield from record(self.context.op_execution_context, of_asset, iter)
        self._done += len(courses)

    def progress(self, courses: int) -> str:
        """Say how far the run is."""
        return f"{self._done:,} of {courses:,} courses, {len(self.courses.failed):,} of them failed"

    def _versions(self, courses: Sequence[str]) -> dict[str, str]:
        return latest_versions(self.context.instance, self.location.key(self.made_of), courses)

    def _land_one(self, course: str, records: _Records) -> list[dg.AssetMaterialization]:
        new: list[dg.AssetMaterialization] = []
        if self.courses.may_try(course):
            with (
                self.courses.trying(course),
                CourseOutputs(self.context, self.made_of, self.location, course, records) as outputs,
            ):
                self.work(outputs)
                self.landed = [*self.landed, str(outputs)]
                new = [
                    dg.AssetMaterialization(
                        cast("dg.AssetKey", each.asset_key), partition=course, metadata=each.metadata, tags=each.tags
                    )
                    for each in outputs.new
                ]
        return new


def _records(
    context: dg.AssetExecutionContext, made_of: str, location: LocationNames, courses: Sequence[str]
) -> _Records:
    """Return the latest records of some courses, in two queries for each output and for the files."""
    url = landing_zone(context).store().url
    outputs = {
        asset: latest_recorded(context.instance, asset, url, location.tags, courses)
        for asset in context.selected_asset_keys
    }
    return _Records(latest_records(context.instance, location.key(made_of), courses), outputs)


class CourseOutputs:
    """A run over one course: its file, and the outputs that land. A context manager.

    All outputs land before the first of them is recorded, so that all have failed in a run that fails.

    Attributes:
        new: The results that the run has to record, once all outputs have landed.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        made_of: str,
        location: LocationNames,
        partition: str,
        records: _Records,
    ) -> None:
        """Find the latest file of a partition.

        Args:
            context: The context of the step, which needs the resource `LANDING_ZONE`.
            made_of: The asset whose file this is.
            location: The names of the location.
            partition: The course.
            records: The latest records, among them those of the partition.

        Raises:
            BadInputError: The partition is no course.
            MissingObjectError: There is no such file.
        """
        self._context = context
        self._partition = partition
        self._recorded = records.outputs
        self.course = course_of(partition)
        self._location = location
        self.keys = location.course_keys
        upstream = location.key(made_of)
        zone = landing_zone(context)
        file = records.files.get(partition)
        latest = file.asset_materialization if file else None
        self._path = zone.find(context.instance, upstream, partition, latest=latest)
        self._retrieved_at = _time_of(file, upstream, partition)
        self.store: ObjectStore = zone.store()
        self._problems: Sequence[Problem] = ()
        self._missing: Sequence[Reference[Any]] = ()
        self._spools = ExitStack()
        self.new: list[dg.MaterializeResult[None]] = []
        self._landed: list[str] = []

    @contextmanager
    def open(self) -> Iterator[tuple[VerifiedReader, str]]:
        """Yield the blocks of the file, and its name for messages.

        Before an error blames the content, all bytes are compared with the store's checksum.

        Raises:
            SourceChangedError: The bytes are not those of the store.
        """
        reader = self._path.store.read(self._path.key)
        try:
            yield reader, str(self._path)
        except BadInputError:
            reader.drain()
            raise

    def report(self, problems: Sequence[Problem], missing: Sequence[Reference[Any]]) -> None:
        """Let the log and all outputs name the unusable parts of the file, and the children that it lacks."""
        self._problems, self._missing = problems, missing
        for problem in first_and_more(problems):
            self._context.log.warning("%s", problem)

    def spool(self) -> Spool:
        """Make a spool for an output, which is closed when the run is over."""
        spool = Spool()
        self._spools.callback(spool.close)
        return spool

    def land_rows(self, output: JsonLines, key_of: Callable[[str, CoursePartition, str], str]) -> None:
        """Land rows as JSON lines."""
        spool = self.spool()
        rows = 0
        for chunk in output.chunks(self._retrieved_at):
            spool.write(chunk)
            rows += chunk.endswith(b"\n")
        versions = VersionedObjects(self.store, partial(key_of, output.name, self.course))
        self.land(output.name, output.data_version(), spool, to=versions, row_count=rows)

    def land(
        self,
        output: str,
        version: str,
        content: Spool,
        *,
        to: VersionedObjects | SingleObject,
        row_count: int | None = None,
    ) -> None:
        """Land an output."""
        asset = self._location.key(self.keys.output(output))
        result = land(
            asset,
            Artifact(version=version, content=content.reader(), row_count=row_count, metadata=self._metadata()),
            self._recorded[asset].get(self._partition),
            to=to,
            tags=self._location.tags,
        )
        self._landed.append(f"{output} ({content.size:,} bytes, {'new' if result else 'as before'})")
        if result:
            self.new.append(result)

    def __str__(self) -> str:
        """Say what has landed."""
        return f"{self._partition}: {', '.join(self._landed)}"

    def _metadata(self) -> dict[str, Any]:
        problems = [str(problem) for problem in self._problems]
        missing = [str(reference.child) for reference in self._missing]
        return {
            "source": self._location.source,
            "source_system": self.course.site.value,
            "course_id": self.course.course_id,
            "made_of": str(self._path),
            "retrieved_at": self._retrieved_at,
            "problems": len(self._problems),
            "list of problems": dg.MetadataValue.md(markdown.listing("problem", problems)) if problems else None,
            "missing_children": len(self._missing),
            "list of missing children": dg.MetadataValue.md(markdown.listing("child", missing)) if missing else None,
        }

    def __enter__(self) -> Self:
        """Return the run itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the memory and the disk space."""
        self._spools.close()


def course_of(partition: str) -> CoursePartition:
    """Return the course of a partition.

    Raises:
        BadInputError: The partition is no course.
    """
    try:
        return CoursePartition.parse(partition)
    except ValueError as error:
        raise BadInputError(f"{error}. Delete the partition, or run another one") from None


def _time_of(record: dg.EventLogRecord | None, asset: dg.AssetKey, partition: str) -> str:
    """Return the time of a record, ISO 8601 in UTC."""
    if record is None:
        raise ValueError(f"{asset.to_user_string()} has no record of {partition!r}")
    return datetime.fromtimestamp(record.timestamp, UTC).isoformat()

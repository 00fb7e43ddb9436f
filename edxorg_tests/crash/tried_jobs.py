"""The jobs that are tried, each with its inputs and the runs that are killed."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.job_names import REPORTS_JOB
from edxorg.lib.settings import Settings
from edxorg.samples.encryption import Recipient, make_keys
from edxorg_tests.crash.trial import Run, Trial
from edxorg_tests.support.archives import TABLE, table_name, tar_bytes
from edxorg_tests.support.course_files import STRUCTURE_OUTPUTS, XML_OUTPUTS, asset_key, course_xml, structure
from edxorg_tests.support.location import QUIET
from ol_orchestrate.landing.course_outputs import tags_of_courses
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import dagster as dg

    from edxorg.source_files import SourceFiles
    from edxorg_tests.crash.places import Servers

COURSES = 6

LONG_TABLE_ROWS = 11_000
"""Of 400 bytes: a worker is sent the table as a stream, and uploads what becomes of it in parts."""


class Tried:
    """The location over the place of a trial."""

    def __init__(self, trial: Trial, **settings: Any) -> None:  # noqa: ANN401 - settings
        url = trial.place.url
        self.place = trial.place
        self.settings = Settings(
            archive_url=url("archives"),
            landing_zone_url=url("lake"),
            program_reports_url=url("reports"),
            program_reports_profile="",
            program_reports_destination_url=url("copies"),
            catalogue_number=10,
            workers=2,
            **settings,
        )
        self.definitions = build_definitions(self.settings)

    def archive_run(self, name: str, members: Mapping[str, bytes], pack: Callable[..., bytes], **more: Any) -> Run:  # noqa: ANN401
        """Return a run of the archive job."""
        begin = partial(self._put, f"archives/{name}", pack, members)
        return Run(
            begin,
            partial(self._run_files, raw_data_archives(self.settings), "retrieve_edxorg_raw_data", [name]),
            **more,
        )

    def log_run(self, logs: Mapping[str, Sequence[bytes]]) -> Run:
        """Return a run of the log job for one day, or for all from the first to the last."""

        def begin() -> None:
            for name, lines in logs.items():
                self._put(f"archives/{name}", _packed_lines, lines)

        files = raw_tracking_logs(self.settings)
        return Run(begin, partial(self._run_files, files, "refresh_edxorg_tracking_logs", list(logs)))

    def _put(self, key: str, pack: Callable[..., bytes], content: object) -> None:
        self.place.put(key, pack(content))

    def _run_files(
        self, files: SourceFiles, job: str, names: Sequence[str], instance: dg.DagsterInstance
    ) -> dg.ExecuteInProcessResult:
        store = open_store(self.settings.archive_url)
        for name in names:
            files.register(instance, store.read(name).info)
        if len(names) == 1:
            return self.run(job, instance, partition_key=names[0])
        ends = {"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]}
        return self.run(job, instance, tags=ends)

    def run(self, job: str, instance: dg.DagsterInstance, **more: Any) -> dg.ExecuteInProcessResult:  # noqa: ANN401
        """Run a job in this process."""
        resolved = self.definitions.resolve_job_def(job)
        return resolved.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET, **more)


def archives(trial: Trial, _: Servers) -> list[Run]:
    """The second archive brings other versions of half of the members, the third one brings the first ones back."""
    tried = Tried(trial)
    return [
        tried.archive_run(f"mitx-2024-01-{week:02}.tar.gz", members(changed=week == 10), _packed_tar)
        for week in (3, 10, 17)
    ]


def packages(trial: Trial, _: Servers) -> list[Run]:
    """Zips, each of whose members is an OpenPGP message."""
    private, public = trial.folder / "private.asc", trial.folder / "public.asc"
    make_keys(private, public)
    tried = Tried(trial, gpg_key_file=str(private), archive_name="mitx-{date}.zip")
    return [
        tried.archive_run(
            f"mitx-2024-01-{week:02}.zip", members(3, changed=week == 10), partial(_encrypted_zip, public)
        )
        for week in (3, 10)
    ]


def logs(trial: Trial, _: Servers) -> list[Run]:
    """One day; three days in one run, of which that is one; and this one again, with other events and no rejects."""
    first, *others = (f"mitx-edx-events-2024-05-{day:02}.log.gz" for day in (6, 7, 8))
    tried = Tried(trial)
    return [
        tried.log_run({first: events(1)}),
        tried.log_run({first: events(1), **{name: events(number) for number, name in enumerate(others, 2)}}),
        tried.log_run({first: events(4)[2:]}),
    ]


def course_content(trial: Trial, _: Servers) -> list[Run]:
    """All courses in one run; then again when the structures and exports of half of them are others; then one alone."""
    tried = Tried(trial)
    courses = [f"MITx-{number}x-2020" for number in range(5)]

    def files(changed: str) -> dict[str, bytes]:
        content = {}
        for number, course in enumerate(courses):
            title = changed if number % 2 == 0 else "A course"
            content[f"{course}-course_structure-prod-analytics.json"] = structure(title)
            content[f"{course}-course-prod-analytics.xml.tar.gz"] = course_xml(title)
        return content

    def brought(week: int, changed: str) -> Run:
        return tried.archive_run(f"mitx-2024-01-{week:02}.tar.gz", files(changed), _packed_tar, is_given=True)

    assets = [asset_key(output) for output in (*STRUCTURE_OUTPUTS, *XML_OUTPUTS)]

    def run(some: Sequence[str], instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        job = tried.definitions.resolve_implicit_global_asset_job_def()
        first, *more = (f"{course}|prod" for course in some)
        return job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=QUIET,
            partition_key=first,
            tags=tags_of_courses(more),
            asset_selection=assets,
        )

    made, one = Run(_nothing, partial(run, courses)), Run(_nothing, partial(run, courses[:1]))
    return [brought(3, "A course"), made, brought(10, "Another title"), made, brought(17, "A third title"), one]


def catalogue(trial: Trial, servers: Servers) -> list[Run]:
    """The catalogue, and another one a day later."""
    tried = Tried(trial)

    def run(number: int, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        url, client, secret = servers.catalogues[number]
        os.environ |= {
            "EDXORG_API_URL": url,
            "EDXORG_API_TOKEN_URL": f"{url}/oauth2/access_token",
            "EDXORG_API_CLIENT_ID": client,
            "EDXORG_API_CLIENT_SECRET": secret,
        }
        return tried.run("edxorg_api_daily_job", instance)

    return [Run(_nothing, partial(run, number)) for number in range(2)]


def reports(trial: Trial, _: Servers) -> list[Run]:
    """A dozen reports, one of them in several parts; then half of them are others, and two are new."""
    tried = Tried(trial)

    def begin(day: int) -> None:
        for number in range(12 + 2 * day):
            if not day or number % 2:
                rows = 150_000 if number == 3 else 100 * number + day
                tried.place.put(f"reports/{number}/report.csv", b"learner,passed\n" + b"%d,%d\n" % (number, day) * rows)

    return [Run(partial(begin, day), partial(tried.run, REPORTS_JOB)) for day in range(2)]


JOBS: Mapping[str, Callable[[Trial, Servers], list[Run]]] = {
    "archive": archives,
    "package": packages,
    "log": logs,
    "course content": course_content,
    "catalogue": catalogue,
    "reports": reports,
}


def members(courses: int = COURSES, *, changed: bool) -> dict[str, bytes]:
    """Return the members of an archive; of every other course, they can be others."""
    content = {}
    for number in range(courses):
        course = f"MITx-{number}x-2020"
        more = b"3\tBarbara\n" if changed and number % 2 else b""
        content[table_name(course=course)] = TABLE + more
        content[table_name("teams", course=course, site="edge")] = TABLE + b"too\tmany\tfields\n" + TABLE * 20 + more
        content[f"{course}-course_structure-prod-analytics.json"] = structure(f"A course{more!r}")
    content["MITx-1x-2020-prod.mongo"] = b'{"_id": "p1", "_type": "Comment", "body": "%d"}\n' % changed
    content["MITx-1x-2020-course-prod-analytics.xml.tar.gz"] = course_xml(f"Changed: {changed}")
    content[table_name("large")] = TABLE + b"3\t%d\n" % changed + b"4\t%s\n" % (b"Joan" * 100) * LONG_TABLE_ROWS
    return content


def events(day: int) -> list[bytes]:
    """Return the lines of a log: two that are rejects, and three blocks of others."""
    rejects = [b"no object", b'{"name": "twice", "name": "twice"}']
    padding = "x" * 2000
    good = [
        json.dumps({"name": f"{number}", "time": f"2024-05-0{day}T01:02:03", "page": padding}).encode()
        for number in range(4500)
    ]
    return rejects + good


def _packed_lines(lines: Sequence[bytes]) -> bytes:
    return gzip.compress(b"\n".join([*lines, b""]), compresslevel=1, mtime=0)


def _packed_tar(content: dict[str, bytes]) -> bytes:
    return gzip.compress(tar_bytes(content), compresslevel=1, mtime=0)


def _encrypted_zip(public_key: Path, content: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, Recipient(public_key) as recipient:
        for name, each in content.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.gpg"), recipient.encrypt([each]).read())
    return file.getvalue()


def _nothing() -> None: ...

"""`edxorg demo` runs everything on this machine, with sample inputs and no credentials."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edxorg.commands import console, homes, runs
from edxorg.commands.ingest import verbose_option
from edxorg.lib.job_names import ARCHIVE_JOB, CATALOGUE_JOB, LOG_JOB, REPORTS_JOB
from edxorg.lib.progress import observed_by
from edxorg.lib.settings import DefaultSettings
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import dagster as dg

    from edxorg.lib.settings import Settings
    from edxorg.samples.university import University
    from edxorg.source_files import SourceFiles

ARCHIVES = ("mitx-2024-01-24.tar.gz", "mitx-2024-01-31.tar.gz")
"""Archives of two weeks; most members of the second are unchanged. It is encrypted where GnuPG is installed."""

ARCHIVE_NAME = "mitx-{date}.tar.gz mitx-{date}.tar.gz.gpg"
PRIVATE_KEY = "private-key.asc"
LOG = "mitx-edx-events-2024-01-30.log.gz"
COURSES = 10
QUESTIONS = {
    "Grades by track": """\
SELECT mode, count(*) AS learners, round(avg(TRY_CAST(percent_grade AS DOUBLE)), 2) AS grade
FROM student_courseenrollment
LEFT JOIN grades_persistentcoursegrade USING (course_id, user_id, extracted_source_platform)
GROUP BY mode ORDER BY learners DESC, mode""",
    "The hardest problems": """\
SELECT block_title AS problem, count(*) AS learners, round(avg(grade::DOUBLE / max_grade::DOUBLE), 2) AS score
FROM courseware_studentmodule JOIN course_blocks ON block_id = module_id
WHERE block_type = 'problem' AND grade <> 'NULL' GROUP BY block_id, block_title
ORDER BY score, learners DESC, block_id LIMIT 5""",
}
"""Sample questions in SQL."""

COURSES_SHOWN = 2
"""Number of courses whose content is unpacked here; the others wait for Dagster's automation, or a backfill."""


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("edxorg-demo"),
    show_default=True,
    help="Folder for inputs, landing zone and Dagster's records.",
)
@verbose_option
def command(folder: Path, *, verbose: bool) -> None:
    """Make sample inputs and run everything on them, in folders of this machine."""
    folder = folder.absolute()
    settings = DefaultSettings(
        archive_url=f"file://{folder}/inputs",
        archive_name=ARCHIVE_NAME,
        gpg_key_file=str(folder / PRIVATE_KEY),
        landing_zone_url=f"file://{folder}/landing-zone",
        program_reports_url=f"file://{folder}/inputs/reports",
        program_reports_destination_url=f"file://{folder}/landing-zone/edxorg-program-credentials",
    )
    with console.writing_to(folder):
        _make_inputs(folder / "inputs")
        _encrypt(folder / "inputs" / ARCHIVES[1], folder / PRIVATE_KEY)
    with console.loading("Starting Dagster"):
        from edxorg.components.edxorg_location import build_definitions  # noqa: PLC0415 - seconds

        defs = build_definitions(settings)
    with homes.dagster_instance(folder / "dagster_home") as instance:
        demo = _Demo(defs, instance, settings, verbose)
        reasons = [*demo.files(), *demo.course_content(), *demo.program_reports(), *demo.catalogue()]
    for reason in reasons:
        click.echo(f"Error: {reason}", err=True)
    _show_where(folder, settings)
    _show_answers(settings.landing_zone_url)
    sys.exit(1 if reasons else 0)


def _make_inputs(inputs: Path) -> None:
    from edxorg.samples.files import files_of, write_university  # noqa: PLC0415

    university = _university()
    with console.counting("Sample inputs", sum(1 for _ in files_of(university)) + 1) as started:
        write_university(inputs, university, started=started)
    console.heading("Sample inputs", f"two weeks of an invented university; they are in {inputs}")


def _encrypt(archive: Path, private_key: Path) -> None:
    """Encrypt an archive as edX does it for its partners, if GnuPG is installed."""
    from edxorg.samples.encryption import Recipient, make_keys  # noqa: PLC0415

    if shutil.which("gpg") is None:
        return
    public_key = private_key.with_name("public-key.asc")
    make_keys(private_key, public_key)
    with archive.open("rb") as file, Recipient(public_key) as recipient, recipient.encrypt(file) as message:
        archive.with_name(f"{archive.name}.gpg").write_bytes(message.read())
    archive.unlink()


def _university() -> University:
    from edxorg.samples.hazards import ORDINARY_LOG_HAZARDS  # noqa: PLC0415
    from edxorg.samples.university import University  # noqa: PLC0415

    hazards = ORDINARY_LOG_HAZARDS | {"ragged", "not-utf8", "apple-double"}
    return University(courses=COURSES, learners=300, hazards=hazards)


@dataclass(frozen=True, slots=True)
class _Demo:
    """Runs the location's jobs; each method returns the reasons of failures."""

    defs: dg.Definitions
    instance: dg.DagsterInstance
    settings: Settings
    verbose: bool

    def files(self) -> Iterator[str]:
        from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs  # noqa: PLC0415

        archives, logs = raw_data_archives(self.settings), raw_tracking_logs(self.settings)
        inputs = self.settings.archive_url.removeprefix("file://")
        for name in sorted(path.name for path in Path(inputs).glob("mitx-*.tar.gz*")):
            how = ", as an OpenPGP message" if name.endswith(".gpg") else ""
            console.heading(f"Archive {name}", f"tables, structures, XML and forums of each course{how}")
            yield from self._file(name, archives, ARCHIVE_JOB, console.show_report)
        console.heading(f"Tracking log {LOG}", "the events that reached edX on one day; phones send some days late")
        yield from self._file(LOG, logs, LOG_JOB, console.show_log)

    def course_content(self) -> Iterator[str]:
        from ol_orchestrate.partitions.edxorg import course_and_source_partitions  # noqa: PLC0415

        partitions = self.instance.get_dynamic_partitions(course_and_source_partitions.name or "")
        console.heading("Course content", f"of {COURSES_SHOWN} of {len(partitions)} courses")
        for partition in partitions[:COURSES_SHOWN]:
            for raw in ("course_structure", "course_xml"):
                reasons = runs.materialize_downstream(self.defs, self.instance, f"edxorg/raw_data/{raw}", partition)
                self._say(f"{raw} of {partition}", reasons)
                yield from reasons

    def program_reports(self) -> Sequence[str]:
        console.heading("Program reports", self.settings.program_reports_destination_url)
        reasons = runs.run_job(self.defs.resolve_job_def(REPORTS_JOB), self.instance)
        self._say("all reports", reasons)
        return reasons

    def catalogue(self) -> Sequence[str]:
        from edxorg.samples.catalogue_server import serve_catalogue  # noqa: PLC0415
        from edxorg.samples.sample_catalogue import Catalogue  # noqa: PLC0415

        with serve_catalogue(Catalogue.of(_university())) as catalogue:
            console.heading("The edX catalogue", f"from a small server on this machine, {catalogue.url}")
            os.environ |= {
                "EDXORG_API_URL": catalogue.url,
                "EDXORG_API_TOKEN_URL": f"{catalogue.url}/oauth2/access_token",
                "EDXORG_API_CLIENT_ID": catalogue.client_id,
                "EDXORG_API_CLIENT_SECRET": catalogue.client_secret,
            }
            reasons = runs.run_job(self.defs.resolve_job_def(CATALOGUE_JOB), self.instance)
        self._say("programs, courses and course runs", reasons)
        return reasons

    def _file(self, name: str, files: SourceFiles, job: str, show: Callable[..., None]) -> Sequence[str]:
        source = runs.SourceUrl(self.settings.archive_url, name)
        info = runs.open_source(source, self.settings).info
        with console.progress_bar(name, info.size) as bar, observed_by(bar):
            reasons = runs.run_for_file(self.defs.resolve_job_def(job), self.instance, files, source, info)
        if bar.result is not None:
            show(bar.result, verbose=self.verbose)
        return reasons

    def _say(self, subject: str, reasons: Sequence[str]) -> None:
        console.out.print(
            f"{'[red]failed' if reasons else '[green]delivered'}[/] {subject}", soft_wrap=True, highlight=False
        )


def runner() -> str:
    """Return what a command has to begin with, in a checkout that `uv run` uses."""
    return "uv run " if os.environ.get("UV") else ""


def install_ui() -> str:
    """Return the command that installs Dagster's UI, as a line; nothing if it is there."""
    return "" if find_spec("dagster_webserver") else "  pip install 'edxorg[ui]'\n"


def _show_where(folder: Path, settings: Settings) -> None:
    report = max((folder / "landing-zone" / "edxorg" / "reports").glob("*.html"), default="none was written")
    home, inputs, lake = folder / "dagster_home", settings.archive_url, settings.landing_zone_url
    console.heading("What landed", f"is in {folder / 'landing-zone'}")
    console.out.print(f"The report of the last archive, for a browser: {report}\n", soft_wrap=True, highlight=False)
    console.out.print("See the runs, the assets and their metadata in the Dagster UI, at http://localhost:3000:\n")
    console.out.print(
        f"{install_ui()}"
        f"  DAGSTER_HOME={shlex.quote(str(home))} EDXORG_ARCHIVE_URL={shlex.quote(inputs)} \\\n"
        f"  EDXORG_ARCHIVE_NAME={shlex.quote(ARCHIVE_NAME)} \\\n"
        f"  EDXORG_GPG_KEY_FILE={shlex.quote(str(folder / PRIVATE_KEY))} \\\n"
        f"  EDXORG_LANDING_ZONE_URL={shlex.quote(lake)} \\\n"
        f"  {runner()}{'dg dev' if runner() else 'dagster dev -m edxorg.definitions'}\n",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    console.out.print(
        "There, switch on the sensor [bold]default_automation_condition_sensor[/] under Automation: then course "
        "content follows each new version by itself. A backfill brings in the courses that were there before.",
        highlight=False,
    )


def _show_answers(landing_zone: str) -> None:
    from edxorg.lib.lake import answers, database  # noqa: PLC0415

    lake = database.Lake(open_store(landing_zone))
    for title, sql in QUESTIONS.items():
        console.heading(title, "asked in SQL of what landed")
        command = f'{runner()}edxorg query --landing-zone {shlex.quote(landing_zone)} "\n{sql}"\n'
        console.out.print(command, soft_wrap=True, highlight=False, markup=False)
        lake.prepare(sql)
        answer = answers.as_table(lake.connection, sql, console.out.width if console.out.is_terminal else None)
        console.out.print(answer, soft_wrap=True, highlight=False, markup=False)

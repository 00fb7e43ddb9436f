"""`edxorg sample` writes sample inputs of any size, the same for the same seed."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import click

from edxorg.commands import console
from edxorg.samples.encryption import EncryptionError
from edxorg.samples.files import TRUTH, files_of, write_university
from edxorg.samples.hazards import HAZARDS, UnknownHazardError, hazards_named
from edxorg.samples.sample_archive import ARCHIVE_DAY, scale_for, write_sample_archive, write_sample_package
from edxorg.samples.sample_course_xml import write_sample_course_xml
from edxorg.samples.sample_log import DAY, write_sample_log
from edxorg.samples.university import FIRST_DAY, University
from ol_orchestrate.lib.shortening import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

BYTES_PER_EVENT = 1_100
"""Size in an unpacked sample tracking log."""

BYTES_PER_BLOCK = 1_200
"""Size in an unpacked sample course, a share of the rest of the course included."""


_FIRST_YEAR = 2012
_LAST_YEAR = 2100


class SizeParam(click.ParamType[int]):
    """A number of bytes, such as `500KB`, `20MB` or `2GB`."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number of bytes."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", str(value).upper())
        if not match:
            self.fail(f"{value!r} is no size: write for example 20MB", param, ctx)
        unit = match[2] if match[2].endswith("B") or not match[2] else f"{match[2]}B"
        return int(float(match[1]) * UNITS[unit])


class HazardsParam(click.ParamType[frozenset[str]]):
    """Names of hazards, such as `ragged,late-keys`."""

    name = "names"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        """Read a list of names."""
        try:
            return hazards_named(str(value))
        except UnknownHazardError as error:
            self.fail(str(error), param, ctx)


class FirstDayParam(click.ParamType[date]):
    """A day such as `2024-01-17`; edX began in 2012."""

    name = "date"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read a day."""
        try:
            day = date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no day: write for example {FIRST_DAY}", param, ctx)
        if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            self.fail(f"{value!r} is before {_FIRST_YEAR} or after {_LAST_YEAR}", param, ctx)
        return day


class OrganizationParam(click.ParamType[str]):
    """The first part of course keys, such as `MITx`."""

    name = "name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that the text can be part of a course key."""
        if not re.fullmatch(r"[A-Za-z0-9_]{1,40}", str(value)):
            self.fail(f"{value!r} is no organization: use letters, digits and underscores", param, ctx)
        return str(value)


out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write."
)
size_option = click.option("--size", type=SizeParam(), default="20MB", show_default=True, help="Unpacked, roughly.")
org_option = click.option(
    "--org", type=OrganizationParam(), default="MITx", show_default=True, help="Organization in course keys."
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same data.")


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder if it is missing, and say so; turn errors of writing below it into usage errors."""
    console.make_folder(folder, partial(Path.mkdir, parents=True))
    with console.writing_to(folder):
        yield


@contextmanager
def _written(out: Path, default: date) -> Iterator[date]:
    """Have a file written, and the folder that it is in; gives the day in its name, or without one the default.

    Raises:
        click.BadParameter: As with `_day_in`.
    """
    day = _day_in(out.name)
    with _made(out.parent), console.err.status(f"Writing {out} …"):
        yield day or default
    if day is None:
        click.echo(
            f"{out.name} has no date in its name: it is of {default}, and `edxorg ingest` needs its --date", err=True
        )


def _day_in(name: str) -> date | None:
    """Return the day in a file's name, if there is one.

    Raises:
        click.BadParameter: The day is none, or none that samples can have.
    """
    days = re.findall(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", name)
    for day in days:
        with suppress(ValueError):
            if _FIRST_YEAR < (found := date.fromisoformat(day)).year <= _LAST_YEAR:
                return found
    if days:
        message = f"{days[0]} in {name!r} is no day from {_FIRST_YEAR + 1} to {_LAST_YEAR}"
        raise click.BadParameter(message, param_hint="'--out'")
    return None


@click.group()
def command() -> None:
    """Write sample inputs of any size. All learners and courses in them are invented.

    Begin with `university`, which writes files of all kinds that agree with each other, and the truth about them.
    The other commands write one file of a university, of the size you ask for.
    """


@command.command()
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write the files to."
)
@click.option("--days", type=click.IntRange(1, 3_650), default=14, show_default=True, help="Length of the story.")
@click.option("--courses", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Course runs.")
@click.option("--learners", type=click.IntRange(min=1), default=300, show_default=True, help="Learners.")
@seed_option
@org_option
@click.option(
    "--first-day",
    type=FirstDayParam(),
    default=str(FIRST_DAY),
    show_default=True,
    help="Day of the first log; archives follow every seven days.",
)
@click.option(
    "--hazard",
    "hazards",
    type=HazardsParam(),
    default="",
    help="Oddities to put in: a list of names (see below), or all.",
)
def university(
    *,
    out: Path,
    days: int,
    courses: int,
    learners: int,
    seed: int,
    org: str,
    first_day: date,
    hazards: frozenset[str],
) -> None:
    """Write all files that edX would send about one invented university.

    All files tell one story: an enrollment in a table has its event in a log, a post in the forum has its thread, a
    grade is the sum of the answers. They are: an archive for each week, a tracking log for each day and site,
    program reports, and the catalogue. The file truth.json describes them, and the outputs that must come of them.

    \b
    First steps:
      edxorg sample university --out univ --hazard ragged,late-keys
      edxorg ingest archive univ/mitx-2024-01-24.tar.gz --landing-zone lake
      python -m json.tool univ/truth.json | less
    """  # noqa: D301 - \b is click's, for lines that are not to be joined
    story = University(
        seed=seed,
        organization=org,
        courses=courses,
        learners=learners,
        first_day=first_day,
        days=days,
        hazards=hazards,
    )
    names = {TRUTH, *(file.name for file in files_of(story))}
    _refuse_another_story(out, names)
    with _made(out), console.counting("files", len(names)) as started:
        truth = write_university(out, story, started=started)
    archives, logs = truth["archives"].values(), truth["logs"].values()
    events = sum(log["events"] for log in logs)
    console.out.print(
        f"{out}: {counted(len(archives), 'archive')} with {sum(archive['rows'] for archive in archives):,} rows, "
        f"{counted(len(logs), 'tracking log')} with {events:,} events, "
        f"{len(truth['program_reports']):,} program reports and the catalogue; {TRUTH} describes them",
        soft_wrap=True,
    )


def _refuse_another_story(out: Path, names: set[str]) -> None:
    """Refuse a folder with files of another story, which its truth would not describe."""
    if (out / TRUTH).exists():
        there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
        if others := sorted(there - names):
            message = f"{str(out)!r} holds another university, whose {others[0]} would stay: choose another folder"
            raise click.BadParameter(message, param_hint="'--out'")


@command.command()
@out_option
@size_option
@seed_option
@org_option
def archive(out: Path, size: int, seed: int, org: str) -> None:
    """Write an archive of course exports.

    Like a real one it has several dialects, header-only tables, a failed table, broken rows and odd names. It is of
    the day in its name, such as mitx-2024-01-31.tar.gz; one named .zip becomes a zip.
    """
    scale = scale_for(size)
    with _written(out, ARCHIVE_DAY) as day:
        summary = write_sample_archive(
            out,
            courses=scale.courses,
            rows_per_course=scale.rows_per_course,
            seed=seed,
            organization=org,
            day=day,
        )
    console.out.print(
        f"{out}: {summary.members:,} members of {summary.courses:,} courses, {summary.rows:,} rows, "
        f"{summary.bytes_unpacked:,} bytes unpacked; {summary.rejected_rows:,} rows are broken on purpose",
        soft_wrap=True,
    )


@command.command()
@out_option
@size_option
@seed_option
@org_option
@click.option(
    "--gpg-recipient",
    "key_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with a public key (gpg --export), to encrypt each member for.",
)
def package(*, out: Path, size: int, seed: int, org: str, key_file: Path | None) -> None:
    """Write an archive of course exports as edX ships it: a zip, and each member of it encrypted.

    It has the members that `archive` writes for the same size and seed.
    """
    scale = scale_for(size)
    with _written(out, ARCHIVE_DAY) as day:
        try:
            summary = write_sample_package(
                out,
                courses=scale.courses,
                rows_per_course=scale.rows_per_course,
                seed=seed,
                organization=org,
                day=day,
                key_file=key_file,
            )
        except EncryptionError as error:
            raise click.ClickException(str(error)) from None
    console.out.print(
        f"{out}: {summary.members:,} members of {summary.courses:,} courses, {summary.rows:,} rows, "
        f"{summary.bytes_unpacked:,} bytes unpacked{', each encrypted by itself' if key_file else ''}",
        soft_wrap=True,
    )


@command.command("tracking-log")
@out_option
@size_option
@seed_option
@org_option
def tracking_log(out: Path, size: int, seed: int, org: str) -> None:
    """Write a day of tracking events: the day in the file's name, such as mitx-edx-events-2024-01-31.log.gz.

    Like a real one it has times in several spellings, syslog prefixes, lines cut off, and keys that turn up late.
    """
    with _written(out, DAY) as day:
        events = max(1, size // BYTES_PER_EVENT)
        summary = write_sample_log(out, events=events, seed=seed, organization=org, day=day)
    console.out.print(
        f"{out}: {summary.events:,} events, {summary.bytes_unpacked:,} bytes unpacked, "
        f"{summary.bytes_compressed:,} compressed; {summary.rejected['no_json_object']:,} lines are cut off on "
        f"purpose, {summary.rejected['unreadable_time']:,} have unreadable times",
        soft_wrap=True,
    )


@command.command("course-xml")
@out_option
@click.option(
    "--blocks", type=click.IntRange(1, 100_000), default=600, show_default=True, help="Most blocks it can have."
)
@size_option
@seed_option
@org_option
def course_xml(*, out: Path, blocks: int, size: int, seed: int, org: str) -> None:
    """Write the export of one course, as Studio makes it.

    It is the first course of a university, as large as you ask for. Static files make up the size beyond its blocks.
    """
    blocks = max(1, min(blocks, size // BYTES_PER_BLOCK))
    static_bytes = max(0, size - blocks * BYTES_PER_BLOCK)
    with _made(out.parent), console.err.status(f"Writing {out} …"):
        summary = write_sample_course_xml(out, blocks=blocks, seed=seed, static_bytes=static_bytes, organization=org)
    console.out.print(
        f"{out}: {summary.course_key}, {summary.blocks.total():,} blocks, {summary.static_assets:,} static files, "
        f"{summary.bytes_unpacked:,} bytes unpacked",
        soft_wrap=True,
    )


university.epilog = "\b\nHazards:\n" + "\n".join(
    fill(effect, 78, initial_indent=f"  {name:16} ", subsequent_indent=19 * " ", break_on_hyphens=False)
    for name, effect in HAZARDS.items()
)

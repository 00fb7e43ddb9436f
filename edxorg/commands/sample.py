"""`edxorg sample`: sample inputs of any size, the same for the same seed."""

from __future__ import annotations

import re
from pathlib import Path

import click

from edxorg.commands import console
from edxorg.samples.archive import scale_for, write_sample_archive
from edxorg.samples.course_xml import write_sample_course_xml
from edxorg.samples.tracking_log import write_sample_log

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

BYTES_PER_EVENT = 1_100
"""Of a sample tracking log, unpacked."""

BYTES_PER_BLOCK = 1_400
"""Of a sample course, unpacked, its share of the rest of the course included."""


class Size(click.ParamType[int]):
    """A number of bytes, such as `500KB`, `20MB` or `2GB`."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """From text to bytes."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", str(value).upper())
        if not match:
            self.fail(f"{value!r} is no size: write for example 20MB", param, ctx)
        unit = match[2] if match[2].endswith("B") or not match[2] else f"{match[2]}B"
        return int(float(match[1]) * UNITS[unit])


out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write."
)
size_option = click.option("--size", type=Size(), default="20MB", show_default=True, help="Unpacked, roughly.")
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same data.")


@click.group()
def command() -> None:
    """Write sample inputs of any size. All people and courses in them are made up."""


@command.command()
@out_option
@size_option
@seed_option
def archive(out: Path, size: int, seed: int) -> None:
    """Write an archive of course exports.

    It has what real ones have: several dialects, header-only tables, a failed table, broken rows, odd names.
    """
    scale = scale_for(size)
    with console.err.status(f"Writing {out} …"), console.writing_to(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        summary = write_sample_archive(out, courses=scale.courses, rows_per_course=scale.rows_per_course, seed=seed)
    console.out.print(
        f"{out}: {summary.members:,} members of {summary.courses:,} courses, {summary.rows:,} rows, "
        f"{summary.bytes_unpacked:,} bytes unpacked; {summary.rejected_rows:,} rows are broken on purpose",
        soft_wrap=True,
    )


@command.command("tracking-log")
@out_option
@size_option
@seed_option
def tracking_log(out: Path, size: int, seed: int) -> None:
    """Write a day of tracking events.

    It has what real ones have: times in several spellings, syslog prefixes, lines cut off, keys that turn up late.
    """
    with console.err.status(f"Writing {out} …"), console.writing_to(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        summary = write_sample_log(out, events=max(1, size // BYTES_PER_EVENT), seed=seed)
    console.out.print(
        f"{out}: {summary.events:,} events, {summary.bytes_unpacked:,} bytes unpacked, "
        f"{summary.bytes_compressed:,} compressed; {summary.truncated:,} lines are cut off on purpose, "
        f"{summary.unreadable_times:,} have times that nobody can read",
        soft_wrap=True,
    )


@command.command("course-xml")
@out_option
@click.option("--blocks", type=click.IntRange(min=1), default=600, show_default=True, help="Most blocks it can have.")
@size_option
@seed_option
def course_xml(out: Path, blocks: int, size: int, seed: int) -> None:
    """Write the export of one course, as `tar.gz`.

    What its blocks leave of the size is static files.
    """
    blocks = max(1, min(blocks, size // BYTES_PER_BLOCK))
    static_bytes = max(0, size - blocks * BYTES_PER_BLOCK)
    with console.err.status(f"Writing {out} …"), console.writing_to(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        summary = write_sample_course_xml(out, blocks=blocks, seed=seed, static_bytes=static_bytes)
    console.out.print(
        f"{out}: {summary.course_id}, {sum(summary.blocks.values()):,} blocks, {summary.static_assets:,} static files, "
        f"{summary.bytes_unpacked:,} bytes unpacked",
        soft_wrap=True,
    )

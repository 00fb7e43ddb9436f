"""`python -m benchmarks NAME`: see `--help`."""

from __future__ import annotations

from importlib import import_module

import click


@click.group()
def main() -> None:
    """Measure speed and memory against references that run in the same minutes. These take minutes."""


@main.command()
@click.option("--courses", default=120, show_default=True)
def archive(courses: int) -> None:
    """The archive job: unpacking, a plain csv loop, a folder, a whole Dagster run."""
    import_module("benchmarks.archive").run(courses)


@main.command("tracking-log")
@click.option("--events", default=600_000, show_default=True)
def tracking_log(events: int) -> None:
    """A day's tracking log, against orjson in one process."""
    import_module("benchmarks.tracking_log").run(events)


@main.command("course-xml")
@click.option("--blocks", default=6000, show_default=True)
def course_xml(blocks: int) -> None:
    """The OLX export of one course, against reading its members."""
    import_module("benchmarks.course_xml").run(blocks)


@main.command()
@click.option("--objects", default=10_000, show_default=True)
@click.option("--partitions", default=100_000, show_default=True)
def sensors(objects: int, partitions: int) -> None:
    """Ticks of the sensors, on SQLite."""
    import_module("benchmarks.sensors").run(objects, partitions)


@main.command()
@click.option("--weeks", default=52, show_default=True)
@click.option("--courses", default=20, show_default=True, help="Courses of each archive.")
@click.option("--recorded-courses", default=3500, show_default=True, help="Courses that the automation sensor has.")
@click.option("--partitions", default=100_000, show_default=True)
def growth(weeks: int, courses: int, recorded_courses: int, partitions: int) -> None:
    """A year of weekly archives in one instance, and ticks of the automation sensor, on SQLite and Postgres."""
    import_module("benchmarks.growth").run(weeks, courses, recorded_courses, partitions)


@main.command()
@click.option("--storage", type=click.Choice(["SQLite", "Postgres"]), multiple=True, help="By default both.")
@click.option("--courses", default=500, show_default=True)
@click.option("--blocks", default=300, show_default=True, help="Blocks of each course.")
@click.option("--days", default=100, show_default=True)
@click.option("--events", default=170_000, show_default=True, help="Events of each day; 170,000 make a log of 20 MB.")
def bulk(storage: tuple[str, ...], courses: int, blocks: int, days: int, events: int) -> None:
    """Courses after an archive, and a backfill of logs, against the same work without Dagster."""
    import_module("benchmarks.bulk").run(storage or ("SQLite", "Postgres"), courses, blocks, days, events)


@main.command()
@click.option("--runs", default=7, show_default=True)
def loading(runs: int) -> None:
    """Loading the code location, against importing its libraries."""
    import_module("benchmarks.loading").run(runs)


@main.command()
@click.option("--megabytes", default=200, show_default=True)
def hostile(megabytes: int) -> None:
    """Tables and logs of nothing but line ends, quotes or bad lines."""
    import_module("benchmarks.hostile").run(megabytes)


@main.command()
@click.option("--courses", default=20, show_default=True)
@click.option("--megabytes", default=2_000, show_default=True)
def package(courses: int, megabytes: int) -> None:
    """Packages as edX ships them, against gpg and unzip."""
    import_module("benchmarks.package").run(courses, megabytes)


@main.command()
@click.option("--courses", default=120, show_default=True)
@click.option("--landing-zone", metavar="URL", help="An empty one, such as s3://bucket/prefix; by default a folder.")
def query(courses: int, landing_zone: str | None) -> None:
    """A count in SQL over what landed, against DuckDB with the list of files."""
    import_module("benchmarks.query").run(courses, landing_zone)


@main.command()
@click.option("--courses", default=120, show_default=True)
@click.option("--weeks", default=2, show_default=True)
def report(courses: int, weeks: int) -> None:
    """The report of an archive, as a share of its run."""
    import_module("benchmarks.report").run(courses, weeks)


@main.command("small-objects")
@click.option("--objects", default=3000, show_default=True)
def small_objects(objects: int) -> None:
    """Small objects to S3: requests and processor time for each."""
    import_module("benchmarks.small_objects").run(objects)


main()

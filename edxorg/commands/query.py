"""`edxorg query`: what landed, in SQL."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click
from rich.table import Table

from edxorg.commands import console, runs
from edxorg.lib.dictionary import STAYS
from edxorg.lib.lake import all_views
from edxorg.lib.object_keys import SOURCE
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.shortening import counted
from ol_orchestrate.lib.stores import split_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.lib.lake.database import Lake
    from edxorg.lib.settings import Settings
    from ol_orchestrate.lib.stores import ObjectStore

_WIDTH_OF_LIST = 100
"""Columns of a terminal from which the list of views is a table."""

FORMATS = ["table", "csv", "json", "parquet"]


@click.command()
@click.argument("sql", required=False)
@click.option("--list", "list_views", is_flag=True, help="Name the views, and say what their rows are.")
@click.option("--sql", "print_sql", is_flag=True, help="Print the views as statements, for tools of your own.")
@click.option(
    "--save",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the views in a DuckDB database; the data stay where they are.",
)
@click.option("--site", type=click.Choice(["prod", "edge"]), help="Only what is of one site.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Of the answer; by default a table, or by --out.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write the answer there.")
@click.option("--landing-zone", metavar="URL", help="Where from: s3://bucket/prefix, gs://bucket/prefix or a folder.")
def command(
    sql: str | None,
    *,
    list_views: bool,
    print_sql: bool,
    save: Path | None,
    site: str | None,
    form: str | None,
    out: Path | None,
    landing_zone: str | None,
) -> None:
    """Ask what landed, in SQL.

    Each output is a view: `student_courseenrollment`, `course_blocks`, `tracking_logs`. It shows the current version of
    each course's table, the newest object of its folder. Values of tables are edX's own text; `NULL` is one of them.

    \b
      edxorg query --list
      edxorg query "SELECT country, count(*) FROM auth_userprofile GROUP BY ALL"
    """  # noqa: D301 - \b is click's
    if [sql is not None, list_views, print_sql, save is not None].count(True) != 1:
        raise click.UsageError("give a query in quotes, or one of --list, --sql and --save")
    form = form or (out.suffix.removeprefix(".") if out and out.suffix[1:] in FORMATS else "table")
    if form == "parquet" and out is None:
        raise click.UsageError("parquet is for files: add --out")
    store = _landing_zone(runs.settings_for(landing_zone))
    if list_views:
        _show_views(store, site)
    elif print_sql:
        for view in all_views(store, site=site):
            click.echo(f"{view.sql(store)};")
    else:
        _ask(store, site, sql=sql, save=save, form=form, out=out)


def _landing_zone(settings: Settings) -> ObjectStore:
    """Open a landing zone, and warn if it holds nothing.

    Raises:
        click.UsageError: There is no such folder.
    """
    store = runs.open_landing_zone(settings.landing_zone_url, settings)
    scheme, _, path = split_url(store.url)
    if scheme == "file" and not Path(path).is_dir():
        raise click.UsageError(f"{store.url}: there is no such folder: correct the landing zone's URL")
    if next(store.list(f"{SOURCE}/"), None) is None:
        click.echo(f"Warning: {store.url}: nothing has landed there", err=True)
    return store


def _show_views(store: ObjectStore, site: str | None) -> None:
    views = all_views(store, site=site)
    if not console.out.is_terminal or console.out.width < _WIDTH_OF_LIST:
        for view in views:
            size = f"{counted(len(view.objects), 'object')}, {view.size / 1e6:,.1f} MB"
            click.echo(f"{view.name}: {size}. {view.output.row}")
        click.echo(f"\n{STAYS}")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("view", no_wrap=True, overflow="fold")
    for name in ("objects", "MB"):
        table.add_column(name, justify="right")
    table.add_column("one row")
    for view in views:
        table.add_row(view.name, f"{len(view.objects):,}", f"{view.size / 1e6:,.1f}", view.output.row)
    console.out.print(table)
    console.out.print(f"\n{STAYS}")


def _ask(
    store: ObjectStore, site: str | None, *, sql: str | None, save: Path | None, form: str, out: Path | None
) -> None:
    from edxorg.lib.lake.database import Lake  # noqa: PLC0415 - loads DuckDB

    with _errors():
        if sql is None:
            Lake(store, site=site, database=str(save)).add(all_views(store, site=site))
            return
        lake = Lake(store, site=site)
        lake.prepare(statement := sql.strip().rstrip(";"))
        if out is None:
            _write(lake, statement, form, None)
            return
        # The file appears whole, or not at all.
        partial = out.with_name(f".{out.name}.{uuid4().hex}")
        with console.writing_to(out):
            partial.touch(exist_ok=False)
        try:
            _write(lake, statement, form, partial)
            with console.writing_to(out):
                partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)


def _write(lake: Lake, sql: str, form: str, path: Path | None) -> None:
    from edxorg.lib.lake import answers  # noqa: PLC0415

    if form == "parquet" and path is not None:
        answers.write_parquet(lake.connection, sql, path)
        return
    file = sys.stdout if path is None else path.open("w", encoding="utf-8", newline="")
    try:
        match form:
            case "csv":
                answers.write_csv(lake.connection, sql, file)
            case "json":
                answers.write_json(lake.connection, sql, file)
            case _:
                width = console.out.width if path is None and console.out.is_terminal else None
                file.write(answers.as_table(lake.connection, sql, width))
    finally:
        if path is not None:
            file.close()


@contextmanager
def _errors() -> Iterator[None]:
    """Tell mistakes in a query from failures of the store.

    Raises:
        click.ClickException: The query is wrong.
        ServiceError: An object or the file cannot be read or written.
    """
    import duckdb  # noqa: PLC0415

    try:
        yield
    except duckdb.CatalogException as error:
        raise click.ClickException(f"{error}\n`edxorg query --list` names the views") from None
    except (duckdb.ParserException, duckdb.BinderException, duckdb.ConversionException) as error:
        raise click.ClickException(str(error)) from None
    except (duckdb.Error, OSError) as error:
        raise ServiceError(str(error)) from None

"""Counting a table's rows with `edxorg query`, against DuckDB with the list of files given by hand."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from rich.console import Console
from rich.table import Table

from benchmarks.measure import measured
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.lake.database import Lake
from edxorg.samples.sample_archive import write_sample_archive
from ol_orchestrate.lib.stores import join_url, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ol_orchestrate.lib.stores import ObjectStore

NAME = "mitx-2024-01-31.tar.gz"
TABLE = "courseware_studentmodule"
ROUNDS = 7


def run(courses: int, landing_zone: str | None) -> None:
    """Deliver a sample archive, and print the table; the landing zone is a folder unless another one is given."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        url = landing_zone or f"file://{folder}/lake"
        write_sample_archive(folder / NAME, courses=courses, seed=0)
        with PendingRecords() as pending:
            source = open_store(f"file://{folder}").read(NAME)
            ingest_archive(source, IngestOptions(url), NothingRecorded(), pending).finish([])
        store = open_store(url)
        objects = [each for each in store.list("edxorg/") if each.size]
        of_table = [each for each in objects if each.key.startswith(f"edxorg/raw_data/db_table/{TABLE}/")]
        files = [join_url(url, each.key).removeprefix("file://") for each in of_table]
        print(
            f"{len(objects):,} objects, {sum(each.size for each in objects) / 1e6:,.0f} MB; of the table "
            f"{len(of_table):,}, {sum(each.size for each in of_table) / 1e6:,.0f} MB"
        )
        columns = Path(files[0]).read_text().partition("\n")[0].split("\t") if landing_zone is None else []
        ways = {
            "DuckDB, files given by hand": partial(_by_hand, store, files, ""),
            "the same, columns given as well": partial(_by_hand, store, files, _given(columns)),
            "edxorg query": partial(_query, store),
        }
        seconds = _by_turns(ways)
    by_hand = seconds["DuckDB, files given by hand"]
    table = Table("way", "seconds", "ratio, median of pairs", "load")
    for way, (taken, load) in seconds.items():
        ratio = statistics.median(mine / other for mine, other in zip(taken, by_hand[0], strict=True))
        table.add_row(way, f"{min(taken):.2f} to {max(taken):.2f}", f"{ratio:.2f}", f"{load:.1f}")
    Console(width=100).print(table)


def _by_turns(ways: Mapping[str, Callable[[], int]]) -> dict[str, tuple[list[float], float]]:
    """Seconds of each round, and the load of the last one; the rounds before the first warm the cache of files."""
    counts = {way: count() for way, count in ways.items()}
    if len(set(counts.values())) != 1:
        raise SystemExit(f"they differ: {counts}")
    seconds: dict[str, tuple[list[float], float]] = {way: ([], 0.0) for way in ways}
    for _ in range(ROUNDS):
        for way, count in ways.items():
            with measured() as measurement:
                count()
            seconds[way] = ([*seconds[way][0], measurement.seconds], measurement.load)
    return seconds


def _query(store: ObjectStore) -> int:
    """All that the command does: it finds the current objects, too."""
    sql = f"SELECT count(*) FROM {TABLE}"  # noqa: S608 - our own
    lake = Lake(store)
    lake.prepare(sql)
    return _count(lake.connection, sql)


def _given(columns: list[str]) -> str:
    types = dict.fromkeys(columns, "VARCHAR")
    return f", auto_detect=false, columns={types}" if columns else ""


def _by_hand(store: ObjectStore, files: list[str], options: str) -> int:
    connection = duckdb.connect()
    if not store.url.startswith("file:"):
        connection.register_filesystem(store.filesystem())
    sql = f"SELECT count(*) FROM read_csv({files}, delim='\t', header=true, all_varchar=true{options})"  # noqa: S608
    return _count(connection, sql)


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    ((count,),) = connection.execute(sql).fetchall()
    return int(count)

"""What the data dictionary says, against what sample inputs and real files become."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.definitions import defs
from edxorg.lib.dictionary import ASSESSMENTS, DICTIONARY, TABLES, TRACKING_LOG, dictionary_page
from edxorg.lib.dictionary.described_tables import ADDED_COLUMNS
from edxorg.lib.forum import PostsWriter
from edxorg.lib.members import MemberKind
from edxorg.lib.object_keys import COURSE_KEYS, COURSE_STRUCTURE, FORUM, raw_data_asset
from edxorg.lib.tables.table_model import COLUMNS_ADDED
from edxorg.samples import sample_tables
from edxorg.samples.courses import Site
from edxorg.samples.sample_archive import write_sample_archive
from edxorg.samples.sample_log import TrackingLog, write_log
from edxorg.samples.university import University
from edxorg_tests.support.plain_readers import PlainArchive, read_archive, read_log
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.openedx import (
    StaticAssets,
    course_outputs,
    manifest_line,
    read_course,
    read_course_structure,
    structure_outputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import dagster as dg

    from ol_orchestrate.lib.dictionary import Column

NO_VALUE = {"", "NULL", "None", "null", "na"}

FITS_TEXT = {
    "integer": r"-?\d+",
    "number": r"-?\d+(\.\d+)?(e-?\d+)?",
    "boolean": r"[01]|True|False",
    "timestamp": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d.*",
}

JSON_TYPES: dict[str, Any] = {
    "string": str,
    "timestamp": str,
    "json": (str, list, dict),
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> PlainArchive:
    path = tmp_path_factory.mktemp("dictionary") / "mitx-2024-02-14.tar.gz"
    write_sample_archive(path, courses=4, seed=3, rows_per_course=300)
    return read_archive(path)


def table_columns(table: str) -> dict[str, Column]:
    return {column.name: column for column in DICTIONARY[raw_data_asset(MemberKind.TABLE, table)].columns}


def fits(column: Column, value: object) -> bool:
    """Whether a value of a JSON output is what the dictionary says."""
    return value is None or (
        isinstance(value, JSON_TYPES[column.type]) and isinstance(value, bool) == (column.type == "boolean")
    )


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def misfits(archive: PlainArchive) -> Iterator[tuple[str, str, str]]:
    """Values of the tables that are not of their column's type."""
    for course in archive.courses.values():
        for table, rows in course.tables.items():
            columns = table_columns(table)
            for row in rows:
                for name, value in row.items():
                    pattern = FITS_TEXT.get(columns[name].type)
                    if pattern and value not in NO_VALUE and not re.fullmatch(pattern, value):
                        yield table, name, value


def test_all_tables_that_samples_have_are_described() -> None:
    assert {output.name for output in (*TABLES, *ASSESSMENTS)} == set(sample_tables.TABLES)


@pytest.mark.parametrize("table", sample_tables.TABLES)
def test_a_table_of_a_package_has_only_columns_that_are_described(table: str) -> None:
    assert set(sample_tables.TABLES[table].columns) <= set(table_columns(table)) - set(COLUMNS_ADDED)


def test_columns_that_conversion_adds_end_each_table() -> None:
    assert tuple(column.name for column in ADDED_COLUMNS) == COLUMNS_ADDED
    assert all(output.columns[-len(COLUMNS_ADDED) :] == ADDED_COLUMNS for output in (*TABLES, *ASSESSMENTS))


def test_values_of_tables_are_of_the_types_that_are_described(archive: PlainArchive) -> None:
    assert sum(len(rows) for course in archive.courses.values() for rows in course.tables.values()) > 500
    assert not list(misfits(archive))


def test_course_outputs_have_the_columns_and_types_that_are_described(archive: PlainArchive) -> None:
    seen = set()
    for course in archive.courses.values():
        document = json.dumps(course.structure).encode()
        structure = read_course_structure(io.BytesIO(document), name="structure")
        with StaticAssets() as files:
            export = read_course([course.olx], name="export", course_id="MITx-6.00x-1T2024", static_assets=files)
            outputs = {
                **structure_outputs(structure, course_id="MITx-6.00x-1T2024", source_system="prod"),
                **course_outputs(export, source_system="prod"),
            }
            rows = {name: lines(b"".join(output.chunks("2024-01-31T00:00:00Z"))) for name, output in outputs.items()}
            files.write_archive(io.BytesIO())
            rows["course_static_assets_manifest"] = lines(manifest_line(files.manifest()))
        for name, of_output in rows.items():
            columns = DICTIONARY[COURSE_KEYS.output(name)].columns
            for row in of_output:
                assert set(row) == {column.name for column in columns}, name
                assert [column for column in columns if not fits(column, row[column.name])] == [], name
                seen.add(name)
    described = {output.name for asset, output in DICTIONARY.items() if asset.startswith(COURSE_KEYS.output(""))}
    assert described - seen == {"course_static_assets", "forum_posts"}


def test_structures_and_forums_have_the_fields_and_types_that_are_described(archive: PlainArchive) -> None:
    blocks = [block for course in archive.courses.values() for block in course.structure.values()]
    posts = [post for course in archive.courses.values() for post in course.forum]
    for asset, found in ((COURSE_STRUCTURE, blocks), (FORUM, posts)):
        columns = {column.name: column for column in DICTIONARY[asset].columns}
        assert len(found) > 20
        assert {name for each in found for name in each} <= set(columns)
        assert [name for each in found for name, value in each.items() if not fits(columns[name], value)] == []


def test_an_asset_without_columns_says_what_one_object_is() -> None:
    without = {
        spec.key.path[-1]: str(spec.description) for spec in defs.resolve_all_asset_specs() if not columns_in(spec)
    }
    files = {"raw_data_archive", "raw_tracking_logs", "course_xml", "course_static_assets"}
    assert set(without) == files | {"programs_raw", "courses_raw"}, "the latter have whatever fields edX gives"
    for name, description in without.items():
        assert description.startswith(("One file: ", "One object: ")), name


def columns_in(spec: dg.AssetSpec) -> bool:
    return bool(spec.metadata.get("dagster/column_schema"))


def test_posts_have_the_types_that_are_described(archive: PlainArchive) -> None:
    columns = DICTIONARY[COURSE_KEYS.output("forum_posts")].columns
    rows = 0
    for course in archive.courses.values():
        posts = PostsWriter()
        for _ in posts.through([b"".join(json.dumps(post).encode() + b"\n" for post in course.forum)]):
            pass
        assert not posts.report.rejected
        for row in lines(posts.rows.reader().read()):
            assert [column for column in columns if not fits(column, row[column.name])] == []
            rows += 1
    assert rows > 20


def test_all_keys_of_a_sample_log_are_described(tmp_path: Path) -> None:
    university = University(courses=3, learners=60, seed=4)
    keys = set()
    for site in Site:
        log = TrackingLog(university, site, university.log_days[3])
        write_log(tmp_path / log.name, log=log)
        keys |= {key for event in read_log(tmp_path / log.name) for key in event}
    assert len(keys) > 10
    assert keys <= {column.name for column in TRACKING_LOG.columns}


def test_a_real_package_has_only_columns_that_are_described(real_data: Callable[[str], Path]) -> None:
    found = 0
    for path in real_data("edx-package").glob("*.sql"):
        table = path.name.split("-")[3]
        header = path.read_bytes().split(b"\n")[0].decode().split("\t")
        assert set(header) <= set(table_columns(table)), table
        found += 1
    assert found == 12


def test_each_output_says_what_its_rows_and_columns_are() -> None:
    for asset, output in DICTIONARY.items():
        assert output.row.endswith("."), asset
        names = [column.name for column in output.columns]
        assert len(names) == len(set(names)), asset
        assert set(output.key) <= set(names), asset
        for column in output.columns:
            assert column.type in JSON_TYPES, (asset, column)
            assert column.meaning.endswith((".", "…")), (asset, column)
            assert column.source, (asset, column)


def test_names_in_sql_are_unique() -> None:
    names = [output.view or output.name for output in DICTIONARY.values()]
    assert len(names) == len(set(names))


def test_the_page_is_what_the_dictionary_says() -> None:
    assert (ROOT / "docs/data.md").read_text().endswith(f"-->\n{dictionary_page.markdown()}")

"""The names of columns that came or went since the version before, from the objects of a table."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.archive.column_changes import column_changes
from edxorg.lib.tables.table_model import COLUMNS_ADDED
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.lib.versions import TableStats, VersionedObjects

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture
def versions(tmp_path: Path) -> VersionedObjects:
    return VersionedObjects(open_store(f"file://{tmp_path}"), lambda version: f"place/{version}.tsv")


def stats(columns: Sequence[str]) -> TableStats:
    return TableStats.from_columns(1, columns)


def put(versions: VersionedObjects, version: str, columns: Sequence[bytes]) -> None:
    header = b"\t".join([*columns, *(name.encode() for name in COLUMNS_ADDED)])
    versions.write(version, io.BytesIO(header + b"\n1\t2\n3\t4\n"))


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("id", "id name", "name came"),
        ("id name", "id", "name went"),
        ("id name age", "id email city", "email, city came; name, age went"),
        ("id name", "name id", "in another order"),
        ('id "na""me"', "id", 'na"me went'),
    ],
)
def test_columns_are_told_that_came_or_went(versions: VersionedObjects, before: str, now: str, told: str) -> None:
    put(versions, "before", before.encode().split())
    put(versions, "now", now.encode().split())
    names = before.replace('""', "\0").replace('"', "").replace("\0", '"').split()
    assert column_changes(versions, "now", stats(names)) == told


def test_a_name_that_is_no_utf_8_is_told_as_far_as_it_can_be(versions: VersionedObjects) -> None:
    put(versions, "before", [b"id"])
    put(versions, "now", [b"id", b"caf\xe9"])
    assert column_changes(versions, "now", stats(["id"])) == "caf\N{REPLACEMENT CHARACTER} came"


def test_nothing_is_told_of_a_version_that_is_gone(versions: VersionedObjects) -> None:
    put(versions, "before", [b"id"])
    assert column_changes(versions, "now", stats(["id"])) == ""


def test_a_version_without_the_columns_of_an_export_is_none_before(versions: VersionedObjects) -> None:
    versions.write("empty", io.BytesIO())
    versions.write("other", io.BytesIO(b"id\tname\tage\n"))
    put(versions, "now", [b"id"])
    assert column_changes(versions, "now", stats(["id", "name"])) == ""
    assert column_changes(versions, "now", stats([])) == "id came"


@pytest.mark.parametrize(("age", "told"), [(1, "now came; column1 went"), (5, "now came; column5 went"), (6, "")])
def test_the_last_five_others_are_looked_at(versions: VersionedObjects, tmp_path: Path, age: int, told: str) -> None:
    put(versions, "now", [b"now"])
    for each in range(1, 7):
        put(versions, f"version{each}", [b"column%d" % each])
        os.utime(tmp_path / f"place/version{each}.tsv", (10**9 - each, 10**9 - each))
    assert column_changes(versions, "now", stats([f"column{age}"])) == told

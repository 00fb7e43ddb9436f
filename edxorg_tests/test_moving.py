"""Switching over a landing zone of the earlier pipeline, and back, before the eyes of a reader that merges."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from typing import TYPE_CHECKING, Literal

import dagster as dg
import pytest

from edxorg.lib.settings import Settings
from edxorg.lib.tables import RowHash
from edxorg_tests.support.archives import table_name, write_archive
from edxorg_tests.support.course_files import course_xml, structure
from edxorg_tests.support.location import ArchiveLocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COURSES = ("MITx-6.00x-2012_Fall", "MITx-18.05-1T2020")
TABLES = "edxorg/raw_data/db_table"
RAW = {"course_structure-prod-analytics.json": ("course_structure", "json"), "prod.mongo": ("forum_mongo", "mongo")}
RAW["course-prod-analytics.xml.tar.gz"] = ("course_xml", "xml.tar.gz")

Row = dict[str, str]


def archive(week: int) -> dict[str, bytes]:
    """Of two courses: each week one learner more, and one who changes; the rest is as it was."""
    members: dict[str, bytes] = {}
    for course in COURSES:
        people = [f"{number}\tlearner{number}\t{'a' if number else week}@x.example" for number in range(3 + week)]
        grades = [f'{number}\tNULL\t0.5\\tof\t5" disk\tnaïve' for number in range(4)]
        members[table_name("auth_user", course)] = "\n".join(["id\tusername\temail", *people, ""]).encode()
        members[table_name("grades_persistentcoursegrade", course)] = "\n".join(
            ["user_id\tletter_grade\tpercent_grade\tgrading_policy_hash\tcourse_id", *grades, ""]
        ).encode()
        members[f"{course}-course_structure-prod-analytics.json"] = structure(f"A course {week // 2}")
        members[f"{course}-course-prod-analytics.xml.tar.gz"] = course_xml()
        members[f"{course}-prod.mongo"] = b'{"_id": "p1", "_type": "Comment"}\n'
    return members


class EarlierPipeline:
    """What the earlier pipeline makes of an archive: each member an object, written anew whatever was there."""

    def __init__(self, lake: Path, *, quotes_everything: bool) -> None:
        self._lake = lake
        self._quotes_everything = quotes_everything

    def deliver(self, members: dict[str, bytes]) -> None:
        for name, content in members.items():
            course = next(course for course in COURSES if name.startswith(course))
            rest = name.removeprefix(f"{course}-")
            if rest in RAW:
                kind, extension = RAW[rest]
                self._write(f"edxorg/raw_data/{kind}/prod/{course}", content, extension)
            else:
                self._write(f"{TABLES}/{rest.split('-')[0]}/prod/{course}", self._table(course, content), "tsv")

    def _table(self, course: str, dump: bytes) -> bytes:
        header, *records = (line.split("\t") for line in dump.decode().splitlines())
        organization, number, run = course.split("-")
        added = ("key", "organization", "number", "run")
        names = [*header, *(f"extracted_course_{each}" for each in added), "extracted_source_platform", "row_hash"]
        out = io.StringIO()
        quoting: Literal[0, 1] = csv.QUOTE_ALL if self._quotes_everything else csv.QUOTE_MINIMAL
        writer = csv.writer(out, delimiter="\t", quoting=quoting, lineterminator="\n")
        writer.writerow(names)
        for record in records:
            row_hash = hashlib.sha256("".join(record).encode()).hexdigest()
            writer.writerow([*record, course, organization, number, run, "edxorg_prod", row_hash])
        return out.getvalue().encode()

    def _write(self, folder: str, content: bytes, extension: str) -> None:
        path = self._lake / folder / f"{hashlib.sha256(content).hexdigest()}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class MergingReader:
    """Loads objects that are newer than those it has loaded, and merges their rows, as the loader downstream does."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._loaded_until = 0
        self.rows: dict[str, dict[tuple[str, str], Row]] = {}

    def load(self) -> int:
        """Return the number of objects that are new or were written again."""
        found = sorted((path.stat().st_mtime_ns, path) for path in (self._lake / TABLES).glob("*/prod/**/*.tsv"))
        new = [(modified, path) for modified, path in found if modified > self._loaded_until]
        for modified, path in new:
            table = self.rows.setdefault(path.relative_to(self._lake / TABLES).parts[0], {})
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file, delimiter="\t"):
                    table[row["row_hash"], row["extracted_course_key"]] = row
            self._loaded_until = modified
        return len(new)

    def seen(self) -> dict[str, list[tuple[str, ...]]]:
        """The rows without their hashes, sorted: a row that is there twice is there twice."""
        return {
            table: sorted(tuple(value for name, value in row.items() if name != "row_hash") for row in rows.values())
            for table, rows in self.rows.items()
        }


class Lake:
    """A landing zone that both pipelines can write to, and its reader."""

    def __init__(
        self, folder: Path, instance: dg.DagsterInstance, row_hash: RowHash, *, quotes_everything: bool
    ) -> None:
        self.location = ArchiveLocation(folder, instance, Settings(row_hash=row_hash))
        self.earlier = EarlierPipeline(self.location.lake, quotes_everything=quotes_everything)
        self.reader = MergingReader(self.location.lake)

    def deliver(self, week: int) -> None:
        """By this location."""
        name = f"mitx-2024-01-{1 + week:02}.tar.gz"
        write_archive(self.location.archives / name, archive(week))
        assert self.location.run(name).success
        time.sleep(0.02)  # later objects are newer

    def raw_objects(self) -> dict[str, int]:
        """When each object that is no table was written."""
        folder = self.location.lake / "edxorg/raw_data"
        return {
            path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
            for kind, _ in RAW.values()
            for path in (folder / kind).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }


def seen_after(*weeks: int) -> dict[str, list[tuple[str, ...]]]:
    """The rows that any reader must have that has merged these archives."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for week in weeks:
        for name, content in archive(week).items():
            if name.endswith(".sql"):
                table = name.split("-")[-3]
                course = next(each for each in COURSES if name.startswith(each))
                for line in content.decode().splitlines()[1:]:
                    row = (*line.split("\t"), course, *course.split("-"), "edxorg_prod")
                    found.setdefault(table, set()).add(row)
    return {table: sorted(rows) for table, rows in found.items()}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.mark.parametrize("quotes_everything", [False, True], ids=["same bytes", "other bytes"])
def test_a_merging_reader_has_no_row_twice_and_loses_none_on_the_way_and_back(
    tmp_path: Path, instance: dg.DagsterInstance, *, quotes_everything: bool
) -> None:
    lake = Lake(tmp_path, instance, RowHash.CONCATENATED, quotes_everything=quotes_everything)
    lake.earlier.deliver(archive(0))
    assert lake.reader.load() == 4
    assert lake.reader.seen() == seen_after(0)
    raw = lake.raw_objects()

    lake.deliver(0)
    assert lake.reader.load() == (4 if quotes_everything else 0)
    assert lake.reader.seen() == seen_after(0)
    assert lake.raw_objects() == raw, "raw objects that are there are not written again"
    recorded = lake.location.everything_recorded()
    assert {asset.rpartition("/")[2] for asset, _ in recorded} >= {"auth_user", *(kind for kind, _ in RAW.values())}
    assert len(recorded) >= 5 * len(COURSES)

    lake.deliver(1)
    assert lake.reader.load() == 2
    assert lake.reader.seen() == seen_after(0, 1)

    time.sleep(0.02)
    lake.earlier.deliver(archive(2))
    lake.reader.load()
    assert lake.reader.seen() == seen_after(0, 1, 2)


def test_with_the_row_hash_of_records_a_merging_reader_has_each_row_twice(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    lake = Lake(tmp_path, instance, RowHash.RECORD, quotes_everything=False)
    lake.earlier.deliver(archive(0))
    lake.reader.load()
    lake.deliver(0)
    lake.reader.load()
    assert len(lake.reader.seen()["auth_user"]) == 2 * len(seen_after(0)["auth_user"])

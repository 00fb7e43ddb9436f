"""Whole commands and runs stay within 512 MB, all processes together, whatever they are given to read."""

from __future__ import annotations

import gzip
import tarfile
import threading
import time
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.archive.ingestion import PARTS_AT_ONCE
from edxorg_tests.memory import BUCKET, LANDING_ZONE, MOST, edxorg, run, tar_header
from edxorg_tests.support.archives import table_name, write_archive
from edxorg_tests.support.course_files import course_xml
from ol_orchestrate.lib.openedx.export_files import MAX_DOCUMENTS_BYTES
from ol_orchestrate.lib.openedx.safe_xml import MAX_MARKUP
from ol_orchestrate.testing.scripted import ScriptedS3, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ol_orchestrate.testing.scripted import Request, Response

TABLES = 6
TABLE_BYTES = 12 << 20
SMALL_TABLES = 900

RUN_ASSETS = """
import sys
from pathlib import Path
import dagster as dg
from edxorg_tests.support.course_files import Lake
with dg.instance_for_test(temp_dir=sys.argv[1]) as instance:
    lake = Lake(Path(sys.argv[1]), instance)
    lake.bring("edxorg/raw_data/course_structure", Path(sys.argv[2]).read_bytes())
    result = lake.flatten()
    rows = [row.count(b"\\n") for output in ("course_blocks", "flattened_course_structure")
            for row in lake.objects(output).values()]
    print(result.success, rows, file=sys.stderr)
"""


def pax(kind: bytes, content: bytes) -> bytes:
    return tar_header("pax", len(content), kind) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def global_headers_without_end() -> Iterator[bytes]:
    for number in range(60_000):
        yield pax(tarfile.XGLTYPE, b"%d %s=%s\n" % (2019, b"k%06d" % number, b"v" * 2005))


def sparse_map_without_end() -> Iterator[bytes]:
    record = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n32 GNU.sparse.realsize=99999999\n"
    yield pax(tarfile.XHDTYPE, record)
    yield tar_header(table_name(), 7 << 30)
    yield b"99999999\n"
    yield from [b"1\n0\n" * (1 << 18)] * 200


class SlowS3(ScriptedS3):
    """Takes a third of a second for each upload, and counts how many are under way; keeps no bytes."""

    def __init__(self) -> None:
        super().__init__(keep=False)
        self.most = 0
        self._now = 0
        self._counting = threading.Lock()

    def __call__(self, request: Request) -> Response:
        if request.method != "PUT" or len(request.body) <= 1 << 20:
            return super().__call__(request)
        self._count(1)
        time.sleep(0.3)
        self._count(-1)
        return super().__call__(request)

    def _count(self, more: int) -> None:
        with self._counting:
            self._now += more
            self.most = max(self.most, self._now)


def test_many_large_and_small_tables_and_a_slow_store_stay_within_the_bound_with_four_workers(
    tmp_path: Path,
) -> None:
    line = b"%07d\t" + b"x" * 400 + b"\n"
    table = b"id\tname\n" + b"".join(line % number for number in range(TABLE_BYTES // 409))
    members = {table_name(course=f"MITx-6.0{number}x-2012_Fall"): table for number in range(TABLES)}
    small = [
        b"id\tname\n" + b"".join(line % (number + row) for row in range(50 + number % 200))
        for number in range(SMALL_TABLES)
    ]
    members |= {table_name(course=f"MITx-7.{number:03}x-2012_Fall"): content for number, content in enumerate(small)}
    archive = write_archive(tmp_path / "mitx-2024-01-31.tar.gz", members)
    script = SlowS3()
    with serving(script) as server:
        variables = {**BUCKET, "AWS_ENDPOINT_URL": server.url, "EDXORG_WORKERS": "4"}
        ran = edxorg(tmp_path, "ingest", "archive", archive, "--landing-zone", LANDING_ZONE, variables=variables)
    assert ran.code == 0, ran.told
    assert len([key for key in script.objects if "/db_table/" in key]) == TABLES + SMALL_TABLES
    assert script.uploads == {}
    assert 1 < script.most <= PARTS_AT_ONCE
    assert ran.peak < MOST, f"{ran.peak >> 20} MB"


@pytest.mark.parametrize("headers", [global_headers_without_end, sparse_map_without_end])
def test_headers_of_a_tar_without_end_are_refused_within_the_bound(tmp_path: Path, headers: object) -> None:
    archive = tmp_path / "mitx-2024-01-31.tar.gz"
    with gzip.open(archive, "wb", compresslevel=1) as packed:
        packed.writelines(headers())  # type: ignore[operator]
    ran = edxorg(tmp_path, "ingest", "archive", archive, "--landing-zone", tmp_path / "lake")
    assert ran.code == 1
    assert "the tar data is damaged" in ran.told
    assert ran.peak < MOST, f"{ran.peak >> 20} MB"


def many(head: bytes, value: bytes, count: int, tail: bytes) -> bytes:
    return head + b",".join([value] * count) + tail


@pytest.mark.parametrize(("count", "is_read"), [(124_000, True), (1_000_000, False)])
def test_a_course_with_policies_of_many_tiny_values_stays_within_the_bound(
    tmp_path: Path, count: int, *, is_read: bool
) -> None:
    policies = {
        "policies/2012_Fall/policy.json": many(b'{"course/2012_Fall":{"tags":[', b'{"a":{}}', count, b"]}}"),
        "policies/2012_Fall/grading_policy.json": many(b'{"GRADER":[', b'{"a":{}}', count, b"]}"),
    }
    export = tmp_path / "MITx-6.00x-2012_Fall-course-prod-analytics.xml.tar.gz"
    export.write_bytes(course_xml(more=policies))
    ran = edxorg(tmp_path, "ingest", "course-xml", export, "--landing-zone", tmp_path / "lake")
    assert ran.code == 0, ran.told
    landed = list((tmp_path / "lake").rglob("course_grading_policy/prod/*/*.json"))
    assert [path.stat().st_size > count for path in landed] == [is_read]
    assert ran.peak < MOST, f"{ran.peak >> 20} MB"


def test_a_course_of_the_densest_xml_that_is_read_stays_within_the_bound(tmp_path: Path) -> None:
    dense = b"<problem>" + b'<a b="c"/>x' * (MAX_MARKUP - 2) + b"</problem>"
    export = tmp_path / "MITx-6.00x-2012_Fall-course-prod-analytics.xml.tar.gz"
    files = MAX_DOCUMENTS_BYTES // len(dense)
    export.write_bytes(course_xml(more={f"problem/p{number}.xml": dense for number in range(files)}))
    lake = tmp_path / "lake"
    variables = {"EDXORG_COURSE_XML_MAX_RATIO": "100000"}
    ran = edxorg(tmp_path, "ingest", "course-xml", export, "--landing-zone", lake, variables=variables)
    assert ran.code == 0, ran.told
    assert ran.peak < MOST, f"{ran.peak >> 20} MB"


@pytest.mark.parametrize(("count", "told"), [(299_000, "True [1, 1]"), (3_000_000, "False []")])
def test_a_run_on_a_structure_of_many_tiny_values_stays_within_the_bound(tmp_path: Path, count: int, told: str) -> None:
    structure = tmp_path / "structure.json"
    head = b'{"c": {"category": "course", "children": [], "metadata": {"x": ['
    structure.write_bytes(many(head, b'{"a":{}}' if count < 1_000_000 else b"{}", count, b"]}}}"))
    ran = run(tmp_path, "-c", RUN_ASSETS, tmp_path, structure)
    assert told in ran.told
    assert ran.peak < MOST, f"{ran.peak >> 20} MB"

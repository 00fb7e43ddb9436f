from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn
from xml.etree import ElementTree as ET

import pytest
from isal import igzip

from edxorg.lib.members import Member, MemberKind, identify
from edxorg.samples.archive import SampleArchiveSummary, scale_for, write_sample_archive
from edxorg.samples.courses import LTI_PASSPORT, sample_course
from edxorg.samples.olx import course_xml

if TYPE_CHECKING:
    from pathlib import Path

COURSES = 15
ROWS = 1_500

Members = list[tuple[Member, bytes]]


def read(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(identify(info.name, entry=info.type), read_all(tar, info)) for info in tar]


def read_all(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    assert file is not None
    return file.read()


def digest(path: Path) -> str:
    with gzip.open(path) as tar:
        return hashlib.sha256(tar.read()).hexdigest()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleArchiveSummary, Members]:
    path = tmp_path_factory.mktemp("sample") / "mitx-2024-01-07.tar.gz"
    summary = write_sample_archive(path, courses=COURSES, seed=3, rows_per_course=ROWS)
    assert summary.bytes_compressed == path.stat().st_size
    with gzip.open(path) as tar:
        assert summary.bytes_unpacked == len(tar.read())
    return summary, read(path)


@pytest.fixture
def summary(sample: tuple[SampleArchiveSummary, Members]) -> SampleArchiveSummary:
    return sample[0]


@pytest.fixture
def members(sample: tuple[SampleArchiveSummary, Members]) -> Members:
    return sample[1]


def records(member: Member, data: bytes) -> list[bytes]:
    """The header and the rows, told apart as the writer of that table did."""
    end = rb"(?<!\\)\n" if member.table == "courseware_studentmodule" else rb"\n"
    *lines, rest = re.split(end, data)
    assert rest == b""
    return lines


def tables(members: Members, name: str) -> list[tuple[Member, list[bytes]]]:
    return [(member, records(member, data)) for member, data in members if member.table == name]


def test_the_summary_counts_what_is_in_the_archive(summary: SampleArchiveSummary, members: Members) -> None:
    kinds = Counter(member.kind for member, _ in members)
    bodies = [records(member, data) for member, data in members if member.kind is MemberKind.TABLE]
    assert summary.courses == COURSES
    assert summary.members == len(members)
    assert summary.rows == sum(len(body) - 1 for body in bodies)
    assert summary.empty_tables == sum(len(body) == 1 for body in bodies)
    assert summary.missing_at_source == kinds[MemberKind.MISSING_AT_SOURCE] == 1
    assert summary.unrecognised == kinds[MemberKind.UNRECOGNISED] == 1
    assert summary.ignored == kinds[MemberKind.IGNORED] == 1
    assert summary.ambiguous == sum(member.ambiguous for member, _ in members) > 0
    assert summary.objects == sum(len(body) > 1 for body in bodies) + 3 * COURSES
    assert summary.objects + summary.empty_tables + 3 == summary.members
    for kind in (MemberKind.COURSE_STRUCTURE, MemberKind.COURSE_XML, MemberKind.FORUM):
        assert kinds[kind] == COURSES


def test_no_two_members_are_delivered_to_one_place(members: Members) -> None:
    places = Counter((member.kind, member.course, member.table) for member, _ in members if member.course)
    assert set(places.values()) == {1}


def test_broken_rows_are_where_the_summary_says(summary: SampleArchiveSummary, members: Members) -> None:
    """A row that is short by a field takes the rows beside it with it."""
    rejected = Counter[tuple[str, str | None]]()
    for member, data in members:
        if member.kind is not MemberKind.TABLE or (member.table == "auth_userprofile" and b'"{""' in data):
            continue
        header, *rows = records(member, data)
        assert member.course is not None
        for row in rows:
            fields = len(re.findall(rb"(?<!\\)\t", row)) - header.count(b"\t")
            is_text = row.decode(errors="ignore").encode() == row
            assert fields <= 0 or is_text
            rejected[member.course.course_id, member.table] += 3 if fields < 0 else int(fields > 0 or not is_text)
    assert +rejected == {
        ("MITx-1.100x-2012_Fall", "student_courseenrollment"): 5,
        ("MITx-2.101x-2T2017-A", "auth_user"): 5,
        ("MITx-3.102x-2T2016", "grades_persistentcoursegrade"): 5,
    }
    assert summary.rejected_rows == rejected.total()


def test_the_courses_have_every_kind_of_name(members: Members) -> None:
    courses = {(member.course.key(), member.ambiguous) for member, _ in members if member.course}
    assert len(courses) == COURSES
    assert ("MITx-2.101x-2T2017-A|prod", True) in courses
    assert ("MITx-3.102x-2T2016|edge", False) in courses
    assert ("MITx-4.103x-3T2017-ccx-12|prod", False) in courses
    assert ("MITx-15.114x-3T2021|edge", False) in courses
    paths = [member.path for member, _ in members]
    assert any("-prod-edge-analytics.sql" in path for path in paths)
    assert any(path.startswith("ora/") for path in paths)
    assert any(path.startswith("._") for path in paths)


def test_a_failed_export_holds_a_traceback_in_place_of_the_table(members: Members) -> None:
    ((failed, note),) = [(m, data) for m, data in members if m.kind is MemberKind.MISSING_AT_SOURCE]
    assert note.startswith(b"Traceback")
    there = [m for m, _ in members if (m.course, m.table) == (failed.course, failed.table)]
    assert there == [failed]


def test_student_modules_are_in_their_own_dialect(members: Members) -> None:
    rows = [row for _, body in tables(members, "courseware_studentmodule") for row in body[1:]]
    assert any(b"\\\n" in row for row in rows)  # a line end as data
    states = [row.split(b"\t")[4] for row in rows]
    documents = [json.loads(re.sub(rb"\\(.)", rb"\1", s, flags=re.DOTALL)) for s in states if s != b"NULL"]
    assert 0.82 < len(documents) / len(states) < 0.88
    assert any('"' in answer for document in documents for answer in document.get("student_answers", {}).values())


def test_other_tables_escape_in_two_characters(members: Members) -> None:
    ((_, body), *_) = tables(members, "wiki_articlerevision")
    assert rb"\r\n\r\n## " in body[1]
    assert b"\r" not in body[1]


def test_profiles_come_in_two_dialects(members: Members) -> None:
    newer, older = list[bytes](), list[bytes]()
    for _, body in tables(members, "auth_userprofile"):
        metas = [row.split(b"\t")[5] for row in body[1:]]
        if any(meta.startswith(b'"') for meta in metas):
            newer.append(b"\n".join(body))
            assert all(row.count(b'"') % 2 == 0 for row in body)
            metas = [meta[1:-1].replace(b'""', b'"') for meta in metas if meta]
        else:
            older.append(b"\n".join(body))
        assert {tuple(json.loads(meta)) for meta in metas if meta} == {("old_names",), ("session_id",)}
    assert (len(newer), len(older)) == (5, 10)
    assert b"\r" in b"".join(newer)
    assert b"\r" not in b"".join(older)


def test_course_structures_are_whole(members: Members) -> None:
    for _, data in [m for m in members if m[0].kind is MemberKind.COURSE_STRUCTURE]:
        blocks: dict[str, dict[str, Any]] = json.loads(data)
        (course,) = [key for key, block in blocks.items() if block["category"] == "course"]
        children = [child for block in blocks.values() for child in block["children"]]
        assert sorted([course, *children]) == sorted(blocks)
        assert blocks[course]["metadata"]["lti_passports"] == [LTI_PASSPORT]


def test_student_modules_belong_to_blocks_of_the_structure(members: Members) -> None:
    structures = {m.course: json.loads(data) for m, data in members if m.kind is MemberKind.COURSE_STRUCTURE}
    for member, body in tables(members, "courseware_studentmodule"):
        used = {row.split(b"\t")[2].decode() for row in body[1:]}
        assert used <= structures[member.course].keys()


def test_forums_are_json_lines(members: Members) -> None:
    for _, data in [m for m in members if m[0].kind is MemberKind.FORUM]:
        threads = [json.loads(line) for line in data.splitlines()]
        assert {thread["_type"] for thread in threads} == {"CommentThread"}


def test_course_xml_is_a_whole_course(members: Members) -> None:
    inline = 0
    for _, data in [m for m in members if m[0].kind is MemberKind.COURSE_XML]:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {info.name.partition("/")[2]: read_all(tar, info) for info in tar}
        trees = {path: ET.fromstring(text) for path, text in files.items() if path.endswith(".xml")}  # noqa: S314 - our own
        run = trees["course.xml"].get("url_name")
        for tree in trees.values():
            for child in tree:
                if child.tag in {"chapter", "sequential", "vertical", "problem", "html", "video"}:
                    inline += len(child) > 0
                    assert len(child) > 0 or f"{child.tag}/{child.get('url_name')}.xml" in files
        policy = json.loads(files[f"policies/{run}/policy.json"])[f"course/{run}"]
        assert policy["certificates"]["certificates"][0]["signatories"][0]["organization"] == "MITx"
        assert policy["lti_passports"] == [LTI_PASSPORT]
        assert LTI_PASSPORT in trees[f"course/{run}.xml"].get("lti_passports", "")
        assert json.loads(files[f"policies/{run}/grading_policy.json"])["GRADE_CUTOFFS"] == {"Pass": 0.6}
        assert all(f"html/{tree.get('filename')}.html" in files for tree in trees.values() if tree.tag == "html")
        assert any(tree.find("video_asset") is not None for tree in trees.values())
    assert inline > 0


def test_a_larger_course_is_a_matter_of_chapters() -> None:
    course = sample_course(0, seed=1, chapters=40)
    with tarfile.open(fileobj=io.BytesIO(course_xml(course))) as tar:
        assert sum(info.name.endswith(".xml") for info in tar) > 800
    assert len(course.blocks) == 1 + 40 * 23


def test_nobody_in_it_can_be_written_to(members: Members) -> None:
    for _, body in tables(members, "auth_user"):
        addresses = {row.split(b"\t")[4].partition(b"@")[2] for row in body[1:]}
        assert addresses == {b"example.com"}


def test_the_same_arguments_give_the_same_tar_on_every_machine(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        write_sample_archive(path, courses=4, seed=seed, rows_per_course=50)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert digest(paths[0]) == "b74f98012e5a6df8534b7ce58bbef227150375277bad949e5c1b5e7a2c56a6ae"
    assert digest(paths[2]) != digest(paths[0])


def test_a_sample_of_120_courses_has_the_members_of_a_real_package(tmp_path: Path) -> None:
    summary = write_sample_archive(tmp_path / "a", courses=120, seed=1, rows_per_course=40)
    assert (summary.members, summary.objects, summary.ambiguous) == (5_222, 3_176, 43)


@pytest.mark.parametrize("size", [5_000_000, 60_000_000])
def test_a_size_is_met_within_a_tenth(tmp_path: Path, size: int) -> None:
    scale = scale_for(size)
    summary = write_sample_archive(tmp_path / "a", courses=scale.courses, seed=1, rows_per_course=scale.rows_per_course)
    assert 0.9 < summary.bytes_unpacked / size < 1.1


def test_the_usual_course_is_of_the_usual_size() -> None:
    assert scale_for(593_000_000).courses == 120
    assert scale_for(0).rows_per_course == 1


def test_progress_ends_at_the_totals(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    summary = write_sample_archive(
        tmp_path / "a",
        courses=1,
        seed=1,
        rows_per_course=50,
        progress=lambda so_far: seen.append((so_far.bytes_unpacked, so_far.members)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (summary.bytes_unpacked, summary.members)
    assert asdict(summary)["members"] == len({members for _, members in seen}) - 1


def test_an_interrupted_sample_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "mitx-2024-01-07.tar.gz"
    out.write_bytes(b"an earlier one")

    def interrupt(_: SampleArchiveSummary) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample_archive(out, courses=1, seed=1, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b"an earlier one"


def test_a_huge_table_is_never_in_memory(tmp_path: Path) -> None:
    out = tmp_path / "a.tar.gz"
    script = (
        "import sys; from pathlib import Path; from edxorg.samples.archive import write_sample_archive; "
        "s = write_sample_archive(Path(sys.argv[1]), courses=1, seed=1, huge_table_bytes=300_000_000); "
        # Not `ru_maxrss`, which counts what the parent had when it forked.
        "print(s.rows, Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    output = subprocess.run([sys.executable, "-c", script, out], check=True, capture_output=True, text=True).stdout  # noqa: S603
    rows, kilobytes = map(int, output.split())
    assert kilobytes < 120_000
    with igzip.open(out) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:  # type: ignore[no-untyped-call]
        sizes = {identify(info.name).table: info.size for info in tar}
    assert 300_000_000 <= sizes["courseware_studentmodule"] < 305_000_000
    assert rows > 500_000

"""Archives of any size, as benchmarks and other tests use them."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, NoReturn

import pytest
from isal import igzip

from edxorg.samples.courses import LTI_PASSPORT
from edxorg.samples.sample_archive import scale_for, write_sample_archive
from edxorg_tests.support.plain_readers import PlainArchive, read_archive

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg.samples.package import ArchiveTruth

COURSES = 15


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArchiveTruth, PlainArchive]:
    path = tmp_path_factory.mktemp("sample") / "mitx-2024-02-14.tar.gz"
    truth = write_sample_archive(path, courses=COURSES, seed=3, rows_per_course=800)
    assert truth.bytes_compressed == path.stat().st_size
    with gzip.open(path) as tar:
        assert truth.bytes_unpacked == len(tar.read())
    return truth, read_archive(path)


def test_the_summary_counts_what_is_in_the_archive(sample: tuple[ArchiveTruth, PlainArchive]) -> None:
    truth, archive = sample
    tables = [rows for course in archive.courses.values() for rows in course.tables.values()]
    assert truth.courses == len(archive.courses) == COURSES
    assert truth.members == len(archive.names)
    assert truth.rows == sum(map(len, tables))
    assert truth.empty_tables == sum(not rows for rows in tables)
    assert truth.objects == sum(map(bool, tables)) + 3 * COURSES
    assert (truth.missing_at_source, truth.ignored, truth.email_opt_in) == (1, 1, 1)
    assert truth.objects + truth.empty_tables + 3 == truth.members
    assert truth.ambiguous == sum(name.startswith(("MITx-2.101.1-x", "ora/MITx-2.101.1-x")) for name in archive.names)
    assert truth.rejected_rows == 5


def test_no_two_members_have_one_name(sample: tuple[ArchiveTruth, PlainArchive]) -> None:
    names = sample[1].names
    assert len(names) == len(set(names))


def test_the_courses_have_every_kind_of_name(sample: tuple[ArchiveTruth, PlainArchive]) -> None:
    archive = sample[1]
    assert {
        "MITx-1.100x-1T2024|prod",
        "MITx-2.101.1-x-2T2024-A|prod",
        "MITx-1.100x-1T2024|edge",
        "MITx-4.103x-2012_Fall|prod",
        "MITx-1.100x-1T2024-ccx-12|prod",
        "MITx-13.112x-1T2024|edge",
    } <= archive.courses.keys()
    assert any("-prod-edge-analytics.sql" in name for name in archive.names)
    assert any(name.startswith("ora/") for name in archive.names)
    assert any(name.startswith("._") for name in archive.names)


def test_a_failed_export_holds_a_traceback_in_place_of_the_table(sample: tuple[ArchiveTruth, PlainArchive]) -> None:
    archive = sample[1]
    ((name, note),) = [(name, data) for name, data in archive.others.items() if name.endswith(".failed")]
    assert note.startswith(b"Traceback")
    assert name.removesuffix(".failed") not in archive.names


def test_the_tables_come_in_three_dialects(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    write_sample_archive(path, courses=3, seed=3, rows_per_course=2_000)
    with tarfile.open(path) as tar:
        files = {
            member.name: file.read() for member in tar if (file := tar.extractfile(member)) and ".sql" in member.name
        }
    modules = [data for name, data in files.items() if "courseware_studentmodule" in name]
    assert all(b"\\\n" in data for data in modules), "a line end as data, behind a backslash"
    articles = [data for name, data in files.items() if "wiki_articlerevision" in name]
    assert all(rb"\r\n\r\n## " in data and b"\r" not in data for data in articles)
    profiles = {name: data for name, data in files.items() if "auth_userprofile" in name}
    newer = [data for data in profiles.values() if b'"{""old_names""' in data]
    assert (len(newer), len(profiles)) == (1, 3)
    assert all(rb'{"old_names"' in data for data in profiles.values() if data not in newer)


def test_states_of_student_modules_are_json(sample: tuple[ArchiveTruth, PlainArchive]) -> None:
    states = [
        json.loads(state)
        for course in sample[1].courses.values()
        for state in course.column("courseware_studentmodule", "state")
    ]
    answers = [answer for state in states for answer in state.get("student_answers", {}).values()]
    assert any('"' in answer for answer in answers)
    assert any("\n" in answer for answer in answers)


def test_every_course_has_its_passports_in_structure_xml_and_policy(
    sample: tuple[ArchiveTruth, PlainArchive],
) -> None:
    for course in sample[1].courses.values():
        (root,) = [block for block in course.structure.values() if block["category"] == "course"]
        assert root["metadata"]["lti_passports"] == [LTI_PASSPORT]
        texts = {path: data.decode() for path, data in course.olx_files.items() if LTI_PASSPORT.encode() in data}
        assert sorted(re.sub(r"[^/]+\.xml|/[^/]+(?=/policy)", "", path) for path in texts) == [
            "course/",
            "policies/policy.json",
        ]


def test_a_sample_of_120_courses_has_the_members_of_a_real_package(tmp_path: Path) -> None:
    truth = write_sample_archive(tmp_path / "a", courses=120, seed=1, rows_per_course=1)
    assert (truth.courses, truth.members, truth.ambiguous) == (120, 5_222, 43)


def test_a_size_is_met_within_a_tenth(tmp_path: Path) -> None:
    size = 20_000_000
    scale = scale_for(size)
    truth = write_sample_archive(tmp_path / "a", courses=scale.courses, seed=1, rows_per_course=scale.rows_per_course)
    assert 0.9 < truth.bytes_unpacked / size < 1.1


def test_progress_ends_at_the_totals(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    truth = write_sample_archive(
        tmp_path / "a",
        courses=1,
        seed=1,
        rows_per_course=50,
        progress=lambda so_far: seen.append((so_far.bytes_unpacked, so_far.members)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (truth.bytes_unpacked, truth.members)


def test_an_interrupted_sample_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "mitx-2024-01-07.tar.gz"
    out.write_bytes(b"an earlier one")

    def interrupt(_: ArchiveTruth) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample_archive(out, courses=1, seed=1, rows_per_course=50, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b"an earlier one"


def test_a_huge_table_is_never_in_memory(tmp_path: Path) -> None:
    out = tmp_path / "a.tar.gz"
    script = (
        "import sys; from pathlib import Path; from edxorg.samples.sample_archive import write_sample_archive; "
        "s = write_sample_archive(Path(sys.argv[1]), courses=1, seed=1, rows_per_course=8_000, "
        "huge_table_bytes=300_000_000); "
        # Not `ru_maxrss`, which counts what the parent had when it forked.
        "print(s.rows, Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    output = subprocess.run([sys.executable, "-c", script, out], check=True, capture_output=True, text=True).stdout  # noqa: S603
    rows, kilobytes = map(int, output.split())
    assert kilobytes < 120_000
    with igzip.open(out) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:  # type: ignore[no-untyped-call]
        sizes = {member.name: member.size for member in tar}
    assert 300_000_000 <= sizes["MITx-1.100x-1T2024-courseware_studentmodule-prod-analytics.sql"] < 320_000_000
    assert rows > 500_000

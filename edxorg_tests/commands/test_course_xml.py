"""The commands for the export of one course, as a user calls them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.samples.courses import LTI_PASSPORT
from edxorg.samples.sample_archive import write_sample_archive
from edxorg_tests.support.archives import landed, times
from edxorg_tests.support.course_files import XML_OUTPUTS, course_xml

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg_tests.support.shell import Shell

SECRET = LTI_PASSPORT.split(":")[2]


def sample(edxorg: Shell, path: Path) -> dict[str, Any]:
    code, _, _ = edxorg("sample", "course-xml", "--out", path, "--blocks", 40, "--size", "1MB", "--seed", 3)
    assert code == 0
    code, out, _ = edxorg("inspect", path, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_from_a_sample_to_the_landing_zone(edxorg: Shell, tmp_path: Path) -> None:
    export, lake = tmp_path / "course.tar.gz", tmp_path / "lake"
    found = sample(edxorg, export)
    assert sum(found["blocks"].values()) == found["rows"]["course_xml_blocks"] == 40
    assert (found["partition"], found["problems"]) == ("MITx-1.100x-1T2024|prod", [])
    assert 900_000 < export.stat().st_size < 1_100_000
    code, out, _ = edxorg("ingest", "course-xml", export, "--landing-zone", lake)
    assert code == 0
    objects = landed(lake)
    assert {key.split("/")[2] for key in objects} == set(XML_OUTPUTS)
    assert all(f"{lake}/{key}" in out for key in objects)
    written = times(lake)
    code, out, _ = edxorg("ingest", "course-xml", export, "--landing-zone", lake, "--json")
    assert code == 0
    assert times(lake) == written
    again = json.loads(out)
    assert set(again["objects"]) == set(XML_OUTPUTS)
    assert again["rows"] == found["rows"]
    assert SECRET not in out
    assert not any(SECRET.encode() in path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())


def test_a_name_like_those_of_edx_tells_the_course_and_the_site(edxorg: Shell, tmp_path: Path) -> None:
    export = tmp_path / "MITx-6.00x-2012_Fall-A-ccx-2-course-edge-analytics.xml.tar.gz"
    export.write_bytes(course_xml(more={"html/bad.xml": b"<html"}))
    code, out, _ = edxorg("inspect", export)
    assert code == 0
    assert "course-v1:MITx+6.00x+2012_Fall" in out
    assert "MITx-6.00x-2012_Fall-A-ccx-2|edge" in out
    assert "html/bad.xml:1" in out


def test_a_name_tells_the_run_that_studio_called_course(edxorg: Shell, tmp_path: Path) -> None:
    export = tmp_path / "MITx-6.00x-1T2016-course-prod-analytics.xml.tar.gz"
    files = {"course.xml": b'<course url_name="course" org="MITx" course="6.00x"/>', "course/course.xml": b"<course/>"}
    export.write_bytes(course_xml(more=files))
    code, out, _ = edxorg("inspect", export, "--json")
    assert (code, json.loads(out)["course_id"]) == (0, "course-v1:MITx+6.00x+1T2016")


@pytest.mark.parametrize("command", [("inspect",), ("ingest", "course-xml")])
@pytest.mark.parametrize(
    ("content", "code", "said"),
    [(None, 2, "there is no such object"), (gzip.compress(b"x" * 99)[:12], 1, "is truncated: the gzip")],
)
def test_what_is_no_export_is_one_line(
    edxorg: Shell, tmp_path: Path, command: tuple[str, ...], content: bytes | None, code: int, said: str
) -> None:
    path = tmp_path / "x.xml.tar.gz"
    if content is not None:
        path.write_bytes(content)
    found, _, errors = edxorg(*command, path)
    assert found == code
    assert said in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_an_export_of_high_ratio_is_refused_until_the_setting_that_the_error_names_is_raised(
    edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = tmp_path / "x.tar.gz"
    export.write_bytes(course_xml(more={"about/zeros.html": bytes(70 << 20)}))
    ingest = ("ingest", "course-xml", export, "--landing-zone", tmp_path / "lake")
    code, _, errors = edxorg(*ingest)
    assert code == 1
    assert errors.endswith("If it is a real course, raise EDXORG_COURSE_XML_MAX_RATIO\n")
    monkeypatch.setenv("EDXORG_COURSE_XML_MAX_RATIO", "1100")
    code, _, errors = edxorg(*ingest)
    assert (code, errors) == (0, "".join(f"Made the folder {tmp_path}/{name}\n" for name in ("lake", "home")))
    assert any("course_static_assets/" in key for key in landed(tmp_path / "lake"))


@pytest.mark.parametrize("landing_zone", ["ftp://host/x", "s3://"])
def test_a_landing_zone_that_is_no_url_of_a_store_is_a_mistake(
    edxorg: Shell, tmp_path: Path, landing_zone: str
) -> None:
    export = tmp_path / "x.tar.gz"
    export.write_bytes(course_xml())
    code, _, errors = edxorg("ingest", "course-xml", export, "--landing-zone", landing_zone)
    assert code == 2
    assert errors.count("\n") == 1
    assert "s3://bucket/prefix" in errors


def test_broken_settings_show_no_secret(edxorg: Shell, tmp_path: Path) -> None:
    export = tmp_path / "x.tar.gz"
    broken = {
        "policies/2012_Fall/policy.json": b'{"course/2012_Fall": {"lti_passports": ["a:b:SECRET"],}',
        "html/x.xml": b'<html lti_passports="a:b:&SECRET;"/>',
        "about/x.json": b'{"lti_passports": ["a:b:SECRET"',
    }
    export.write_bytes(course_xml(more=broken))
    ingest = ("ingest", "course-xml", "--landing-zone", tmp_path / "lake")
    for command in (("inspect",), ("inspect", "--json"), ingest, (*ingest, "--json")):
        code, out, errors = edxorg(*command, export)
        assert code == 0
        assert "policy.json:1:" in out
        assert "SECRET" not in out + errors
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path != export]
    assert any(path.suffix == ".db" for path in kept)
    for path in kept:
        data = path.read_bytes()
        assert b"SECRET" not in (gzip.decompress(data) if path.suffix == ".gz" else data), path


def test_an_archive_of_many_courses_is_still_told_as_that(edxorg: Shell, tmp_path: Path) -> None:
    path = tmp_path / "renamed.tar.gz"
    write_sample_archive(path, courses=1, rows_per_course=5, seed=0)
    code, out, _ = edxorg("inspect", path, "--json")
    assert code == 0
    assert "members" in json.loads(out)

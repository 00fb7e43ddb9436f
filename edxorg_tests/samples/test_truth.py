"""The truth that a university tells about its files is what plain readers find, and what the pipeline delivers."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from datetime import date
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.tracking_log import normalize_log
from edxorg.lib.workers import WorkerPool
from edxorg.samples.hazards import HAZARDS, UnknownHazardError, hazards_named
from edxorg_tests.support.archives import landed, times
from edxorg_tests.support.tracking_logs import rows
from ol_orchestrate.lib.openedx import read_course, read_course_structure
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from edxorg.lib.archive.ingest_report import IngestReport
    from edxorg_tests.samples.conftest import Written

    Delivered = list[tuple[dict[str, Any], IngestReport, dict[str, bytes]]]


def test_the_truth_about_an_archive_is_in_it(plain: Written) -> None:
    for truth, archive in zip(plain.truth["archives"].values(), plain.archives, strict=True):
        assert truth["members"] == len(archive.names)
        assert truth["by_course"].keys() == archive.courses.keys()
        for partition, told in truth["by_course"].items():
            course = archive.courses[partition]
            enrollments = course.tables["student_courseenrollment"]
            assert Counter(row["mode"] for row in enrollments) == told["enrollments"]
            assert sum(row["is_active"] == "1" for row in enrollments) == told["active"]
            assert Counter(course.column("certificates_generatedcertificate", "status")) == told["certificates"]
            assert Counter(post["_type"] for post in course.forum) == told["posts"]
            assert len(course.structure) == told["blocks"]
            assert sum(block["category"] == "video" for block in course.structure.values()) == told["videos"]
            for table, about in told["tables"].items():
                assert about["rows"] == len(course.tables.get(table, ()))
                assert not about["rejected"]


def test_the_truth_about_a_log_is_in_it(plain: Written) -> None:
    for name, truth in plain.truth["logs"].items():
        events = plain.logs[name]
        types = Counter("request" if event["event_type"].startswith("/") else event["event_type"] for event in events)
        assert types == truth["by_type"]
        assert Counter(event["event_source"] for event in events) == truth["by_source"]
        assert truth["lines"] == truth["events"] == len(events)
        assert not truth["rejected"]


@pytest.fixture(scope="module")
def delivered(hazardous: Written, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """Each archive's truth, and what was delivered of it alone; of twins the one that is recorded."""
    deliveries = []
    for name, truth in hazardous.truth["archives"].items():
        folder = tmp_path_factory.mktemp("lake")
        options = IngestOptions(f"file://{folder}", archive_date=date(2024, 1, 31))
        source = open_store(f"file://{hazardous.folder}").read(name)
        with PendingRecords() as to_record:
            result = ingest_archive(source, options, NothingRecorded(), to_record, workers=1)
            result.finish([])
        assert result.problem is None
        objects, newest = landed(folder), {}
        for key, _ in sorted(times(folder).items(), key=itemgetter(1)):
            newest[key.rpartition("/")[0] if "/db_table/" in key and "/raw_data/" in key else key] = objects[key]
        deliveries.append((truth, result.report, newest))
    return deliveries


def read_table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter="\t"))


def test_the_pipeline_delivers_the_archives_as_the_truth_says(delivered: Delivered) -> None:
    for truth, report, objects in delivered:
        outcomes = {str(outcome): count for outcome, count in report.outcomes.items()}
        assert outcomes == {
            "unrecognised": truth["unrecognised"],
            "delivered": truth["objects"] + truth["email_opt_in"],
            "empty": truth["empty_tables"],
            "missing at the source": truth["missing_at_source"],
            "ignored": truth["ignored"],
        }
        assert sum(report.rows_rejected.values()) >= truth["rejected_rows"] > 0
        assert report.claimed_twice.total == truth["twins"] == 1
        tables = {key: content for key, content in objects.items() if "/db_table/" in key and "/raw_data/" in key}
        for partition, told in truth["by_course"].items():
            course_id, site = partition.split("|")
            for table, about in told["tables"].items():
                found = [content for key, content in tables.items() if key.endswith(f"/{table}/{site}/{course_id}")]
                landed_rows = [row for content in found for row in read_table(content)]
                assert len(landed_rows) == about["rows"] - sum(about["rejected"].values()), (partition, table)
                rejects = [
                    json.loads(line)["reason"]
                    for key, content in objects.items()
                    if f"rejects/db_table/{table}/{site}/{course_id}/" in key
                    for line in content.splitlines()
                ]
                assert Counter(rejects) == about["rejected"]
                if about["lost"]:
                    assert 2 * len(landed_rows) < about["rows"] + about["lost"]
                if table == "student_courseenrollment":
                    assert Counter(row["mode"] for row in landed_rows) == told["enrollments"]
                if table == "certificates_generatedcertificate":
                    assert Counter(row["status"] for row in landed_rows) == told["certificates"]


def test_the_pipeline_reads_the_courses_as_the_truth_says(delivered: Delivered) -> None:
    truth, _, objects = delivered[0]
    seen = 0
    for partition, told in truth["by_course"].items():
        course_id, site = partition.split("|")
        for key, content in objects.items():
            if f"course_structure/{site}/{course_id}/" in key:
                structure = read_course_structure(io.BytesIO(content))
                assert len(structure.blocks) == told["blocks"]
            if f"course_xml/{site}/{course_id}/" in key:
                seen += 1
                course = read_course(io.BytesIO(content), course_id=course_id)
                if told["has_old_olx"]:
                    assert course.course_id == told["course_key"]
                videos = sum(block.key.block_type == "video" for block in course.blocks)
                assert videos == told["videos"]
                assert len(course.blocks) == told["blocks"] - told["broken_blocks"]
                assert len(course.problems) == told["broken_blocks"]
    assert seen == 5
    assert sum(told["has_old_olx"] for told in truth["by_course"].values()) == 1
    assert sum(told["broken_blocks"] for told in truth["by_course"].values()) == 1


def test_the_pipeline_normalizes_the_logs_as_the_truth_says(hazardous: Written) -> None:
    with WorkerPool(object, workers=1) as pool:
        for name, truth in hazardous.truth["logs"].items():
            packed = (hazardous.folder / name).read_bytes()
            log = normalize_log([packed], name=name, pool=pool, progress=lambda _: None)
            try:
                report, events = log.report, rows(log)
            finally:
                log.close()
            assert report.lines_in == truth["lines"]
            assert report.blank == truth["blank"]
            assert (report.syslog_prefixes, report.nul_bytes) == (truth["syslog_prefixes"], truth["nul_bytes"])
            assert report.rejected == truth["rejected"]
            types = Counter(
                "request" if (event["event_type"] or "").startswith("/") else event["event_type"] for event in events
            )
            assert types == truth["by_type"]
            assert Counter(event["event_source"] for event in events) == truth["by_source"]
            courses = Counter(json.loads(event["context"] or "")["course_id"] for event in events)
            assert courses == truth["by_course"]
            day = re.findall(r"\d{4}-\d\d-\d\d", name)[0]
            assert sum((event["time"] or "")[:10] < day for event in events) == truth["late"]
            assert sum((event["username"] or "").endswith("\n") for event in events) == truth["line_ends_in_names"]
            assert [key for key in report.columns if key in {"label", "nonInteraction"}] == truth["late_keys"]


def test_each_hazard_is_in_the_files(hazardous: Written, plain: Written) -> None:
    """What has no number in the truth is looked for here."""
    _, second_name = hazardous.truth["archives"]
    log = gzip.decompress((hazardous.folder / "mitx-edx-events-2024-01-19.log.gz").read_bytes())
    assert b"\n" + b"\0" * 64 + b"{" in log
    assert b" localhost {" in log
    assert re.search(rb'"username": "\w*\\n"', log)
    assert re.search(rb'"time": "[^"]+Z"', log)
    assert re.search(rb'"time": "[^"]+-05:00"', log)
    assert re.search(rb'"time": \d{10},', log)
    assert re.search(rb'"time": \d{13},', log)
    half = len(log) // 2
    assert b'"nonInteraction"' not in log[: half // 2]
    assert b'"nonInteraction"' in log[half:]
    usual = re.compile(rb'"time": (?!"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"|"300-01-01")["\d]')
    for name, told in hazardous.truth["logs"].items():
        assert len(usual.findall(gzip.decompress((hazardous.folder / name).read_bytes()))) == told["odd_times"]
    first, second = hazardous.archives
    assert sorted(first.courses.keys() - second.courses) == hazardous.truth["archives"][second_name]["vanished"]
    assert len(second.courses["MITx-1.100x-1T2024|prod"].tables["user_api_usercoursetag"]) == 1
    assert len(first.courses["MITx-1.100x-1T2024|prod"].tables["user_api_usercoursetag"]) > 2
    assert "course/course.xml" in first.courses["MITx-1.100x-1T2024|prod"].olx_files
    assert first.others.keys() - plain.archives[0].others.keys() == {
        "._MITx-email_opt_in-prod-analytics.csv",
        "README.txt",
    }
    totals = Counter[str]()
    for truth in hazardous.truth["logs"].values():
        totals.update(truth["rejected"])
    assert totals.keys() == {"no_json_object", "unreadable_time", "repeated_key", "lone_surrogate"}
    (told,) = [
        x for x in hazardous.truth["archives"]["mitx-2024-01-24.tar.gz"]["by_course"].values() if x["forum_rejected"]
    ]
    assert told["forum_rejected"] == 1


def test_hazards_are_chosen_by_name() -> None:
    assert hazards_named("ragged, late-keys") == {"ragged", "late-keys"}
    assert hazards_named("all") == set(HAZARDS)
    assert hazards_named("") == frozenset()
    with pytest.raises(UnknownHazardError, match="'raged' is no hazard: choose from ragged, "):
        hazards_named("late-keys,raged")

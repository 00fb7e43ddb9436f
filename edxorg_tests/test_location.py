"""The names of a location, and those that all locations of the source have."""

from datetime import date

import pytest

from edxorg.location import EDXORG, location_names
from ol_orchestrate.lib.record_tags import RecordTags
from ol_orchestrate.lib.versions import Recorded, TableStats, short_hash
from ol_orchestrate.location_names import LocationNames

RECORDED = {
    "dagster/data_version": "1a",
    "edxorg/landing_zone": short_hash("s3://lake"),
    "edxorg/archive_date": "2024-01-31",
    "edxorg/row_count": "3",
    "edxorg/columns": "id,name",
    "edxorg/row_count_before": "4",
    "edxorg/columns_before": "id",
    "edxorg/made_from": "2b",
}
"""Tags as lakes have them on record."""

STATS, BEFORE = TableStats(3, "id,name"), TableStats(4, "id")


@pytest.mark.parametrize("location", [EDXORG, location_names("harvard")], ids=lambda location: location.location)
def test_each_location_writes_and_reads_the_tags_that_lakes_have_on_record(location: LocationNames) -> None:
    day = date(2024, 1, 31)
    tags = location.tags.of("1a", "s3://lake", source_date=day, stats=STATS, before=BEFORE, made_from="2b")
    assert tags == RECORDED
    assert location.tags.recorded(RECORDED, "s3://lake") == Recorded("1a", day, STATS, BEFORE, "2b")
    assert location.permanent_failure == "edxorg/permanent_failure"


@pytest.mark.parametrize(
    ("prefix", "landing_zone"), [("school", "s3://lake"), ("edxorg", "s3://other")], ids=["prefix", "landing zone"]
)
def test_records_of_another_prefix_or_landing_zone_are_not_read(prefix: str, landing_zone: str) -> None:
    assert RecordTags(prefix).recorded(RECORDED, landing_zone) is None


def test_another_location_has_courses_of_its_own() -> None:
    assert EDXORG.courses.name == "course_and_source"
    assert location_names("harvard").courses.name == "harvard_course_and_source"

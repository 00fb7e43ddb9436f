"""Names of assets and keys of objects, spelled out, and read back."""

from __future__ import annotations

import pytest

from edxorg.lib import object_keys
from edxorg.lib.members import Member, MemberKind
from edxorg.lib.object_keys import COURSE_KEYS
from ol_orchestrate.lib.course_content_keys import CourseKeys
from ol_orchestrate.lib.course_partition import CoursePartition, Site
from ol_orchestrate.lib.errors import BadInputError

COURSE = CoursePartition("MITx-6.00x-2012_Fall", Site.EDGE)
ORGANIZATION = "MITx"
KINDS = {
    MemberKind.TABLE: ("edxorg/raw_data/db_table/auth_user", "tsv"),
    MemberKind.FORUM: ("edxorg/raw_data/forum_mongo", "mongo"),
    MemberKind.FORUM_POSTS: ("edxorg/processed_data/forum_posts", "json"),
    MemberKind.EMAIL_OPT_IN: ("edxorg/raw_data/email_opt_in", "csv"),
    MemberKind.COURSE_STRUCTURE: ("edxorg/raw_data/course_structure", "json"),
    MemberKind.COURSE_XML: ("edxorg/raw_data/course_xml", "xml.tar.gz"),
}


def member(kind: MemberKind) -> Member:
    if kind is MemberKind.EMAIL_OPT_IN:
        return Member("path", kind, organization=ORGANIZATION)
    return Member("path", kind, COURSE, table="auth_user" if kind is MemberKind.TABLE else None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_is_below_its_asset_site_and_course(kind: MemberKind) -> None:
    asset, extension = KINDS[kind]
    folder = ORGANIZATION if kind is MemberKind.EMAIL_OPT_IN else "edge/MITx-6.00x-2012_Fall"
    assert object_keys.raw_data_asset(kind, "auth_user") == asset
    assert object_keys.raw_data_key(member(kind), "5ha") == f"{asset}/{folder}/5ha.{extension}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_tells_its_asset_partition_and_version(kind: MemberKind) -> None:
    asset, _ = KINDS[kind]
    each = member(kind)
    key = object_keys.raw_data_key(each, "5ha")
    (prefix,) = (prefix for prefix in object_keys.raw_data_prefixes() if key.startswith(prefix))
    assert object_keys.is_raw_data_asset(asset)
    assert object_keys.raw_data_asset_of(prefix, key) == asset
    assert object_keys.raw_data_version(asset, key) == (each.partition, "5ha")


@pytest.mark.parametrize(
    "key",
    [
        "edxorg/raw_data/forum_mongo/edge/MITx-6.00x-2012_Fall/5ha.json",
        "edxorg/raw_data/forum_mongo/edge/MITx-6.00x-2012_Fall/more/5ha.mongo",
        "edxorg/raw_data/forum_mongo/MITx-6.00x-2012_Fall/5ha.mongo",
    ],
)
def test_another_key_below_an_asset_is_no_version_of_it(key: str) -> None:
    assert object_keys.raw_data_version("edxorg/raw_data/forum_mongo", key) is None


def test_preferences_below_a_site_are_no_version_of_an_organization() -> None:
    asset = object_keys.EMAIL_OPT_IN
    assert object_keys.raw_data_version(asset, f"{asset}/edge/MITx/5ha.csv") is None


@pytest.mark.parametrize("asset", ["edxorg/raw_data/tracking_logs", "edxorg/raw_data_archive", "edxorg/raw_data"])
def test_an_asset_that_is_not_made_of_members_is_no_raw_data_asset(asset: str) -> None:
    assert not object_keys.is_raw_data_asset(asset)


def test_a_member_without_a_partition_has_no_key() -> None:
    with pytest.raises(ValueError, match="path has no key"):
        object_keys.raw_data_key(Member("path", MemberKind.TABLE), "5ha")


@pytest.mark.parametrize("kind", [MemberKind.UNRECOGNISED, MemberKind.IGNORED, MemberKind.MISSING_AT_SOURCE])
def test_what_is_not_delivered_has_no_asset(kind: MemberKind) -> None:
    with pytest.raises(ValueError, match="delivered nowhere"):
        object_keys.raw_data_asset(kind)


def test_rejects_are_beside_the_course_and_kind_that_they_are_of() -> None:
    table, forum = member(MemberKind.TABLE), member(MemberKind.FORUM)
    folder = "edxorg/rejects/db_table/auth_user/edge/MITx-6.00x-2012_Fall"
    assert object_keys.rejected_rows_key(table, "5ha") == f"{folder}/5ha.ndjson"
    assert object_keys.rejected_record_key(table, "5ha") == f"{folder}/5ha.record"
    assert object_keys.rejected_rows_key(forum, "5ha") == "edxorg/rejects/forum/edge/MITx-6.00x-2012_Fall/5ha.ndjson"
    with pytest.raises(ValueError, match="only members of a course"):
        object_keys.rejected_rows_key(member(MemberKind.EMAIL_OPT_IN), "5ha")


def test_keys_of_logs_reports_marks_and_the_catalogue() -> None:
    assert object_keys.normalized_log_key("day.log.gz") == "edxorg/raw_data/tracking_logs/normalized_day.log.gz"
    assert object_keys.rejected_lines_key("day.log.gz") == "edxorg/rejects/tracking_logs/day.log.gz.ndjson.gz"
    assert object_keys.oversized_lines_folder("day.log.gz") == "edxorg/rejects/tracking_logs/day.log.gz/"
    assert object_keys.oversized_line_key("a", "5ha") == "edxorg/rejects/tracking_logs/a/5ha.record.gz"
    assert object_keys.archive_report_key("week.tar.gz") == "edxorg/reports/week.tar.gz.html"
    assert object_keys.api_data_asset("course") == "edxorg/api_data/course"
    assert object_keys.api_data_key("course", "5ha") == "edxorg/api_data/course/5ha.json"
    assert object_keys.run_mark_key("r-u.n", 2) == "edxorg/unfinished/r-u.n.2.json"


def test_a_mark_tells_its_run() -> None:
    assert object_keys.run_of_mark(object_keys.run_mark_key("3f2a-91", 12)) == "3f2a-91"


def test_names_of_assets_stay() -> None:
    assert object_keys.SOURCE == "edxorg"
    assert object_keys.RAW_DATA_ARCHIVE == "edxorg/raw_data_archive"
    assert object_keys.RAW_TRACKING_LOGS == "edxorg/raw_tracking_logs"
    assert object_keys.TRACKING_LOGS == "edxorg/raw_data/tracking_logs"
    assert object_keys.COURSE_CONTENT_WEBHOOK == "edxorg/course_content_webhook"


def test_keys_of_course_content_are_below_the_prefix_of_their_location() -> None:
    keys = CourseKeys("place")
    assert keys.course_structure == "place/raw_data/course_structure"
    assert keys.course_xml == "place/raw_data/course_xml"
    assert keys.output("course_blocks") == "place/processed_data/course_blocks"
    blocks = "place/processed_data/course_blocks/MITx-6.00x-2012_Fall|edge/5ha.json"
    assert keys.structure_output("course_blocks", COURSE, "5ha") == blocks
    folder = "place/processed_data/course_video/edge/MITx-6.00x-2012_Fall"
    assert keys.export_output("course_video", COURSE, "5ha") == f"{folder}/5ha.json"
    assert keys.static_assets("course_video", COURSE, "5ha") == f"{folder}/5ha.tar.gz"
    assert keys.manifest("course_video", COURSE) == f"{folder}/manifest.json"


def test_a_course_id_with_a_slash_has_no_key_since_it_could_name_another_outputs_folder() -> None:
    course = CoursePartition("../course_video/MITx", Site.PROD)
    with pytest.raises(BadInputError, match="without slashes"):
        COURSE_KEYS.structure_output("course_blocks", course, "5ha")
    with pytest.raises(BadInputError, match="without slashes"):
        COURSE_KEYS.manifest("course_blocks", course)

"""Where everything lands, below the landing zone: the one place that builds asset names and object keys.

An asset's name is its Dagster key joined by slashes, and the beginning of its objects' keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.members import MemberKind

if TYPE_CHECKING:
    from edxorg.lib.members import Member
    from ol_orchestrate.lib.course_partition import CoursePartition

RAW_DATA_ARCHIVE = "edxorg/raw_data_archive"
RAW_TRACKING_LOGS = "edxorg/raw_tracking_logs"
TRACKING_LOGS = "edxorg/raw_data/tracking_logs"

_EXTENSIONS = {
    MemberKind.TABLE: "tsv",
    MemberKind.COURSE_STRUCTURE: "json",
    MemberKind.COURSE_XML: "xml.tar.gz",
    MemberKind.FORUM: "mongo",
}


def raw_data_asset(kind: MemberKind, table: str | None = None) -> str:
    """The asset that a member of an archive is a partition of."""
    match kind:
        case MemberKind.TABLE:
            return f"edxorg/raw_data/db_table/{table}"
        case MemberKind.FORUM:
            return "edxorg/raw_data/forum_mongo"
        case MemberKind.COURSE_STRUCTURE | MemberKind.COURSE_XML:
            return f"edxorg/raw_data/{kind}"
        case _:
            raise ValueError(f"{kind} is delivered nowhere")


def raw_data_key(member: Member, sha256: str) -> str:
    """Where a member lands, by the SHA-256 of what lands."""
    return f"{raw_data_asset(member.kind, member.table)}/{_place(member.course)}/{sha256}.{_EXTENSIONS[member.kind]}"


def rejected_rows_key(member: Member, sha256: str) -> str:
    """Where the rejected rows of a table land."""
    return f"{_rejects(member)}/{sha256}.ndjson"


def rejected_record_key(member: Member, sha256: str) -> str:
    """Where a record lands that is too large for a line of the rejects."""
    return f"{_rejects(member)}/{sha256}.record"


def _rejects(member: Member) -> str:
    return f"edxorg/rejects/db_table/{member.table}/{_place(member.course)}"


def _place(course: CoursePartition | None) -> str:
    if course is None:
        raise ValueError("only what belongs to a course has a key")
    return f"{course.site}/{course.course_id}"

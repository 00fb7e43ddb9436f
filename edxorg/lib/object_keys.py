"""Builds all asset names, and all object keys below the landing zone.

An asset's name is its Dagster key joined by slashes, and the beginning of its objects' keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.members import MemberKind
from ol_orchestrate.lib.course_content_keys import CourseKeys

if TYPE_CHECKING:
    from edxorg.lib.members import Member

SOURCE = "edxorg"
"""The first part of all asset names, object keys and tags, whatever a location is called."""

COURSE_KEYS = CourseKeys(SOURCE)
COURSE_STRUCTURE = COURSE_KEYS.course_structure
COURSE_XML = COURSE_KEYS.course_xml

COURSE_CONTENT_WEBHOOK = "edxorg/course_content_webhook"
"""Name of the asset of messages about new versions of courses; it has no objects."""

RAW_DATA_ARCHIVE = "edxorg/raw_data_archive"
RAW_TRACKING_LOGS = "edxorg/raw_tracking_logs"
TRACKING_LOGS = "edxorg/raw_data/tracking_logs"

RUN_MARKS = "edxorg/unfinished"
"""Folder of the marks of archive runs that are not over, or died."""

_REJECTED_LINES = "edxorg/rejects/tracking_logs"

TABLES = "edxorg/raw_data/db_table/"
FORUM = "edxorg/raw_data/forum_mongo"
FORUM_POSTS = COURSE_KEYS.output("forum_posts")
EMAIL_OPT_IN = "edxorg/raw_data/email_opt_in"

_EXTENSIONS = {
    COURSE_STRUCTURE: "json",
    COURSE_XML: "xml.tar.gz",
    FORUM: "mongo",
    FORUM_POSTS: "json",
    EMAIL_OPT_IN: "csv",
}
"""File extension of the objects of each asset that is no table."""


def raw_data_asset(kind: MemberKind, table: str | None = None) -> str:
    """Return the asset that a member of an archive is a partition of."""
    match kind:
        case MemberKind.TABLE:
            return f"{TABLES}{table}"
        case MemberKind.FORUM:
            return FORUM
        case MemberKind.FORUM_POSTS:
            return FORUM_POSTS
        case MemberKind.EMAIL_OPT_IN:
            return EMAIL_OPT_IN
        case MemberKind.COURSE_STRUCTURE:
            return COURSE_STRUCTURE
        case MemberKind.COURSE_XML:
            return COURSE_XML
        case _:
            raise ValueError(f"{kind} is delivered nowhere")


def raw_data_key(member: Member, sha256: str) -> str:
    """Return the object key of a member's version."""
    if member.partition is None:
        raise ValueError(f"{member.path} has no key")
    return versioned_raw_data_key(raw_data_asset(member.kind, member.table), member.partition, sha256)


def is_raw_data_asset(asset: str) -> bool:
    """Return True if members of archives are recorded as partitions of this asset."""
    return asset.startswith(TABLES) or asset in _EXTENSIONS


def versioned_raw_data_key(asset: str, partition: str, sha256: str) -> str:
    """Return the object key of a version of a partition of a raw data asset."""
    course_id, _, site = partition.rpartition("|")
    folder = f"{site}/{course_id}" if course_id else partition
    return f"{asset}/{folder}/{sha256}.{_extension(asset)}"


def raw_data_version(asset: str, key: str) -> tuple[str, str] | None:
    """Return the partition and the version of an object of a raw data asset; `None` for a key of another asset."""
    extension = f".{_extension(asset)}"
    folder, _, name = key.removeprefix(f"{asset}/").rpartition("/")
    site, separator, course_id = folder.partition("/")
    if not name.endswith(extension) or "/" in course_id or bool(separator) == (asset == EMAIL_OPT_IN):
        return None
    return f"{course_id}|{site}" if separator else folder, name.removesuffix(extension)


def raw_data_prefixes() -> list[str]:
    """Return the beginnings of the keys of all raw data assets, recorded or not."""
    return [TABLES, *(f"{asset}/" for asset in _EXTENSIONS)]


def raw_data_asset_of(prefix: str, key: str) -> str:
    """Return the raw data asset that an object belongs to, whose key has one of these beginnings."""
    return prefix + key.removeprefix(prefix).partition("/")[0] if prefix == TABLES else prefix.removesuffix("/")


def _extension(asset: str) -> str:
    return _EXTENSIONS.get(asset, "tsv")


def run_mark_key(run: str, attempt: int) -> str:
    """Return the object key of the mark of a run's attempt."""
    return f"{RUN_MARKS}/{run}.{attempt}.json"


def run_of_mark(key: str) -> str:
    """Return the id of the run whose mark this is."""
    return key.rpartition("/")[2].partition(".")[0]


def rejected_rows_key(member: Member, sha256: str) -> str:
    """Return the object key of the rejected records of a table."""
    return f"{_rejects(member)}/{sha256}.ndjson"


def rejected_record_key(member: Member, sha256: str) -> str:
    """Return the object key of a record that is too large for a line of the rejects."""
    return f"{_rejects(member)}/{sha256}.record"


def normalized_log_key(log: str) -> str:
    """Return the object key of a normalized tracking log; each version takes the place of the one before."""
    return f"{TRACKING_LOGS}/normalized_{log}"


def rejected_lines_key(log: str) -> str:
    """Return the object key of the rejected lines of a tracking log; each version takes the place of the one before."""
    return f"{_REJECTED_LINES}/{log}.ndjson.gz"


def oversized_lines_folder(log: str) -> str:
    """Return the prefix of the keys of a tracking log's lines that are too large for its rejects."""
    return f"{_REJECTED_LINES}/{log}/"


def oversized_line_key(log: str, sha256: str) -> str:
    """Return the object key of a line that is too large for the rejects."""
    return f"{oversized_lines_folder(log)}{sha256}.record.gz"


def archive_report_key(archive: str) -> str:
    """Return the object key of the report of an archive, by the archive's file name."""
    return f"edxorg/reports/{archive}.html"


def api_data_asset(output: str) -> str:
    """Return the asset of an output of the edX catalogue."""
    return f"edxorg/api_data/{output}"


def api_data_key(output: str, version: str) -> str:
    """Return the object key of a version of an output of the edX catalogue."""
    return f"{api_data_asset(output)}/{version}.json"


def _rejects(member: Member) -> str:
    if member.course is None:
        raise ValueError("only members of a course have keys")
    kind = f"db_table/{member.table}" if member.kind is MemberKind.TABLE else member.kind.value
    return f"edxorg/rejects/{kind}/{member.course.site}/{member.course.course_id}"

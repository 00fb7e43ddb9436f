"""Forums as `mongoexport` writes them, in each dialect, and lines that are no posts."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib import forum
from edxorg.lib.archive.member_conversion import Source
from edxorg.lib.archive.member_conversion import convert as convert_member
from edxorg.lib.dictionary import DICTIONARY
from edxorg.lib.forum import PostsWriter
from edxorg.lib.members import identify
from edxorg.lib.tables import TableOptions
from ol_orchestrate.lib import spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

THREAD: dict[str, Any] = {"_id": "a1", "_type": "CommentThread"}


def convert(*lines: bytes | dict[str, Any], size: int = 7) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and rejects; what passes through is what came, and the lines balance."""
    data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    writer = PostsWriter()
    assert b"".join(writer.through(data[at : at + size] for at in range(0, len(data), size))) == data
    rows, rejects = ([json.loads(line) for line in spool.reader()] for spool in (writer.rows, writer.rejects))
    report = writer.report
    assert (report.rows, sum(report.rejected.values())) == (len(rows), len(rejects))
    assert report.lines == report.rows + len(rejects) + report.blank
    writer.close()
    return rows, rejects


def test_a_row_has_the_columns_of_the_dictionary() -> None:
    ([row], []) = convert(THREAD)
    described = [column.name for column in DICTIONARY["edxorg/processed_data/forum_posts"].columns]
    assert list(row) == described
    assert {name for name, value in row.items() if value is not None} == {"_id", "_type"}


@pytest.mark.parametrize(
    "dialect",
    [
        pytest.param(
            {
                "_id": {"$oid": "c1"},
                "created_at": {"$date": "2013-12-13T02:59:58.520Z"},
                "updated_at": {"$date": 1386903598520},
                "comment_count": {"$numberLong": "3"},
                "votes": {"up_count": 1, "down_count": 0, "count": 1, "point": 1},
                "endorsement": {"user_id": "7", "time": {"$date": "2013-12-13T03:59:58.520+0100"}},
            },
            id="version-1-strict",
        ),
        pytest.param(
            {
                "_id": {"$oid": "c1"},
                "created_at": {"$date": "2013-12-13T02:59:58.52Z"},
                "updated_at": {"$date": "2013-12-13T02:59:58.520+0000"},
                "comment_count": 3,
                "votes": {"up_count": 1.0, "down_count": 0, "count": 1, "point": 1},
                "endorsement": {"user_id": "7", "time": {"$date": "2013-12-13T02:59:58.520Z"}},
            },
            id="version-2-relaxed",
        ),
        pytest.param(
            {
                "_id": {"$oid": "c1"},
                "created_at": {"$date": {"$numberLong": "1386903598520"}},
                "updated_at": {"$date": {"$numberLong": "1386903598520"}},
                "comment_count": {"$numberInt": "3"},
                "votes": {
                    "up_count": {"$numberInt": "1"},
                    "down_count": {"$numberInt": "0"},
                    "count": {"$numberDouble": "1.0"},
                    "point": {"$numberLong": "1"},
                },
                "endorsement": {"user_id": "7", "time": {"$date": {"$numberLong": "1386903598520"}}},
            },
            id="version-2-canonical",
        ),
    ],
)
def test_all_dialects_give_the_same_row(dialect: dict[str, Any]) -> None:
    ([row], []) = convert({"_type": "Comment", "parent_ids": [{"$oid": "b1"}], "abuse_flaggers": ["1", "2"]} | dialect)
    assert {name: value for name, value in row.items() if value is not None} == {
        "_id": "c1",
        "_type": "Comment",
        "parent_ids": ["b1"],
        "depth": 1,
        "created_at": "2013-12-13 02:59:58.520000",
        "updated_at": "2013-12-13 02:59:58.520000",
        "endorsement": {"user_id": "7", "time": "2013-12-13 02:59:58.520000"},
        "comment_count": 3,
        "votes_up_count": 1,
        "votes_down_count": 0,
        "votes_count": 1,
        "votes_point": 1,
        "abuse_flaggers_count": 2,
    }


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ({"$date": 1359864306789.0}, "2013-02-03 04:05:06.789000"),
        ({"$date": -1}, "1969-12-31 23:59:59.999000"),
        ({"$date": {"$numberLong": "-62135596800000"}}, "0001-01-01 00:00:00.000000"),
        ({"$date": "1969-07-20T20:17:40Z"}, "1969-07-20 20:17:40.000000"),
        ({"$date": "2024-01-31T00:00:00.123456"}, "2024-01-31 00:00:00.123456"),
        (None, None),
    ],
)
def test_dates_become_utc_text(date: object, time: str | None) -> None:
    ([row], []) = convert(THREAD | {"created_at": date})
    assert row["created_at"] == time


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]", "no_post"),
        (b"null", "no_post"),
        (b"{}", "no_post"),
        ({"_id": "a", "_type": "User"}, "no_post"),
        ({"_id": "a", "_type": ["Comment"]}, "no_post"),
        ({"_id": "a", "_type": {"Comment": 1}}, "no_post"),
        (THREAD | {"endorsement": {"a": nested(254)}}, "invalid_value"),
        (THREAD | {"abuse_flaggers": nested(900)}, "invalid_value"),
        (b'{"_id": "a", "_ty', "invalid_json"),
        (b'ObjectId("1")', "invalid_json"),
        (b'{"_id": "\xff"}', "invalid_utf8"),
        (THREAD | {"created_at": {"$date": 10**18}}, "invalid_date"),
        (THREAD | {"created_at": {"$date": {"$numberLong": "9" * 5000}}}, "invalid_date"),
        (THREAD | {"created_at": {"$date": {"$numberLong": "x"}}}, "invalid_date"),
        (THREAD | {"created_at": {"$date": "yesterday"}}, "invalid_date"),
        (THREAD | {"created_at": {"$date": "0001-01-01T00:00:00+10:00"}}, "invalid_date"),
        (THREAD | {"created_at": {"$date": None}}, "invalid_date"),
        (THREAD | {"created_at": {"x": 5}}, "invalid_date"),
        (THREAD | {"created_at": {"$oid": "2013-01-01"}}, "invalid_date"),
        (THREAD | {"created_at": {"$date": 1.5}}, "invalid_date"),
        (THREAD | {"depth": (1 << 64) - 1}, "invalid_value"),
        (THREAD | {"comment_count": 1 << 63}, "invalid_value"),
        (THREAD | {"votes": {"count": 1 << 63}}, "invalid_value"),
        (THREAD | {"closed": "false"}, "invalid_value"),
        (THREAD | {"comment_count": "many"}, "invalid_value"),
        (THREAD | {"comment_count": {"$numberLong": "9" * 30}}, "invalid_value"),
        (THREAD | {"votes": [1]}, "invalid_value"),
        (THREAD | {"parent_ids": "b1"}, "invalid_value"),
        (THREAD | {"comment_count": {"$numberLong": str(-(1 << 63) - 1)}}, "invalid_value"),
        (THREAD | {"comment_count": {"$numberDouble": "many"}}, "invalid_value"),
        (THREAD | {"body": {"$oid": {}}}, "invalid_value"),
        (THREAD | {"body": True}, "invalid_value"),
        (THREAD | {"endorsement": {"a": nested(99)}}, "invalid_value"),
        (THREAD | {"endorsement": "7"}, "invalid_value"),
        (THREAD | {"abuse_flaggers": 2}, "invalid_value"),
    ],
)
def test_a_line_that_is_no_post_is_set_aside_with_its_number(line: bytes | dict[str, Any], reason: str) -> None:
    rows, [reject] = convert(THREAD, b"", line, THREAD)
    assert (len(rows), reject["line"], reject["reason"]) == (2, 3, reason)
    assert "raw" in reject or reject["raw_base64"]


def test_a_line_that_is_too_long_is_set_aside_by_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forum, "MAX_LINE", 100)
    monkeypatch.setattr(forum, "EXCERPT", 10)
    rows, [reject] = convert(THREAD, b"x" * 1000, THREAD)
    assert len(rows) == 2
    assert (reject["reason"], reject["raw"], reject["length"]) == ("too_long", "x" * 10, 1000)
    assert reject["sha256"] == hashlib.sha256(b"x" * 1000).hexdigest()


def test_a_line_of_the_greatest_length_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = json.dumps(THREAD).encode()
    monkeypatch.setattr(forum, "MAX_LINE", len(longest))
    rows, [reject] = convert(longest, longest + b" ")
    assert (len(rows), reject["line"], reject["reason"]) == (1, 2, "too_long")


def test_limits_are_in_mebibytes_kibibytes_levels_and_lines() -> None:
    limits = (forum.MAX_LINE, forum.EXCERPT, forum.MAX_LEVELS, forum.MAX_REJECTS)
    assert limits == (16 * 1024**2, 64 * 1024, 100, 100_000)


def test_a_writer_that_is_closed_has_given_its_disk_space_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    writer = PostsWriter()
    assert b"".join(writer.through([json.dumps(THREAD).encode(), b"\n{}"]))
    files = [each.reader() for each in (writer.rows, writer.rejects)]
    writer.close()
    assert [file.closed for file in files] == [True, True]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("comment_count", -(1 << 63), -(1 << 63)),
        ("comment_count", (1 << 63) - 1, (1 << 63) - 1),
        ("body", 5, "5"),
        ("body", 1.5, "1.5"),
        ("endorsement", {"a": nested(98)}, {"a": nested(98)}),
    ],
)
def test_the_furthest_value_of_a_column_is_a_row(column: str, value: object, expected: object) -> None:
    ([row], []) = convert(THREAD | {column: value})
    assert row[column] == expected


def test_reading_ends_where_more_lines_are_set_aside_than_any_forum_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forum, "MAX_REJECTS", 3)
    rows, rejects = convert(THREAD, *[b"{}"] * 9, THREAD)
    assert (len(rows), len(rejects)) == (1, 4)
    rows, rejects = convert(*[THREAD] * 9, *[b"{}"] * 9, THREAD)
    assert (len(rows), len(rejects)) == (10, 9)


def test_the_rows_of_what_is_no_forum_fail_and_its_bytes_land(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forum, "MAX_REJECTS", 3)
    member = identify("MITx-6.00x-2012_Fall-prod.mongo")
    content = b"{}\n" * 9
    raw, posts = convert_member(member, Source.begin(member, [content], TableOptions()))
    assert raw.content is not None
    assert (raw.problem, raw.content.reader().read()) == (None, content)
    assert posts.problem == (
        "Read until 4 of its first 4 lines had been set aside. Look at the rejects, and at the file, which landed as "
        "it is: this may be no forum"
    )
    assert posts.rejects is not None
    assert posts.rejects.reader().read().count(b"\n") == 4
    for each in (raw, posts):
        each.close()


def test_a_real_forum_has_a_row_for_each_line(real_data: Callable[[str], Path]) -> None:
    forum = real_data("edx-package/edX-DemoX-Demo_Course-acceptance.mongo")
    rows, rejects = convert(*forum.read_bytes().splitlines(), size=1000)
    assert (len(rows), rejects) == (3, [])
    assert [row["depth"] for row in rows] == [0, 0, 1]
    assert rows[0]["created_at"] == "2013-12-13 02:59:58.520000"

"""Turns a forum, as `mongoexport` writes it, into rows: one for each thread and comment.

All dialects of its JSON are read: version 1 strict, version 2 relaxed and canonical. They differ in the wrappers of
dates, numbers and ids.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

from edxorg.lib.rejects import reject_line
from ol_orchestrate.lib.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_LINE: Final = 16 << 20
"""Bytes of the longest line that is read."""

EXCERPT: Final = 64 << 10
"""Bytes of a longer line that its reject shows. The raw forum has the whole line."""

MAX_REJECTS: Final = 100_000
"""Rejected lines, if they are more than the rows, after which no more are read: this is no forum, and each of its lines
takes some 60 bytes on disk."""

MAX_LEVELS: Final = 100
"""Levels of objects and lists in a column. MongoDB stores no deeper document."""


class PostReject(StrEnum):
    """The reason for which a line is set aside."""

    UTF8 = "invalid_utf8"
    JSON = "invalid_json"
    NO_POST = "no_post"
    """The line is no object with the `_id` and the `_type` of a thread or comment."""
    DATE = "invalid_date"
    VALUE = "invalid_value"
    """A column's value is not of the column's type, or is nested too deep."""
    TOO_LONG = "too_long"


@dataclass
class ForumReport:
    """The counts of a forum: its lines are the rows, the rejected lines and the blank ones."""

    lines: int = 0
    rows: int = 0
    blank: int = 0
    rejected: Counter[PostReject] = field(default_factory=Counter)


class PostsWriter:
    """Writes the rows of a forum while its bytes pass through.

    Attributes:
        rows: The rows, one JSON object a line.
        rejects: The lines that were set aside, likewise.
        report: The counts.
        problem: The reason for which reading ended early, if it did; the counts are of the lines until then.
    """

    def __init__(self) -> None:
        self.rows, self.rejects, self.report = Spool(), Spool(), ForumReport()
        self.problem: str | None = None

    def through(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield blocks as they come, and write the rows of their lines."""
        rest = _Line()
        for block in blocks:
            yield block
            if self.problem:
                continue
            *ended, started = block.split(b"\n")
            for end in ended:
                rest.add(end)
                self._take(rest)
                rest = _Line()
                if self.problem:
                    break
            rest.add(started)
        if rest.length and not self.problem:
            self._take(rest)

    def close(self) -> None:
        """Free the memory or the disk space."""
        self.rows.close()
        self.rejects.close()

    def _take(self, line: _Line) -> None:
        report = self.report
        report.lines += 1
        if line.is_too_long:
            self._reject(PostReject.TOO_LONG, line.start, length=line.length, sha256=line.sha256)
            return
        data = line.start
        if not data.strip():
            report.blank += 1
            return
        try:
            row = orjson.dumps(_row(data), option=orjson.OPT_APPEND_NEWLINE)
        except _NoPostError as error:
            self._reject(error.reason, data)
            return
        self.rows.write(row)
        report.rows += 1

    def _reject(self, reason: PostReject, data: bytes, **facts: object) -> None:
        self.report.rejected[reason] += 1
        self.rejects.write(reject_line(self.report.lines, reason.value, data, **facts))
        rejected = self.report.rejected.total()
        if rejected > max(MAX_REJECTS, self.report.rows):
            self.problem = (
                f"Read until {rejected:,} of its first {self.report.lines:,} lines had been set aside. Look at the "
                "rejects, and at the file, which landed as it is: this may be no forum"
            )


class _Line:
    """A line as it grows; of one that is too long only the start is kept."""

    def __init__(self) -> None:
        self.length = 0
        self.is_too_long = False
        self._pieces: list[bytes] = []
        self._digest = sha256()

    def add(self, piece: bytes) -> None:
        self.length += len(piece)
        if self.is_too_long:
            self._digest.update(piece)
            return
        self._pieces.append(piece)
        if self.length > MAX_LINE:
            whole = b"".join(self._pieces)
            self._digest.update(whole)
            self._pieces, self.is_too_long = [whole[:EXCERPT]], True

    @property
    def start(self) -> bytes:
        return b"".join(self._pieces)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _NoPostError(Exception):
    def __init__(self, reason: PostReject) -> None:
        super().__init__(reason)
        self.reason = reason


def _row(line: bytes) -> dict[str, Any]:
    """Return the columns of a post, in the order of the dictionary.

    Raises:
        _NoPostError: The line is none.
    """
    try:
        post = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        is_utf8 = "utf-8" not in str(error).lower()
        raise _NoPostError(PostReject.JSON if is_utf8 else PostReject.UTF8) from None
    if not isinstance(post, dict) or post.get("_type") not in _TYPES or not post.get("_id"):
        raise _NoPostError(PostReject.NO_POST)
    row = {name: _value(post.get(name), *kind) for name, kind in _COLUMNS.items()}
    votes = post.get("votes") or {}
    if not isinstance(votes, dict):
        raise _NoPostError(PostReject.VALUE)
    for column, name in _VOTES.items():
        row[column] = _value(votes.get(name), None, _integer)
    row["abuse_flaggers_count"] = _value(post.get("abuse_flaggers"), None, _length)
    if row["depth"] is None and row["parent_ids"] is not None:
        row["depth"] = len(row["parent_ids"])
    return row


def _value(value: Any, usual: type | None, convert: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - of any column
    """Return the value of a column; one of the usual type is right as it is."""
    if value is None or type(value) is usual:
        return value
    plain = value if convert is _time else _plain(value)
    return None if plain is None else convert(plain)


def _plain(value: Any, levels: int = MAX_LEVELS) -> Any:  # noqa: ANN401 - any JSON
    """Take the wrappers off a value and all that is in it."""
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise _NoPostError(PostReject.VALUE)
    if isinstance(value, list):
        return [_plain(each, levels - 1) for each in value]
    if len(value) == 1:
        ((wrapper, inner),) = value.items()
        if wrapper == "$date":
            return _time(value)
        if wrapper == "$oid":
            return _text(inner)
        if wrapper in {"$numberInt", "$numberLong"}:
            return _integer(inner)
        if wrapper == "$numberDouble":
            return _number(inner)
    return {name: _plain(each, levels - 1) for name, each in value.items()}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _NoPostError(PostReject.VALUE)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _NoPostError(PostReject.VALUE)


def _number(value: object) -> float:
    try:
        return float(_text(value))
    except ValueError:
        raise _NoPostError(PostReject.VALUE) from None


def _integer(value: object) -> int:
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    elif isinstance(value, str):
        value = int(value) if _INTEGER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
        raise _NoPostError(PostReject.VALUE)
    return value


def _ids(value: object) -> list[str]:
    if isinstance(value, list):
        return [_text(each) for each in value]
    raise _NoPostError(PostReject.VALUE)


def _object(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _NoPostError(PostReject.VALUE)


def _length(value: object) -> int:
    if isinstance(value, list):
        return len(value)
    raise _NoPostError(PostReject.VALUE)


_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _time(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return a time as UTC text: of text with or without a zone, or of milliseconds since 1970."""
    if isinstance(value, dict):
        value = value["$date"] if value.keys() == {"$date"} else None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, dict) and value.keys() == {"$numberLong"}:
            text = str(value["$numberLong"])
            value = int(text) if _INTEGER.fullmatch(text) else text
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _NoPostError(PostReject.DATE)
    try:
        return _utc_text(value)
    except (ValueError, OverflowError):
        raise _NoPostError(PostReject.DATE) from None


@lru_cache(maxsize=1024)  # most posts have one time twice or three times
def _utc_text(value: int | str) -> str:
    if isinstance(value, int):
        time = _EPOCH + timedelta(milliseconds=value)
    else:
        time = datetime.fromisoformat(value)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return time.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


_TYPES: Final = ("CommentThread", "Comment")

_COLUMNS: Final[dict[str, tuple[type | None, Callable[[Any], Any]]]] = {
    "_id": (str, _text),
    "_type": (str, _text),
    "course_id": (str, _text),
    "author_id": (str, _text),
    "author_username": (str, _text),
    "anonymous": (bool, _boolean),
    "anonymous_to_peers": (bool, _boolean),
    "title": (str, _text),
    "body": (str, _text),
    "thread_type": (str, _text),
    "commentable_id": (str, _text),
    "comment_thread_id": (str, _text),
    "parent_id": (str, _text),
    "parent_ids": (None, _ids),
    "depth": (None, _integer),
    "created_at": (None, _time),
    "updated_at": (None, _time),
    "last_activity_at": (None, _time),
    "closed": (bool, _boolean),
    "pinned": (bool, _boolean),
    "endorsed": (bool, _boolean),
    "endorsement": (None, _object),
    "visible": (bool, _boolean),
    "comment_count": (None, _integer),
}
"""The type of most values of each column, and the function that converts the others."""

_VOTES: Final = {
    "votes_up_count": "up_count",
    "votes_down_count": "down_count",
    "votes_count": "count",
    "votes_point": "point",
}

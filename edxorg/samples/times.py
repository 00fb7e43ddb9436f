"""Times of the story in microseconds since 1970 in UTC, and their forms in MySQL, JSON and the forum."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - prints without a zone, as MySQL does
_EPOCH_DAY: Final = _EPOCH.date()


def midnight(day: date) -> int:
    """The beginning of a day."""
    return (day - _EPOCH_DAY).days * DAY


def day_of(at: int) -> date:
    """The day in UTC."""
    return _EPOCH_DAY + timedelta(days=at // DAY)


def datetime_of(at: int) -> datetime:
    """The time with its zone, UTC."""
    return (_EPOCH + timedelta(microseconds=at)).replace(tzinfo=UTC)


def mysql(at: int) -> str:
    """`2024-01-17 09:30:00`, as a `datetime` column prints."""
    return (_EPOCH + timedelta(microseconds=at - at % SECOND)).isoformat(" ")


def mysql_fraction(at: int) -> str:
    """`2024-01-17 09:30:00.123456`, as a `datetime(6)` column prints; without a fraction if that is zero."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(" ")


def zulu(at: int) -> str:
    """`2024-01-17T09:30:00Z`, as APIs print."""
    return mysql(at).replace(" ", "T") + "Z"


def mongo(at: int) -> str:
    """`2024-01-17T09:30:00.123Z`, as `mongoexport` prints."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="milliseconds") + "Z"


def event_time(at: int) -> str:
    """`2024-01-17T09:30:00.123456+00:00`, as the tracking logs print."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds") + "+00:00"

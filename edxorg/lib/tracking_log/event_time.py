"""Reads the time of an event, and spells it as readers of the data lake expect: UTC, to the microsecond.

ISO 8601 is read in its calendar form, basic or extended (`20240506T070809Z`, `2024-05-06 07:08:09,5+02`), down to
a date alone, which is its midnight. Week and ordinal dates, `24:00` and leap seconds are not read. Digits beyond the
microsecond are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal
from functools import lru_cache
from math import floor

import orjson

MILLISECONDS_FROM = Decimal(10**11)
"""Numbers from here on are milliseconds: as seconds it is the year 5138, as milliseconds 1973."""

_NUMBERS_END = MILLISECONDS_FROM * 1_000
"""Larger numbers would be a guess: microseconds, or something else."""

_LONGEST = 64
"""Characters of the longest text that can be a time; also keeps hostile numbers small."""

_EXACTLY = Context(prec=2 * _LONGEST)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_TEXT = re.compile(r"(?:[0-9]{10}|[0-9]{13})(?:\.[0-9]+)?")
"""Fewer digits as text could as well be a date without separators."""

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_ISO = re.compile(
    r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})"
    r"(?:[Tt ]([0-9]{2})(?:(:?)([0-9]{2})(?:\6([0-9]{2})(?:[.,]([0-9]+))?)?)?"
    r"(?: ?(?:([Zz])|([-+])([0-9]{2})(?::?([0-9]{2}))?))?)?"
)
_USUAL_TIMES = re.compile(
    rb'(?:"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}(?:\+00:00|Z)?"\n)*+'
)
_MINUTE = slice(len('"'), len('"YYYY-MM-DDTHH:MM'))


def utc_from_json(texts: bytes) -> list[bytes]:
    """Read the times of events.

    Nearly all are spelled alike, so neighbors with the usual spelling are checked together.

    Args:
        texts: The values' own JSON texts, each with a LF behind it. Times are strings or numbers as in `utc_from_text`
            and `utc_from_number`.

    Returns:
        A JSON string for each, with the spelling of `utc_from_text`.

    Raises:
        ValueError: A text is no time.
    """
    found: list[bytes] = []
    start = 0
    while start < len(texts):
        usual = _USUAL_TIMES.match(texts, start)
        end = usual.end() if usual else start
        in_utc = texts[start:end].replace(b'+00:00"', b'"').replace(b'Z"', b'"').replace(b"T", b" ")
        found += in_utc.split(b"\n")[:-1]
        start = end
        if start < len(texts):
            end = texts.index(b"\n", start)
            found.append(_unusual_time(texts[start:end]))
            start = end + 1
    if not all(map(_is_there, {time[_MINUTE] for time in found})):
        raise ValueError("no time")
    return found


def _unusual_time(text: bytes) -> bytes:
    time = utc_from_text(orjson.loads(text)) if text.startswith(b'"') else utc_from_number(text.decode())
    if time is None:
        raise ValueError("no time")
    return orjson.dumps(time)


def utc_from_text(text: str) -> str | None:
    """Read the time of an event that gives it as text.

    Args:
        text: ISO 8601, UTC where it names no zone; or 10 or 13 digits, seconds or milliseconds since 1970.

    Returns:
        `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, or None if the text is no such time.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if _EPOCH_TEXT.fullmatch(text):
        return utc_from_number(text)
    return _from_iso(text)


def utc_from_number(text: str) -> str | None:
    """Read the time of an event that gives it as a JSON number.

    Args:
        text: The value's own JSON text: seconds since 1970, or milliseconds from `MILLISECONDS_FROM` on.

    Returns:
        `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, or None if the text is no number, or too large or too small for a time.
    """
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text)
        size = number.copy_abs()
        if size >= _NUMBERS_END:
            return None
        scale = Decimal(1_000 if size >= MILLISECONDS_FROM else 1_000_000)
        return _spell(_EPOCH + timedelta(microseconds=floor(_EXACTLY.multiply(number, scale))))
    except ArithmeticError:  # an exponent of more digits than decimal numbers have, or before the year 1
        return None


@lru_cache(maxsize=1_024)
def _is_there(text: bytes) -> bool:
    """Return True if this day has this minute."""
    try:
        datetime.fromisoformat(text.decode())
    except ValueError:
        return False
    return True


def _from_iso(text: str) -> str | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, _, month, day, hour, _, minute, second, fraction, _, sign, off_hours, off_minutes = match.groups()
    offset = timedelta(hours=int(off_hours or 0), minutes=int(off_minutes or 0))
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "")[:6].ljust(6, "0")),
            tzinfo=timezone(-offset if sign == "-" else offset),
        )
        return _spell(moment.astimezone(UTC))
    except (ValueError, OverflowError):  # the 30th of February, an offset of 99 hours, before the year 1
        return None


def _spell(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")

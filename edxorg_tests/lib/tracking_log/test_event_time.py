from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edxorg.lib.tracking_log.event_time import utc_from_json, utc_from_number, utc_from_text

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-05-06T07:08:09.123456+00:00", "2024-05-06 07:08:09.123456"),
        ("2024-05-06T07:08:09.123456Z", "2024-05-06 07:08:09.123456"),
        ("2024-05-06T07:08:09.123456", "2024-05-06 07:08:09.123456"),
        ("2024-05-06 07:08:09.123456", "2024-05-06 07:08:09.123456"),
        ("2024-05-06T07:08:09", "2024-05-06 07:08:09.000000"),
        ("2024-05-06T07:08:09z", "2024-05-06 07:08:09.000000"),
        ("2024-05-06T07:08:09.5Z", "2024-05-06 07:08:09.500000"),
        ("2024-05-06T07:08:09,000007Z", "2024-05-06 07:08:09.000007"),
        ("2024-05-06T07:08:09.123456789Z", "2024-05-06 07:08:09.123456"),
        ("2024-05-06T07:08:09.123456-05:00", "2024-05-06 12:08:09.123456"),
        ("2024-05-06T07:08:09.123456+0530", "2024-05-06 01:38:09.123456"),
        ("2024-05-06 07:08:09 +02", "2024-05-06 05:08:09.000000"),
        ("2024-12-31T23:30:00-01:00", "2025-01-01 00:30:00.000000"),
        ("2024-05-06T07:08Z", "2024-05-06 07:08:00.000000"),
        ("20240506T070809Z", "2024-05-06 07:08:09.000000"),
        ("2024-05-06", "2024-05-06 00:00:00.000000"),
        ("20240506", "2024-05-06 00:00:00.000000"),
        ("  2024-05-06T07:08:09Z\n", "2024-05-06 07:08:09.000000"),
        ("0999-01-01T00:00:00", "0999-01-01 00:00:00.000000"),
        ("1714979289", "2024-05-06 07:08:09.000000"),
        ("1714979289.25", "2024-05-06 07:08:09.250000"),
        ("1714979289123", "2024-05-06 07:08:09.123000"),
    ],
)
def test_times_in_text(text: str, utc: str) -> None:
    assert utc_from_text(text) == utc
    assert utc_from_json(orjson.dumps(text) + b"\n") == [orjson.dumps(utc)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "300-01-01",
        "2024-02-30T00:00:00",
        "2024-05-06T24:00:00",
        "2024-05-06T24:00:09.123456",
        "2024-02-30T07:08:09.123456",
        "0000-05-06T07:08:09.123456",
        "2024-05-06T07:08:60Z",
        "2024-05-06T07:0809",
        "2024-0506",
        "2024-W19-1",
        "2024-05-06T07:08:09+99:00",
        "0001-01-01T00:00:00+01:00",
        "2024-05-06T07:08:09.12345६",
        "\uff12\uff10\uff12\uff14-05-06T07:08:09",
        "2024-05-06T07:08:09.123456+00:00 ago",
        "2024-05-06x07:08:09.123456",
        "2024",
        "yesterday",
        "NaN",
        "9" * 5_000,
        "2024-05-06T07:08:09." + "1" * 5_000,
    ],
)
def test_texts_that_are_no_times(text: str) -> None:
    assert utc_from_text(text) is None
    with pytest.raises(ValueError, match="no time"):
        utc_from_json(orjson.dumps(text) + b"\n")


@pytest.mark.parametrize(
    ("number", "utc"),
    [
        ("1714979289", "2024-05-06 07:08:09.000000"),
        ("1714979289.123456", "2024-05-06 07:08:09.123456"),
        ("1714979289.1234569", "2024-05-06 07:08:09.123456"),
        ("1714979289123", "2024-05-06 07:08:09.123000"),
        ("1714979289123.456", "2024-05-06 07:08:09.123456"),
        ("1.714979289123e12", "2024-05-06 07:08:09.123000"),
        ("0", "1970-01-01 00:00:00.000000"),
        ("1714979289.999999" + "9" * 40, "2024-05-06 07:08:09.999999"),
        ("1e-999999999", "1970-01-01 00:00:00.000000"),
        ("-0.000001", "1969-12-31 23:59:59.999999"),
        ("-0.0000015", "1969-12-31 23:59:59.999998"),
        ("99999999999", "5138-11-16 09:46:39.000000"),
        ("100000000000", "1973-03-03 09:46:40.000000"),
    ],
)
def test_times_as_numbers(number: str, utc: str) -> None:
    assert utc_from_number(number) == utc
    assert utc_from_json(number.encode() + b"\n") == [orjson.dumps(utc)]


@pytest.mark.parametrize(
    "number",
    [
        *("100000000000000", "-1e14", "1e999999999", "1" * 5_000, "null", "true", "{}", "[1]", ""),
        *("-62135596801", "-99999999999", "-62135596800001", "1e99999999999999999999", "0e-99999999999999999999"),
    ],
)
def test_values_that_are_no_times(number: str) -> None:
    assert utc_from_number(number) is None
    with pytest.raises(ValueError, match="no time"):
        utc_from_json(number.encode() + b"\n")


@given(
    moment=st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001 - the zone is drawn separately
    minutes=st.integers(-23 * 60, 23 * 60),
    separator=st.sampled_from("T "),
)
def test_every_moment_keeps_its_microseconds(moment: datetime, minutes: int, separator: str) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = f"{there.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}"
    assert utc_from_text(there.isoformat(sep=separator)) == expected
    usual = there.isoformat(sep=separator, timespec="microseconds")
    assert utc_from_text(usual) == expected
    assert utc_from_json(orjson.dumps(usual) + b"\n") == [orjson.dumps(expected)]
    in_utc = moment.isoformat(sep=separator, timespec="microseconds")
    assert utc_from_json(orjson.dumps(in_utc) + b"\n") == [orjson.dumps(in_utc.replace("T", " "))]


@given(microseconds=st.integers(0, 10**17 - 1))
def test_every_epoch_second_keeps_its_microseconds(microseconds: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert utc_from_number(str(Decimal(microseconds).scaleb(-6))) == expected.strftime("%Y-%m-%d %H:%M:%S.%f")


@pytest.mark.parametrize("read", [utc_from_text, utc_from_number])
def test_a_time_has_64_characters_at_the_most(read: Callable[[str], str | None]) -> None:
    longest = "1714979289." + "0" * 53
    assert read(longest) == "2024-05-06 07:08:09.000000"
    assert read(longest + "0") is None


def test_a_number_is_spelled_as_in_json() -> None:
    assert utc_from_number("1_714_979_289") is None


def test_times_of_all_spellings_stand_side_by_side() -> None:
    texts = [b'"2024-05-06T07:08:09.000000Z"', b"1714979289", b'"2024-05-06 07:08:09"', b"1714979289.0"]
    read = [b'"2024-05-06 07:08:09.000000"'] * 6
    assert utc_from_json(b"\n".join([*texts, texts[0], texts[1], b""])) == read

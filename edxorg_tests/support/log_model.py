"""A plain reader of logs, which knows all keys before it writes a line."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edxorg.lib.tracking_log import NormalizedLog

TIMES = {
    '"2024-05-06T07:08:09.123456+00:00"': "2024-05-06 07:08:09.123456",
    '"2024-05-06T07:08:09.5Z"': "2024-05-06 07:08:09.500000",
    '"2024-05-06 07:08:09"': "2024-05-06 07:08:09.000000",
    '"2024-05-06T01:08:09.000001-05:30"': "2024-05-06 06:38:09.000001",
    '"2024\\u002d05-06T07:08:09.123456"': "2024-05-06 07:08:09.123456",
    "1714979289": "2024-05-06 07:08:09.000000",
    "1714979289123": "2024-05-06 07:08:09.123000",
    '"300-01-01"': None,
    '""': None,
    "null": None,
    '{"$date": 1}': None,
}

SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class Expected:
    output: bytes = b""
    rejects: list[tuple[int, str, bytes]] = field(default_factory=list)
    blank: int = 0
    columns: list[str] = field(default_factory=list)


class Refused(Exception):  # noqa: N818 - reads like the outcome it is
    pass


def straightforward(content: bytes, times: Mapping[str, str | None] = TIMES) -> Expected:
    """Read everything first, and write then; `times` has the JSON texts of all times in the log."""
    expected = Expected()
    rows = []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else [], 1):
        if not line.strip(b" \t\r"):
            expected.blank += 1
            continue
        try:
            row = read_line(line, times)
            new = [key for key in row if key not in expected.columns]
            refuse_if(len(expected.columns) + len(new) > 500, "too_many_keys")
        except Refused as refused:
            expected.rejects.append((number, str(refused), line))
        else:
            expected.columns += new
            rows.append(row)
    expected.output = b"".join(
        json.dumps({key: row.get(key) for key in expected.columns}, ensure_ascii=False, separators=(",", ":")).encode()
        + b"\n"
        for row in rows
    )
    return expected


def refuse_if(fault: bool, reason: str) -> None:  # noqa: FBT001 - reads like `assert`
    if fault:
        raise Refused(reason)


def read_line(line: bytes, times: Mapping[str, str | None] = TIMES) -> dict[str, str | None]:
    line = re.sub(rb"^\xef\xbb\xbf", b"", line)
    line = re.sub(rb"^\0+", b"", line)
    line = re.sub(rb"^(lms_1 +\| +)?([A-Z][a-z][a-z] .\d \d\d:\d\d:\d\d localhost )?(?=\{)", b"", line)
    try:
        text = line.decode()
        values = list(spans(text))
    except UnicodeDecodeError:
        raise Refused("invalid_utf8") from None
    except (ValueError, TypeError, IndexError):
        raise Refused("no_json_object") from None
    row: dict[str, str | None] = {}
    for key, value, source in values:
        refuse_if(bool(SURROGATE.search(key)), "lone_surrogate")
        refuse_if(key in row, "repeated_key")
        text = value if isinstance(value, str) else source
        refuse_if(bool(SURROGATE.search(text)), "lone_surrogate")
        row[key] = None if value is None else text
        if key == "time":
            row[key] = times[source]
            refuse_if(row[key] is None, "unreadable_time")
    return row


def spans(text: str) -> Iterator[tuple[str, Any, str]]:
    """Top-level members of an object, with the text of each value, by Python's own JSON scanner."""
    if not isinstance(json.loads(text, parse_constant=refuse, object_pairs_hook=dict), dict):
        raise TypeError(text)
    decoder = json.JSONDecoder(parse_constant=refuse, object_pairs_hook=tuple)
    space = re.compile(r"[ \t\r\n]*")

    def skip(at: int) -> int:
        match = space.match(text, at)
        return match.end() if match else at

    at = skip(skip(0) + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        start = skip(skip(at) + 1)
        value, end = decoder.raw_decode(text, start)
        yield key, value, text[start:end]
        at = skip(end)
        at = skip(at + 1) if text[at] == "," else at


def refuse(constant: str) -> None:
    raise ValueError(constant)


def assert_as_expected(log: NormalizedLog, content: bytes, times: Mapping[str, str | None] = TIMES) -> None:
    expected = straightforward(content, times)
    output = gzip.decompress(log.output.reader().read()) if log.output else b""
    rejects = gzip.decompress(log.rejects.reader().read()).splitlines() if log.rejects else []
    log.close()
    assert output == expected.output
    assert [as_reject(json.loads(reject)) for reject in rejects] == expected.rejects
    assert log.version == hashlib.sha256(expected.output).hexdigest()
    report = log.report
    assert report.columns == expected.columns
    assert report.blank == expected.blank
    assert report.bytes_normalized == len(expected.output)
    assert (
        report.lines_in
        == report.lines_out + report.rejected_lines + report.blank
        == (content.count(b"\n") + (not content.endswith(b"\n")) if content else 0)
    )


def as_reject(row: dict[str, Any]) -> tuple[int, str, bytes]:
    raw = row["raw"].encode() if "raw" in row else base64.b64decode(row["raw_base64"])
    return row["line"], row["reason"], raw

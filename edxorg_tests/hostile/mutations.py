"""Breaks sound data: its bytes, the headers of its tar, its JSON."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_CRUMBS: Final = [
    b"\0",
    b"\xff",
    b"\n",
    b"\t",
    b'"',
    b"\\",
    b"\r",
    b"-1",
    b"..",
    b"/",
    b"{",
    b"[",
    b"\xed\xa0\x80",
    b"<!",
]


def mutated(data: bytes, rng: random.Random, times: int | None = None) -> bytes:
    """Bytes with some of them changed, removed, repeated or added."""
    broken = bytearray(data)
    for _ in range(times or rng.randint(1, 6)):
        at = rng.randrange(len(broken) + 1)
        length = min(rng.choice((1, 1, 2, 8, 64, 512)), len(broken) - at)
        match rng.randrange(5):
            case 0:
                broken[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in broken[at : at + 1])
            case 1:
                del broken[at : at + length]
            case 2:
                broken[at:at] = broken[at : at + length] * rng.randint(1, 3)
            case 3:
                broken[at:at] = rng.choice(_CRUMBS) * rng.choice((1, 1, 7, 300))
            case _:
                broken[at : at + length] = rng.randbytes(length)
    return bytes(broken)


_FIELDS: Final = {
    "mode": (100, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "type": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
    "device": (329, 16),
    "prefix": (345, 155),
    "sparse": (386, 110),
}
_VALUES: Final = [
    *(b"\xff" * 12, b"\x80" + b"\0" * 3 + b"\xff" * 8, b"77777777777\0", b"-1", b"", b" ", b"../../", b"/etc/passwd\0"),
    *(b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"g", b"x", b"L", b"K", b"S", b"V", b"Z", b"\0"),
]


def with_checksum(header: bytes) -> bytes:
    """The header of a tar's member with the checksum that it should have."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


def broken_header(member: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A member of a tar with a wrong field in its header, and a right checksum."""
    name = rng.choice(sorted(_FIELDS))
    at, length = _FIELDS[name]
    value = rng.choice(_VALUES)[:length].ljust(length, b"\0") if rng.random() < 0.8 else rng.randbytes(length)
    header = member[: tarfile.BLOCKSIZE]
    return name, with_checksum(header[:at] + value + header[at + length :]) + member[tarfile.BLOCKSIZE :]


def nested(levels: int, kind: str = "list") -> str:
    """JSON so many levels deep."""
    return "[" * levels + "]" * levels if kind == "list" else '{"a":' * levels + "1" + "}" * levels


ODD_JSON: Final[Sequence[tuple[str, str]]] = [
    ("a lone surrogate", '"\\ud800"'),
    ("a NUL", '"\\u0000"'),
    ("a huge integer", "9" * 5000),
    ("a huge exponent", "1e999999"),
    ("NaN", "NaN"),
    ("a raw control character", '"\x01"'),
    ("a raw NUL", '"\0"'),
    ("an unknown escape", '"\\x41"'),
    ("a comment", "/* 1 */ 1"),
    ("5,000 levels of lists", nested(5_000)),
    ("5,000 levels of objects", nested(5_000, "object")),
    ("a trailing comma", "[1,]"),
    ("a key twice", '{"a":1,"a":2}'),
    ("no value", ""),
    ("a wrong type", '[{"$oid": {"$oid": []}}]'),
    ("a wrapper of a wrapper", '{"$date": {"$date": {"$numberLong": "x"}}}'),
    ("true", "true"),
    ("a number", "-0.0"),
    ("a long text", json.dumps("x" * 100_000)),
]
"""JSON texts that readers disagree about, or fail on."""


def with_odd_value(document: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    """The JSON of a document in which one value is odd, and what that is."""
    title, odd = rng.choice(ODD_JSON)
    places = [(container, key) for container in _containers(document) for key in container]
    container, key = rng.choice(places)
    kept, container[key] = container[key], "@@"
    text = json.dumps(document).replace('"@@"', odd, 1)
    container[key] = kept
    return title, text


def _containers(value: object) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(each for inner in value.values() for each in _containers(inner))]
    if isinstance(value, list):
        return [each for inner in value for each in _containers(inner)]
    return []

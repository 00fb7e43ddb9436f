"""Checksums, numbers and pax records, as the headers of a tar spell them."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING

from ol_orchestrate.lib.archives import DamagedArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECKSUM_FIELD = slice(148, 156)
_MAX_SIZE = 1 << 63
"""Every valid size in a header is below it."""
_OCTAL = re.compile(rb" *([0-7]*)[ \0]")
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_PAX_KEYWORDS = (b"path=", b"linkpath=", b"size=", b"GNU.sparse.")
_LONGEST_LENGTH = 20
"""Bytes of the length of a pax record, with the space after it."""
_FEW_RECORDS = 64
_SHORT_RECORD = 16
"""Bytes of a pax header's records on average, below which no program wrote them once there are more than a few.

An owner or a time alone has 13 to 30. Each record takes half a microsecond, however short it is."""


def is_header(block: bytes) -> bool:
    """True if a block has the checksum of a header, over its bytes as unsigned or, in some old tars, signed numbers."""
    if len(block) < tarfile.BLOCKSIZE:
        return False
    checksum = number(block[_CHECKSUM_FIELD])
    rest = block[: _CHECKSUM_FIELD.start] + b" " * 8 + block[_CHECKSUM_FIELD.stop :]
    unsigned = sum(rest)
    return checksum == unsigned or checksum == unsigned - 256 * sum(byte >> 7 for byte in rest)


def number(text: bytes) -> int | None:
    """Read a number of a header, octal or binary after a mark; return `None` if it is neither, or negative."""
    if text[0] == 0x80:  # noqa: PLR2004 - the mark
        binary = int.from_bytes(text[1:], "big")
        return binary if binary < _MAX_SIZE else None
    match = _OCTAL.match(text + b"\0")
    return int(match[1] or b"0", 8) if match else None


def decimal(text: bytes, position: int) -> int:
    """Read a number of a pax record or a sparse map of the header at `position`."""
    if not _DECIMAL.fullmatch(text):
        raise damaged(f"{text[:20].decode('latin-1')!a} where a number belongs", position)
    return int(text)


def pax_records(content: bytes, position: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keyword and the value of each needed pax record; a record is `length keyword=value` and a line end."""
    start = count = 0
    while start < len(content) and content[start]:
        space = content.find(b" ", start, start + _LONGEST_LENGTH)
        length = content[start:space]
        end = start + int(length) if space > 0 and length.isdigit() else 0
        if end <= space + 1 or content[end - 1 : end] != b"\n":
            raise damaged("a malformed pax record", position)
        if content.startswith(_PAX_KEYWORDS, space + 1):
            keyword, _, value = content[space + 1 : end - 1].partition(b"=")
            yield keyword, value
        start = end
        count += 1
        if count > _FEW_RECORDS and start < _SHORT_RECORD * count:
            raise damaged("more and shorter pax records than any real entry has", position)


def damaged(problem: str, position: int) -> DamagedArchiveError:
    """Make the error for a problem of the header at `position`."""
    return DamagedArchiveError(f"the tar data is damaged: {problem}, in the header at byte {position:,}")

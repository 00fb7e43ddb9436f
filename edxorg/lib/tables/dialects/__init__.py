"""Reads chunks as rows, each dialect behind the same interface: `read(chunk) -> Batch`.

```
reader.py    the interface, and its parts that all dialects share
plain.py     a line is a record
escaped.py   a backslash makes the LF or TAB after it part of the value
quoted.py    RFC 4180
mixed.py     plain or escaped, with some records as in quoted
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.tables.dialects.escaped import EscapedReader
from edxorg.lib.tables.dialects.mixed import MixedReader
from edxorg.lib.tables.dialects.plain import PlainReader
from edxorg.lib.tables.dialects.quoted import QuotedReader
from edxorg.lib.tables.table_model import Dialect

if TYPE_CHECKING:
    from edxorg.lib.tables.detection import DetectedDialect
    from edxorg.lib.tables.dialects.reader import DialectReader


def reader_of(detected: DetectedDialect, *, decode: bool) -> DialectReader:
    """Return the reader of a dialect; `decode` asks for a second version of each row, with its escapes undone."""
    if detected.dialect is Dialect.QUOTED:
        return QuotedReader(decode=decode)
    base = EscapedReader(decode=decode) if detected.base is Dialect.ESCAPED else PlainReader(decode=decode)
    return MixedReader(base, decode=decode) if detected.dialect is Dialect.MIXED else base

"""Turns the table dumps in edX's archives into tab-separated files that every reader reads alike.

The dumps are called `.sql` and are no SQL: a header line, then records of tab-separated fields, written over the years
by at least five programs that disagree about quotes, backslashes and line ends. `convert_table` finds out how a file
was written, delivers the records that can be read in one way only, and sets all others aside, whole.

```
model.py      the options of a conversion, and its results
header.py     the first line -> column names and line end
grammar.py    a line or record -> its fields, in each dialect
escaped.py    a whole chunk -> its escaped records at once
chunks.py     a run of lines that no record crosses, and facts about it
cutting.py    bytes of any size -> chunks
detection.py  chunks -> the dialect of the dump
row_reader.py chunks -> rows, and reasons against them, in that dialect
output.py     rows and rejects -> the files that land
routing.py    chunks -> rows and rejects, neighbors and oversized records included
convert.py    all of these together
```
"""

from edxorg.lib.tables.convert import convert_table
from edxorg.lib.tables.model import (
    CONVERSION,
    ConvertedTable,
    CourseColumns,
    Dialect,
    Escapes,
    RejectReason,
    RowHash,
    TableOptions,
    TableReport,
)

__all__ = [
    "CONVERSION",
    "ConvertedTable",
    "CourseColumns",
    "Dialect",
    "Escapes",
    "RejectReason",
    "RowHash",
    "TableOptions",
    "TableReport",
    "convert_table",
]

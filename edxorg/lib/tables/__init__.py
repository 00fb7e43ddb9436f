"""Turns the table dumps in edX's archives into tab-separated files that every reader reads alike.

The dumps are called `.sql` and are no SQL: a header line, then records of tab-separated fields, written over the years
by at least five programs that disagree about quotes, backslashes and line ends. `convert_table` finds out how a file
was written, delivers the records that can be read in one way only, and sets all others aside, whole.

It stands in three storeys, and what stands on one uses those below it. On the middle one, `dialects` has the same
interface for each dialect.

```
table_model.py    the options of a conversion, and its results
header.py         the first line -> column names and line end

table_records.py  records, and values as they are written
line_sorting.py   lines -> lines by their quotes, in the one loop that sees every line
rfc4180.py        lines -> a record of RFC 4180
escapes.py        lines -> records with a backslash before a LF or TAB
chunks.py         a run of lines that no record crosses, and facts about it
cutting.py        bytes of any size -> chunks

detection.py      chunks -> the dialect of the dump
dialects/         chunks -> rows, and reasons against them

table_output.py   rows and rejects -> the files that land
routing.py        chunks -> rows and rejects, neighbors and oversized records included
convert.py        all of these together
```

`edxorg_tests/support/table_model.py` holds a slow and simple reader of the same rules.
"""

from edxorg.lib.tables.convert import convert_table
from edxorg.lib.tables.table_model import (
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

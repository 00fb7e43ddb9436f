"""From the table dumps in edX's packages to tab-separated files that every reader reads alike.

The dumps are called `.sql` and are no SQL: a header line, then records of tab-separated fields, written over the years
by at least five programs that disagree about quotes, backslashes and line ends. `convert_table` finds out how a file
was written, delivers the records of which there is one reading, and sets all others aside, whole.

```
pieces.py    bytes of any size      -> runs of whole lines that no record crosses
header.py    the first line         -> column names and line end
grammar.py   one line or record     -> its fields, in each of the readings
tally.py     lines                  -> which reading the file supports
rows.py      lines                  -> rows, and what is set aside
output.py    rows and rejects       -> the two files that land
convert.py   all of these together
```
"""

from edxorg.lib.tables.convert import convert_table
from edxorg.lib.tables.model import (
    ConvertedTable,
    CourseColumns,
    Escapes,
    Reading,
    Reason,
    RowHash,
    TableOptions,
    TableReport,
)

__all__ = [
    "ConvertedTable",
    "CourseColumns",
    "Escapes",
    "Reading",
    "Reason",
    "RowHash",
    "TableOptions",
    "TableReport",
    "convert_table",
]

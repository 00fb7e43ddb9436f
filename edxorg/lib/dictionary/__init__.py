"""The data dictionary: each output, one subject a module. Columns that a file has beyond it land all the same.

- `described_tables.py`, `described_assessments.py`: tables of archives; `described_archive.py`: what else is in them;
- `described_log.py`: events; `described_catalogue.py`: programs and courses;
- `dictionary_page.py`: the second part of `docs/data.md`, which `__main__.py` writes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edxorg.lib.dictionary.described_archive import ARCHIVE
from edxorg.lib.dictionary.described_assessments import ASSESSMENTS
from edxorg.lib.dictionary.described_catalogue import CATALOGUE
from edxorg.lib.dictionary.described_log import TRACKING_LOG
from edxorg.lib.dictionary.described_tables import ADDED_COLUMNS, STAYS, TABLES
from edxorg.lib.object_keys import COURSE_KEYS
from ol_orchestrate.lib.openedx.described_course import OUTPUTS

COURSE_CONTENT: Final = tuple(replace(output, asset=COURSE_KEYS.output(output.name)) for output in OUTPUTS)

DICTIONARY: Final = {
    output.asset: output for output in (*TABLES, *ASSESSMENTS, *ARCHIVE, *COURSE_CONTENT, TRACKING_LOG, *CATALOGUE)
}
"""All outputs by their assets' names."""

KNOWN_COLUMNS: Final = {
    output.asset.rpartition("/")[2]: frozenset(
        column.name.casefold() for column in output.columns if column not in ADDED_COLUMNS
    )
    for output in (*TABLES, *ASSESSMENTS)
}
"""The columns of edX's tables, in lower case and without those that are added, by the table's name."""

__all__ = [
    "ARCHIVE",
    "ASSESSMENTS",
    "CATALOGUE",
    "COURSE_CONTENT",
    "DICTIONARY",
    "KNOWN_COLUMNS",
    "STAYS",
    "TABLES",
    "TRACKING_LOG",
]

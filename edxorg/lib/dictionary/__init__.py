"""The data dictionary: each output, one subject a module. Columns that a file has beyond it land all the same.

- `tables.py`, `assessments.py`: tables of archives; `archive.py`: what else is in them;
- `tracking_log.py`: events; `catalogue.py`: programs and courses;
- `reference.py`: the second part of `docs/data.md`, which `__main__.py` writes.
"""

from __future__ import annotations

from typing import Final

from edxorg.lib.dictionary.archive import ARCHIVE
from edxorg.lib.dictionary.assessments import ASSESSMENTS
from edxorg.lib.dictionary.catalogue import CATALOGUE
from edxorg.lib.dictionary.tables import TABLES
from edxorg.lib.dictionary.tracking_log import TRACKING_LOG
from ol_orchestrate.lib.openedx.dictionary import OUTPUTS as COURSE_CONTENT

DICTIONARY: Final = {
    output.asset: output for output in (*TABLES, *ASSESSMENTS, *ARCHIVE, *COURSE_CONTENT, TRACKING_LOG, *CATALOGUE)
}
"""All outputs by their assets' names."""

__all__ = ["ARCHIVE", "ASSESSMENTS", "CATALOGUE", "COURSE_CONTENT", "DICTIONARY", "TABLES", "TRACKING_LOG"]

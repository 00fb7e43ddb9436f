"""The report of an archive for operators.

- `summary.py`: its numbers beside those of the archive before, which are recorded;
- `text.py`: the report in Markdown, for the Dagster UI;
- `page.py`: the whole report as one HTML file; `plots.py`: its plots.
"""

from edxorg.lib.archive_report.page import page
from edxorg.lib.archive_report.summary import ArchiveSummary, summarize
from edxorg.lib.archive_report.text import text

__all__ = ["ArchiveSummary", "page", "summarize", "text"]

"""Converts one table, from its bytes to the files that land."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edxorg.lib.tables.model import (
    ConvertedTable,
    CourseColumns,
    TableOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW: Final = 8 << 20
"""Bytes that are held and counted before a reading is chosen."""

MOST_OVERSIZED: Final = 64
"""Records over `RECORD_LIMIT` in one table. Each has an open file until it lands."""


def convert_table(
    blocks: Iterable[bytes], *, course: CourseColumns, options: TableOptions | None = None
) -> ConvertedTable:
    ...

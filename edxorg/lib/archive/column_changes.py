"""Names the columns in which a table differs from the version before, of which records have only a hash."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from edxorg.lib.tables.table_model import COLUMNS_ADDED
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.versions import TableStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ol_orchestrate.lib.stores import ObjectStore
    from ol_orchestrate.lib.versions import VersionedObjects

_LOOKED_AT = 5
"""Superseded versions that are looked at for the one before; `edxorg prune` may have removed it."""


def column_changes(versions: VersionedObjects, version: str, before: TableStats) -> str:
    """Return the columns of a stored version that came and went, in words; nothing if no object tells it.

    Args:
        versions: The versions of the table.
        version: The version that is current now.
        before: The stats of the version before.
    """
    stored = versions.stored().objects
    if version not in stored:
        return ""
    now = _columns(versions.store, stored[version].key)
    others = sorted(
        (each for name, each in stored.items() if name != version), key=lambda each: each.modified, reverse=True
    )
    for each in others[:_LOOKED_AT]:
        columns = _columns(versions.store, each.key)
        if TableStats.from_columns(None, columns).columns == before.columns:
            return _in_words(columns, now)
    return ""


def _columns(store: ObjectStore, key: str) -> Sequence[str]:
    """Return the table's own columns, of which all are in the first block."""
    first = next(iter(store.read(key)), b"").partition(b"\n")[0]
    columns = next(csv.reader([first.decode(errors="replace")], delimiter="\t"), [])
    return columns[: -len(COLUMNS_ADDED)]


def _in_words(before: Sequence[str], now: Sequence[str]) -> str:
    came = [name for name in now if name not in before]
    went = [name for name in before if name not in now]
    told = [f"{', '.join(first_and_more(names))} {what}" for names, what in ((came, "came"), (went, "went")) if names]
    return "; ".join(told) or "in another order"

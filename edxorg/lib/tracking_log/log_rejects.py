"""Writes the lines that are set aside, as one JSON object each, and lands them.

Keys: `line`, counted from 1; `reason`; `raw`, the line without its LF, or `raw_base64` if it is no UTF-8. A line
over 16 MiB is cut to its first 64 KiB, and has `length` (bytes) and `sha256` of the whole one as well.
"""

from __future__ import annotations

import base64
import codecs
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ol_orchestrate.lib.spool import Spool
    from ol_orchestrate.lib.stores import ObjectStore

EXCERPT_BYTES = 64 << 10
"""Bytes that a reject keeps of a line that is too long for the rejects."""


class LineRejectReason(StrEnum):
    """The reason why a line was set aside, spelled as in the rejects."""

    NO_OBJECT = "no_json_object"
    INVALID_UTF8 = "invalid_utf8"
    REPEATED_KEY = "repeated_key"
    LONE_SURROGATE = "lone_surrogate"
    UNREADABLE_TIME = "unreadable_time"
    TOO_MANY_KEYS = "too_many_keys"
    KEY_TOO_LONG = "key_too_long"
    TOO_LONG = "too_long"


class RejectedLineError(ValueError):
    """A line that holds no event that can be delivered."""

    def __init__(self, reason: LineRejectReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class OversizedLine:
    """A line over `MAX_LINE_BYTES`, without its LF."""

    line: int
    """Number of the line, counted from 1."""
    excerpt: bytes
    """Its first `EXCERPT_BYTES`."""
    length: int
    """Bytes of the line."""
    sha256: str
    record: Spool
    """The whole line, compressed with gzip: a decompression bomb stays as small as it came."""
    left_out: int = 0
    """NUL bytes before it that are not in `record`."""

    def reject_row(self) -> bytes:
        """Return its entry among the rejects."""
        row = {"line": self.line, "reason": LineRejectReason.TOO_LONG, "length": self.length, "sha256": self.sha256}
        try:
            # The decoder leaves out a character that the cut went through.
            row["raw"] = codecs.getincrementaldecoder("utf-8")().decode(self.excerpt)
        except UnicodeDecodeError:
            row["raw_base64"] = base64.b64encode(self.excerpt).decode()
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def write_rejects(
    rejects: Spool | None, oversized: Sequence[OversizedLine], landing_zone: ObjectStore, name: str
) -> str | None:
    """Write the rejects of a log, and delete those of an earlier version; existing objects are not written again.

    Args:
        rejects: The rejects of a whole log, if it has any: those of a part would replace those of all of it.
        oversized: The lines that are too long for the rejects.
        landing_zone: The store.
        name: The log's file name.

    Returns:
        The key of the rejects; `None` if there are none.

    Raises:
        PipelineError: The landing zone cannot be used.
    """
    # Worker processes import this module too, and write no objects.
    from edxorg.lib.object_keys import oversized_line_key, oversized_lines_folder, rejected_lines_key  # noqa: PLC0415
    from ol_orchestrate.lib.versions import SingleObject, VersionedObjects, write_if_needed  # noqa: PLC0415

    records = VersionedObjects(landing_zone, partial(oversized_line_key, name))
    for line in oversized:
        write_if_needed(line.sha256, line.record.reader(), to=records, recorded=None)
    rows = SingleObject(landing_zone, rejected_lines_key(name))
    if rejects is not None:
        write_if_needed(rejects.sha256, rejects.reader(), to=rows, recorded=None)
    elif landing_zone.find(rows.key) is not None:
        landing_zone.delete(rows.key)
    current = {records.key_of(line.sha256) for line in oversized}
    left = [each.key for each in landing_zone.list(oversized_lines_folder(name)) if each.key not in current]
    for key in left:
        landing_zone.delete(key)
    return rows.key if rejects is not None else None

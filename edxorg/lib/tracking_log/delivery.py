"""Writes the rejects of a tracking log to the landing zone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edxorg.lib.object_keys import oversized_line_key, oversized_lines_folder, rejected_lines_key
from ol_orchestrate.lib.versions import SingleObject, VersionedObjects, write_if_needed

if TYPE_CHECKING:
    from edxorg.lib.tracking_log.normalize import NormalizedLog
    from ol_orchestrate.lib.stores import ObjectStore


def write_rejects(log: NormalizedLog, landing_zone: ObjectStore, name: str) -> str | None:
    """Write the rejects of a log, and delete those of an earlier version; existing objects are not written again.

    Args:
        log: A whole log: the rejects of a part would replace those of all of it.
        landing_zone: The store.
        name: The log's file name.

    Returns:
        The key of the rejects; `None` if there are none.

    Raises:
        PipelineError: The landing zone cannot be used.
    """
    oversized = VersionedObjects(landing_zone, partial(oversized_line_key, name))
    for line in log.oversized:
        write_if_needed(line.sha256, line.record.reader(), to=oversized, recorded=None)
    rejects = SingleObject(landing_zone, rejected_lines_key(name))
    if log.rejects is not None:
        write_if_needed(log.rejects.sha256, log.rejects.reader(), to=rejects, recorded=None)
    elif landing_zone.find(rejects.key) is not None:
        landing_zone.delete(rejects.key)
    current = {oversized.key_of(line.sha256) for line in log.oversized}
    left = [each.key for each in landing_zone.list(oversized_lines_folder(name)) if each.key not in current]
    for key in left:
        landing_zone.delete(key)
    return rejects.key if log.rejects is not None else None

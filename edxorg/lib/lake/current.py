"""The current object of each place, as the folders of the landing zone show it: the newest, by the store's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.object_keys import TRACKING_LOGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ol_orchestrate.lib.stores import StoredObject


def place_of(key: str) -> str:
    """Return the place of an object: the folder of its versions; a tracking log has only one, under its own name."""
    folder, _, _ = key.rpartition("/")
    return key if folder == TRACKING_LOGS else folder


def newest(objects: Iterable[StoredObject]) -> dict[str, StoredObject]:
    """Return the newest object of each place; of two that are as new, always the same one."""
    found: dict[str, StoredObject] = {}
    for each in objects:
        place = place_of(each.key)
        other = found.get(place)
        if other is None or (other.modified, other.key) < (each.modified, each.key):
            found[place] = each
    return found

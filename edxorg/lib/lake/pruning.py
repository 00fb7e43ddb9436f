"""Finds superseded versions that are no longer needed, and deletes them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from edxorg.lib.object_keys import RUN_MARKS
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.stores import join_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from ol_orchestrate.lib.stores import ObjectStore, StoredObject

_OUTPUTS: Final = ("edxorg/raw_data/", "edxorg/processed_data/", "edxorg/api_data/")
"""Beginnings of the keys of versions. Rejects stay: a current version can have old ones."""

_VERSION: Final = re.compile(r"(?P<folder>.+)/[0-9a-f]{64}\.(?P<extension>[^/]+)")
"""Key of an object that is named by its version, and so has others beside it."""

_FOLDERS_AT_ONCE: Final = 64
"""Folders whose versions go before the marks of runs are looked at again."""


@dataclass(slots=True)
class Pruned:
    """Sums over objects of one output, or of all."""

    objects: int = 0
    bytes: int = 0

    def add(self, each: StoredObject) -> None:
        """Count an object."""
        self.objects += 1
        self.bytes += each.size


@dataclass
class Superseded:
    """Versions that are not current, and older than they need be.

    Attributes:
        by_folder: The objects.
        by_output: Their sums.
    """

    by_folder: dict[str, list[StoredObject]] = field(default_factory=dict)
    by_output: dict[str, Pruned] = field(default_factory=dict)

    @property
    def total(self) -> Pruned:
        """The sum of all."""
        sums = self.by_output.values()
        return Pruned(sum(each.objects for each in sums), sum(each.bytes for each in sums))


def find_superseded(store: ObjectStore, before: datetime) -> Superseded:
    """Return all versions that were written before a time, and are not current.

    Raises:
        ServiceError: A run has not finished: what is current is not settled.
    """
    _refuse_unfinished(store)
    found = Superseded()
    for prefix in _OUTPUTS:
        for each in _superseded(store.list(prefix)):
            if each.modified < before:
                found.by_folder.setdefault(each.key.rpartition("/")[0], []).append(each)
                found.by_output.setdefault(_output_of(each.key), Pruned()).add(each)
    return found


def remove(store: ObjectStore, found: Superseded) -> Iterator[StoredObject]:
    """Delete them, unless they have become current meanwhile.

    Yields:
        Each object that is gone.

    Raises:
        ServiceError: A run has begun meanwhile; see `find_superseded`.
    """
    folders = iter(found.by_folder.items())
    with ThreadPoolExecutor(store.writes_at_once) as pool:
        while batch := list(islice(folders, _FOLDERS_AT_ONCE)):
            _refuse_unfinished(store)
            for removed in pool.map(lambda folder: _remove(store, *folder), batch):
                yield from removed


def _refuse_unfinished(store: ObjectStore) -> None:
    if mark := next(store.list(f"{RUN_MARKS}/"), None):
        raise ServiceError(
            f"{join_url(store.url, mark.key)}: an archive run has not finished, and until then the newest version of a "
            "course may not be the current one. Wait for it, or run that archive again"
        )


def _remove(store: ObjectStore, folder: str, objects: Sequence[StoredObject]) -> list[StoredObject]:
    still = {(each.key, each.modified) for each in _superseded(store.list_folder(folder))}
    removed = [each for each in objects if (each.key, each.modified) in still]
    for each in removed:
        store.delete(each.key)
    return removed


def _superseded(objects: Iterable[StoredObject]) -> Iterator[StoredObject]:
    """Yield the objects that are older than another version of their place; of two that are as new, neither is."""
    versions: dict[tuple[str, str], list[StoredObject]] = {}
    for each in objects:
        if named := _VERSION.fullmatch(each.key):
            versions.setdefault((named["folder"], named["extension"]), []).append(each)
    for alike in versions.values():
        latest = max(each.modified for each in alike)
        yield from (each for each in alike if each.modified < latest)


def _output_of(key: str) -> str:
    """Return the name of the output: a table's own, or what is in the folder of its kind."""
    _, _, kind, name, *_ = key.split("/")
    return name if kind == "db_table" else kind

"""Making the current version of each place strictly the newest object of its folder, by the store's own clock.

Readers that know nothing of Dagster choose by that. Objects are written again from the store's own copy, and only where
the listing of the folder shows that it is necessary. `docs/delivery.md` has the rules as a table.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ol_orchestrate.lib.errors import BadInputError, MissingObjectError, PipelineError, ServiceError
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.stores.base import join_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ol_orchestrate.lib.versions import VersionedObjects

K = TypeVar("K")
T = TypeVar("T")

ROUNDS = 5
"""Times that a place is looked at and written; a tie, and a clock that was ahead, take two."""

TICK = 1.01
"""Seconds until a clock has ticked whose times have no fraction."""

SHORT_TICK = 0.02
"""Seconds until any other clock has ticked."""

AT_ONCE = 1000
"""Places that are settled together, so that they wait for a tick once."""


class Unsettled(NamedTuple, Generic[K]):
    """A place that could not be settled, and why."""

    place: K
    problem: PipelineError


def settle(copies: VersionedObjects, version: str) -> None:
    """Make the object of a version strictly the newest of its folder.

    Raises:
        MissingObjectError: It is not there.
        PipelineError: The store cannot be used, or other objects stay newer.
    """
    for unsettled in _settle_together([_Place("", copies, version)], map):
        raise unsettled.problem


def settle_all(places: Iterable[tuple[K, VersionedObjects, str]], threads: int) -> Iterator[Unsettled[K]]:
    """Make the objects of versions strictly the newest of their folders.

    Args:
        places: A name for each place, its versions, and the one that is to be the newest.
        threads: How many places are worked on at the same time.

    Yields:
        The places where that failed.
    """
    rest = iter(places)
    with ThreadPoolExecutor(threads, thread_name_prefix="settle") as pool:
        while some := list(islice(rest, AT_ONCE)):
            yield from _settle_together([_Place(*each) for each in some], pool.map)


class _Place(NamedTuple, Generic[K]):
    """A place to be settled."""

    name: K
    copies: VersionedObjects
    version: str


def _settle_together(places: list[_Place[K]], for_each: Callable[..., Iterable[Any]]) -> Iterator[Unsettled[K]]:
    for number in range(ROUNDS):
        looks = for_each(_caught(partial(_look, date_back=number > 0)), places)
        ticks = [(place, tick) for place, tick in zip(places, looks, strict=True) if tick is not None]
        yield from _problems(ticks)
        places = [place for place, tick in ticks if not isinstance(tick, PipelineError)]
        if not places:
            return
        if number:  # The first time, the object may be older than this tick.
            time.sleep(max(tick for _, tick in ticks if not isinstance(tick, PipelineError)))
        writes = list(zip(places, for_each(_caught(_write_again), places), strict=True))
        yield from _problems(writes)
        places = [place for place, problem in writes if problem is None]
    yield from (Unsettled(place.name, _cannot_be_newest(place)) for place in places)


def _caught(function: Callable[[_Place[K]], T]) -> Callable[[_Place[K]], T | PipelineError]:
    def call(place: _Place[K]) -> T | PipelineError:
        try:
            return function(place)
        except PipelineError as error:
            return error

    return call


def _problems(results: Iterable[tuple[_Place[K], object]]) -> Iterator[Unsettled[K]]:
    return (Unsettled(place.name, result) for place, result in results if isinstance(result, PipelineError))


def _look(place: _Place[K], *, date_back: bool) -> float | None:
    """Whether the object of a place has to be written again, and how long a tick of its store's clock is.

    Args:
        place: The place.
        date_back: Whether the object was written a moment ago, so that what is newer was dated by a clock that was
            ahead, and has to be written again as well.
    """
    there = place.copies.there()
    if not there.has(place.version):
        raise MissingObjectError(f"{_url(place)}: the current version of this place is gone. Deliver it again")
    if there.is_newest(place.version):
        return None
    written = there.objects[place.version].modified
    if date_back:
        for version, each in there.objects.items():
            if each.modified > written:
                _write_again(place, version)
    return SHORT_TICK if written.microsecond else TICK


def _write_again(place: _Place[K], version: str | None = None) -> None:
    """Write the object of a place, or another one in its folder, as it is, so that the store dates it anew."""
    copies, version = place.copies, version or place.version
    key = copies.key_of(version)
    spool = Spool()
    try:
        for block in copies.store.read(key):
            spool.write(block)
        if copies.by_content and spool.sha256 != version == place.version:
            raise BadInputError(f"{_url(place)}: its bytes are not those of its name. Delete it, and deliver it again")
        copies.write(version, spool.reader())
    finally:
        spool.close()


def _cannot_be_newest(place: _Place[K]) -> ServiceError:
    return ServiceError(
        f"{_url(place)}: this version is to be the newest object of its folder, and is not after {ROUNDS} attempts. "
        "Another run writes there, or a clock is wrong: run again when no other run is at work"
    )


def _url(place: _Place[K]) -> str:
    return join_url(place.copies.store.url, place.copies.key_of(place.version))

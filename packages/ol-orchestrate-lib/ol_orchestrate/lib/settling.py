"""Settling: making the current version of a place strictly the newest object of its folder, by the store's own clock.

Readers without access to Dagster take the newest object. An object is written again from the store's own copy, and only
if the listing of the folder shows that it is necessary. `docs/delivery.md` has the rules as a table.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ol_orchestrate.lib.batching import batched
from ol_orchestrate.lib.errors import BadInputError, MissingObjectError, PipelineError, ServiceError
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.stores.base import join_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ol_orchestrate.lib.versions import VersionedObjects

K = TypeVar("K")
T = TypeVar("T")

ROUNDS = 5
"""Attempts to settle a place, each with a listing and a write; a tie and a clock that was ahead take two."""

TICK = 1.01
"""Seconds to wait for the next time of a clock that counts whole seconds."""

SHORT_TICK = 0.02
"""Seconds to wait for the next time of any other clock."""

AT_ONCE = 1000
"""Places that are settled together, so that they wait for the clock once."""


class Unsettled(NamedTuple, Generic[K]):
    """A place that could not be settled, and why."""

    place: K
    problem: PipelineError


def settle(versions: VersionedObjects, version: str) -> None:
    """Make the object of a version strictly the newest of its folder.

    Raises:
        MissingObjectError: The version has no object.
        PipelineError: The store cannot be used, or other objects stay newer.
    """
    for unsettled in _settle_together([_Place(None, versions, version)], map):
        raise unsettled.problem


def settle_all(places: Iterable[tuple[K, VersionedObjects, str]], threads: int) -> Iterator[Unsettled[K]]:
    """Make the objects of versions strictly the newest of their folders.

    Args:
        places: A name for each place, its versions, and the version that has to be the newest.
        threads: Places that are settled at the same time.

    Yields:
        The places that could not be settled.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="settle") as pool:
        for some in batched(places, AT_ONCE):
            yield from _settle_together([_Place(*each) for each in some], pool.map)


class _Place(NamedTuple, Generic[K]):
    """A place to settle, and the version that has to be its newest object."""

    name: K
    versions: VersionedObjects
    version: str


def _settle_together(places: list[_Place[K]], for_each: Callable[..., Iterable[Any]]) -> Iterator[Unsettled[K]]:
    for number in range(ROUNDS):
        results = for_each(_with_errors_returned(partial(_tick_if_unsettled, is_repeated=number > 0)), places)
        ticks = [(place, tick) for place, tick in zip(places, results, strict=True) if tick is not None]
        yield from _problems(ticks)
        places = [place for place, tick in ticks if not isinstance(tick, PipelineError)]
        if not places:
            return
        if number:  # In the first round, the object is not one that was written a moment ago.
            time.sleep(max(tick for _, tick in ticks if not isinstance(tick, PipelineError)))
        writes = list(zip(places, for_each(_with_errors_returned(_write_again), places), strict=True))
        yield from _problems(writes)
        places = [place for place, problem in writes if problem is None]
    yield from (Unsettled(place.name, _cannot_be_newest(place)) for place in places)


def _with_errors_returned(function: Callable[[_Place[K]], T]) -> Callable[[_Place[K]], T | PipelineError]:
    def call(place: _Place[K]) -> T | PipelineError:
        try:
            return function(place)
        except PipelineError as error:
            return error

    return call


def _problems(results: Iterable[tuple[_Place[K], object]]) -> Iterator[Unsettled[K]]:
    return (Unsettled(place.name, result) for place, result in results if isinstance(result, PipelineError))


def _tick_if_unsettled(place: _Place[K], *, is_repeated: bool) -> float | None:
    """Return the seconds until the next time of the store's clock; `None` if the place is settled.

    Args:
        place: The place to look at.
        is_repeated: True if the object was written a moment ago. A newer object then has its date from a clock that was
            ahead, and is written again first.
    """
    stored = place.versions.stored()
    if not stored.has(place.version):
        raise MissingObjectError(
            f"{_url(place)}: the current version of this place is gone. Run the job again that delivers it"
        )
    if stored.is_newest(place.version):
        return None
    written = stored.objects[place.version].modified
    if is_repeated:
        for version, each in stored.objects.items():
            if each.modified > written:
                _write_again(place, version)
    return SHORT_TICK if written.microsecond else TICK


def _write_again(place: _Place[K], version: str | None = None) -> None:
    """Write the unchanged object of a place, or another one in its folder, so that the store dates it anew."""
    versions, version = place.versions, version or place.version
    key = versions.key_of(version)
    spool = Spool()
    try:
        for block in versions.store.read(key):
            spool.write(block)
        if versions.by_content and spool.sha256 != version == place.version:
            raise BadInputError(
                f"{_url(place)}: the SHA-256 of its bytes is not the one in its name. Delete it, and run the job again "
                "that delivers it"
            )
        versions.write(version, spool.reader())
    finally:
        spool.close()


def _cannot_be_newest(place: _Place[K]) -> ServiceError:
    return ServiceError(
        f"{_url(place)}: this version has to be the newest object of its folder, and is not after {ROUNDS} attempts. "
        "Another run writes there, or a clock is wrong: run again when no other run is in progress"
    )


def _url(place: _Place[K]) -> str:
    return join_url(place.versions.store.url, place.versions.key_of(place.version))

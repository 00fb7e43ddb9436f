"""A day's tracking log of a site: the events that arrived on that day, in the order of their arrival.

Most happened on the same day. Events that the mobile app kept while it was offline arrive up to two weeks late.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from datetime import date
from heapq import heappop, heappush, merge
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from edxorg.samples import times
from edxorg.samples.courses import Site
from edxorg.samples.events import (
    EVENTS_OF,
    Arrival,
    anonymous_request,
    milestone_event,
    milestones,
    session_events,
)
from edxorg.samples.hazards import LATE_FROM, ORDINARY_LOG_HAZARDS, REJECTING, LogHazards, LogTruth
from edxorg.samples.university import University
from edxorg.samples.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from edxorg.samples.story import Enrollment

DAY: Final = date(2024, 5, 6)
"""The day of a log that belongs to no longer story."""

_COURSES: Final = 12
_EVENTS_PER_LEARNER: Final = 28
_LINES_A_WRITE: Final = 1_000
_HAZARDS_EVERY: Final = 97
_SELDOM: Final = 4_001


@dataclass(frozen=True)
class TrackingLog:
    """A day of a site.

    Attributes:
        university: The story.
        site: The site.
        day: The day.
        visitors: Requests by visitors who have no account; by default one for ten learners.
        hazards_every: Each hazard strikes one of so many lines.
    """

    university: University
    site: Site
    day: date
    visitors: int | None = None
    hazards_every: int = _HAZARDS_EVERY

    @property
    def name(self) -> str:
        """The name of the file: MIT's, or for another organization edX's."""
        organization = self.university.organization.lower()
        site = "edx" if organization == "mitx" and self.site is Site.PROD else self.site
        return f"{organization}-{site}-events-{self.day}.log.gz"

    def story_events(self) -> int:
        """The number of events that come from learners."""
        university, count = self.university, 0
        for unit in self._units():
            enrollment = unit.enrollment(university)
            if unit.milestone:
                count += milestone_event(university, enrollment, unit.at, unit.milestone) is not None
            else:
                done = university.actions(enrollment, enrollment.sessions[unit.session])
                count += sum(EVENTS_OF[action.kind] for action in done)
        return count

    def arrivals(self) -> Iterator[Arrival]:
        """All events of the day, by the time of their arrival."""
        units = sorted(self._units())
        return merge(_merged((unit.at, self._events(unit)) for unit in units), self._visits(), key=itemgetter(0))

    def _units(self) -> Iterator[_Unit]:
        """Yield all sessions and milestones that arrive on this day, in no order."""
        start, university = times.midnight(self.day), self.university
        end = start + times.DAY
        for enrollment in university.site_enrollments(self.site):
            course, learner = enrollment.course.index, enrollment.learner.number
            for session in enrollment.sessions:
                if start <= session.arrives < end:
                    yield _Unit(session.arrives, course, learner, session.number)
            for at, kind in milestones(university, enrollment):
                if start <= at < end:
                    yield _Unit(at, course, learner, milestone=kind)

    def _events(self, unit: _Unit) -> Iterator[Arrival]:
        enrollment = unit.enrollment(self.university)
        if not unit.milestone:
            yield from session_events(self.university, enrollment, enrollment.sessions[unit.session])
        elif event := milestone_event(self.university, enrollment, unit.at, unit.milestone):
            yield Arrival(unit.at, unit.at, event)

    def _visits(self) -> Iterator[Arrival]:
        count = 1 + self.university.learners // 10 if self.visitors is None else self.visitors
        for number in range(count):
            at = times.midnight(self.day) + (2 * number + 1) * times.DAY // (2 * count)
            yield Arrival(at, at, anonymous_request(self.university, self.site, number))


class _Unit(NamedTuple):
    """A session or a milestone, small enough to hold all of a day."""

    at: int
    course: int
    learner: int
    session: int = 0
    milestone: str = ""

    def enrollment(self, university: University) -> Enrollment:
        """The enrollment that it belongs to."""
        return university.enrollment(university.course(self.course), self.learner)


def _merged(sources: Iterable[tuple[int, Iterator[Arrival]]]) -> Iterator[Arrival]:
    """Merge sources that come in the order of their starts, holding only those that have begun."""
    begun: list[tuple[int, int, Arrival, Iterator[Arrival]]] = []

    def take() -> Arrival:
        _, number, arrival, source = heappop(begun)
        begin(number, source)
        return arrival

    def begin(number: int, source: Iterator[Arrival]) -> None:
        if arrival := next(source, None):
            heappush(begun, (arrival.arrives, number, arrival, source))

    for number, (start, source) in enumerate(sources):
        while begun and begun[0][0] < start:
            yield take()
        begin(number, source)
    while begun:
        yield take()


def write_log(out: Path, log: TrackingLog, *, progress: Callable[[LogTruth], None] | None = None) -> LogTruth:
    """Write a log as gzip, the same bytes for the same log.

    Args:
        out: The file; there only when it is complete, and replaced if it exists.
        log: The day and the site.
        progress: Called now and then with the truth so far.

    Raises:
        OSError: The file cannot be written.
    """
    truth = LogTruth()
    with whole_file(out) as partial, partial.open("wb") as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
            for lines in _batched(_lines(log, truth)):
                truth.bytes_unpacked += packed.write("".join(lines).encode())
                if progress is not None:
                    progress(truth)
        truth.bytes_compressed = file.tell()
    return truth


def write_sample_log(
    out: Path,
    *,
    events: int,
    seed: int,
    organization: str = "MITx",
    day: date = DAY,
    progress: Callable[[LogTruth], None] | None = None,
) -> LogTruth:
    """Write the log of a university of one day: about 1,100 bytes an event, 120 when compressed.

    Args:
        out: The file; replaced if it exists.
        events: The number of events, at least 1; visitors without an account add the events that learners leave
            missing.
        seed: The seed of the university.
        organization: The first part of course keys.
        day: The day of all events.
        progress: Called now and then with the truth so far.

    Raises:
        OSError: The file cannot be written.
    """
    learners = events // _EVENTS_PER_LEARNER
    while True:
        university = University(
            seed=seed,
            organization=organization,
            courses=_COURSES,
            learners=learners,
            first_day=day,
            days=1,
            hazards=ORDINARY_LOG_HAZARDS,
        )
        log = TrackingLog(university, Site.PROD, day, hazards_every=_SELDOM)
        missing = events - log.story_events()
        if missing >= 0:
            return write_log(out, replace(log, visitors=missing), progress=progress)
        learners = learners * 9 // 10


def _batched(lines: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(lines, _LINES_A_WRITE)):
        yield batch


def _lines(log: TrackingLog, truth: LogTruth) -> Iterator[str]:
    """Yield the lines of a day, each with its line end; some have a blank line before them."""
    hazards = LogHazards(log.university.hazards, log.hazards_every)
    midnight = times.midnight(log.day)
    late_from = midnight + int(LATE_FROM * times.DAY)
    for number, (arrives, at, event) in enumerate(log.arrivals()):
        hazard = hazards.of_line(number)
        event["time"] = hazards.time(hazard, at, number)
        if hazard == "late-keys" and arrives >= late_from:
            late = {"label": event["event_type"][:40], "nonInteraction": 1}
            event.update(late)
            truth.late_keys = list(late)
        if hazard == "newline-names":
            event["username"] += "\n"
            truth.line_ends_in_names += 1
        truth.events += 1
        truth.odd_times += hazard == "time-spellings"
        if hazard not in REJECTING:
            event_type = event["event_type"]
            truth.by_type["request" if event_type.startswith("/") else event_type] += 1
            truth.by_source[event["event_source"]] += 1
            truth.by_course[event["context"]["course_id"]] += 1
            truth.late += at < midnight
        yield hazards.strike(hazard, json.dumps(event), arrives, truth) + "\n"
        truth.lines = truth.events + truth.blank

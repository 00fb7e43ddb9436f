"""Tells the story of a learner in a course, who enrolls, has sessions, answers, posts, earns a certificate, leaves.

A learner goes through the verticals of a course in their order; the n-th session covers the n-th few of them. So each
session follows from the enrollment and its number alone, without the sessions before, and a day of a large university
is told without its past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from edxorg.samples import times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from edxorg.samples.courses import Block, Course, Page
    from edxorg.samples.learners import Learner

LATEST_DELAY: Final = 14
"""Days after which the mobile app still delivers events that it kept while it was offline."""

PASSING: Final = 0.6
"""The share of the points that passes."""

_KINDS: Final = {"html": "read", "openassessment": "submit", "discussion": "post"}

_STARTS_BEFORE: Final = 22 * times.HOUR
_FIRST_VISIT_AFTER: Final = 5 * 60 * times.SECOND
_ENROLLS_BEFORE: Final = 12 * times.HOUR


class Session(NamedTuple):
    """A visit to a course, within a day.

    Attributes:
        number: Counts the sessions of an enrollment from 0.
        at: Time of its beginning.
        arrives: Time of its first event's arrival: the same, or days later for a mobile app that was offline.
    """

    number: int
    at: int
    arrives: int

    @property
    def offline(self) -> bool:
        """True if the app was offline, so that the learner could only watch."""
        return self.arrives > self.at


class Enrollment(NamedTuple):
    """A learner in a course.

    Attributes:
        id: Unique in the university.
        created: Time of enrolling.
        mode: The mode at last; before `upgraded` it was `audit`.
        left: Time of unenrolling, if the learner did.
        pace: Verticals in each session.
        skill: The chance of a right answer.
        sessions: All sessions in the order of time.
        staff: True for the instructor, who enrolled long before and has no sessions.
        retired: Time when the platform retired the learner, if it did.
    """

    id: int
    course: Course
    learner: Learner
    created: int
    mode: str
    upgraded: int | None
    left: int | None
    pace: int
    skill: float
    sessions: tuple[Session, ...]
    staff: bool = False
    retired: int | None = None

    @property
    def user_id(self) -> int:
        """The learner's account on the course's site."""
        return self.learner.user_id(self.course.site)

    @property
    def turn(self) -> int:
        """A number to choose every second or third learner of a course by; its ids can all be even, or all odd."""
        return self.learner.number + self.course.index

    def mode_at(self, until: int) -> str:
        """The mode before a time."""
        return self.mode if self.upgraded is None or self.upgraded < until else "audit"

    @property
    def verified_at(self) -> int | None:
        """The time when the learner began to pay for a verified certificate, if ever."""
        if self.mode != "verified":
            return None
        return self.created if self.upgraded is None else self.upgraded

    def is_active_at(self, until: int) -> bool:
        """Return True if the learner had not unenrolled before a time."""
        return self.left is None or self.left >= until

    def learner_at(self, until: int) -> Learner:
        """The learner as the platform knew one before a time."""
        return self.learner.retired() if self.retired is not None and self.retired < until else self.learner

    def pages(self, session: Session) -> tuple[Page, ...]:
        """The verticals that a session covers; none after the course's last."""
        start = session.number * self.pace
        return self.course.pages[start : start + self.pace]

    def certified_at(self) -> int | None:
        """The time of the decision on a certificate: the night after the last event has arrived, if it does."""
        if len(self.sessions) * self.pace < len(self.course.pages):
            return None
        last = max(session.arrives for session in self.sessions)
        return last - last % times.DAY + times.DAY + 3 * times.HOUR + self.id % times.SECOND


class Action(NamedTuple):
    """An act of a learner in a session.

    Attributes:
        at: Time of the action.
        kind: `visit`, `open`, `read`, `watch`, `check`, `submit` or `post`.
        page: The vertical.
        block: The block that it is done to; for a visit, the course.
        detail: For `watch`, the seconds of start and end; for `check`, the number of the attempt from 1, 1 if it is
            right, and the number of an answer; for `post`, a random number.
    """

    at: int
    kind: str
    page: Page
    block: Block
    detail: tuple[int, ...] = ()


def enroll(
    rng: Random,
    course: Course,
    learner: Learner,
    *,
    number: int,
    first: int,
    days: int,
    retired: int | None,
    in_program: bool,
) -> Enrollment:
    """Return the story of a learner in a course.

    Args:
        rng: Random numbers of this enrollment.
        course: The course.
        learner: The learner.
        number: The id.
        first: The midnight at which the story begins; there are no sessions before.
        days: The story's length.
        retired: Time when the platform retires the learner, if it does.
        in_program: True if the learner takes the course to complete a program: pays, begins early and goes on to
            its end.
    """
    early = rng.random() < 0.4 or in_program  # noqa: PLR2004
    day = -1 - int(rng.random() * 20) if early else int(rng.random() * days)
    if retired is not None:
        day = 0
    created = first + day * times.DAY + int(rng.random() * _ENROLLS_BEFORE)
    created -= created % times.SECOND
    wanted, finishes = _sessions_wanted(1 if in_program else rng.random())
    pace = int(rng.random() * 2) + (2 if finishes else 1)
    if finishes:
        wanted = -(-len(course.pages) // pace)
    if retired is not None:
        wanted = max(wanted, 2)
    sessions = tuple(_sessions(rng, learner, created, wanted, first, days, retired))
    paying = not course.slashes and (in_program or rng.random() < (2 / 3 if finishes else 1 / 5))
    upgraded = None
    if paying and len(sessions) > 1 and rng.random() < 1 / 2:
        upgraded = sessions[1].at - 60 * times.SECOND
    left = retired
    last = max((session.arrives for session in sessions), default=max(created, first))
    leaves_on = last // times.DAY * times.DAY + times.DAY
    if left is None and not finishes and rng.random() < 0.08 and leaves_on < first + days * times.DAY:  # noqa: PLR2004
        left = leaves_on + int(rng.random() * _STARTS_BEFORE)
    mode = "honor" if course.slashes else "verified" if paying else "audit"
    skill = 0.85 if finishes else 0.6
    return Enrollment(number, course, learner, created, mode, upgraded, left, pace, skill, sessions, retired=retired)


def enroll_instructor(course: Course, learner: Learner, *, number: int, first: int) -> Enrollment:
    """The instructor's own enrollment, 30 days before the story begins."""
    mode = "honor" if course.slashes else "audit"
    return Enrollment(number, course, learner, first - 30 * times.DAY, mode, None, None, 1, 1.0, (), staff=True)


def _sessions_wanted(draw: float) -> tuple[int, bool]:
    """The number of sessions that a learner would like to have, and whether rather all that it takes."""
    if draw < 0.4:  # noqa: PLR2004
        return 0, False
    if draw < 0.85:  # noqa: PLR2004
        return 1 + int(draw * 1_000) % 3, False
    return 0, True


def _sessions(
    rng: Random, learner: Learner, created: int, wanted: int, first: int, days: int, retired: int | None
) -> Iterator[Session]:
    """Yield one session a day at most, until the story ends."""
    end = first + days * times.DAY if retired is None else retired - times.DAY
    midnight = max(first, created - created % times.DAY) + int(rng.random() * min(days, 5)) * times.DAY
    earliest = created + _FIRST_VISIT_AFTER
    if retired is not None:
        midnight = first
    for number in range(wanted):
        start = midnight + int(rng.random() * _STARTS_BEFORE)
        if start < earliest:
            start = earliest + start % times.HOUR
        if start >= end:
            return
        on_first_day = days >= LATEST_DELAY and start < first + times.DAY
        offline = learner.mobile and (number % 2 == 1 or on_first_day) and retired is None
        # Those of the first day arrive within two weeks, so that the logs of a short story have one that is as late.
        delay = LATEST_DELAY - 1 if on_first_day else 1 + start % LATEST_DELAY
        yield Session(number, start, start + delay * times.DAY if offline else start)
        midnight += times.DAY * (1 + (rng.random() < 1 / 4))


def actions(rng: Random, enrollment: Enrollment, session: Session) -> Iterator[Action]:
    """All that a learner does in a session, in the order of time; it takes less than an hour and three quarters.

    Args:
        rng: Random numbers of this session.
        enrollment: The enrollment.
        session: The session.
    """
    at = session.at
    for page in enrollment.pages(session):
        if not session.offline:
            yield Action(at, "visit", page, enrollment.course.root)
            at += 2 * times.SECOND + int(rng.random() * 9 * times.SECOND)
            yield Action(at, "open", page, page.sequential)
        for block in page.vertical.children:
            at += 5 * times.SECOND + int(rng.random() * 55 * times.SECOND)
            if block.category == "video":
                stop = int(rng.random() * block.seconds) + 1
                yield Action(at, "watch", page, block, (0, stop))
                at += (1 + stop) * times.SECOND
            elif block.category == "problem" and not session.offline:
                for action in _attempts(rng, enrollment.skill, Action(at, "check", page, block)):
                    yield action
                    at = action.at
            elif not session.offline and (block.category != "discussion" or rng.random() < 1 / 4):
                detail = (int(rng.random() * 1_000_000_000),) if block.category == "discussion" else ()
                yield Action(at, _KINDS[block.category], page, block, detail)


def _attempts(rng: Random, skill: float, first: Action) -> Iterator[Action]:
    """Up to three attempts at a problem, until it is solved or given up."""
    at = first.at
    for attempt in (1, 2, 3):
        right = rng.random() < skill
        yield first._replace(at=at, detail=(attempt, right, int(rng.random() * 1_000_000)))
        at += 10 * times.SECOND + int(rng.random() * 80 * times.SECOND)
        if right or rng.random() < 1 / 2:
            return

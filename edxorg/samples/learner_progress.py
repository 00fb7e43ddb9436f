"""Sums up the state of a learner in a course at a certain time from the sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edxorg.samples.story import PASSING

if TYPE_CHECKING:
    from edxorg.samples.courses import Block
    from edxorg.samples.story import Action, Enrollment
    from edxorg.samples.university import University


class Module(NamedTuple):
    """The platform's record of a learner and a block.

    Attributes:
        created, modified: Times of the first and the last use.
        value: The second at which a video was left, the place of a container's child, or the attempts at a problem.
        right: True if a problem was solved.
        answer: Picks an answer to a problem.
    """

    block: Block
    created: int
    modified: int
    value: int
    right: bool = False
    answer: int = 0


@dataclass(slots=True)
class Subsection:
    """The problems of a sequential.

    Attributes:
        created, modified: Times of the first and the last attempt.
        earned: Points that were earned.
    """

    created: int
    modified: int
    earned: int = 0


@dataclass(slots=True)
class Progress:
    """The state at a certain time.

    Attributes:
        modules: Modules by the names of the blocks.
        subsections: Subsections by the names of the sequentials that have an attempt at a problem.
        earned: Points in all.
        passed_at: Time when enough was earned to pass, if it was.
        last_at: Time of the last action, or none.
        posts, submissions: These actions, with the times at which the platform received them.
    """

    modules: dict[str, Module] = field(default_factory=dict)
    subsections: dict[str, Subsection] = field(default_factory=dict)
    earned: int = 0
    passed_at: int | None = None
    last_at: int | None = None
    posts: list[Action] = field(default_factory=list)
    submissions: list[Action] = field(default_factory=list)


def progress_of(university: University, enrollment: Enrollment, until: int) -> Progress:
    """Sum up all actions that arrived before a time."""
    progress = Progress()
    chapters = {chapter.name: place for place, chapter in enumerate(enrollment.course.root.children, start=1)}
    enough = PASSING * enrollment.course.problems
    for session in enrollment.sessions:
        if session.arrives >= until:
            continue
        late = session.arrives - session.at
        for action in university.actions(enrollment, session):
            _note(progress, action, action.at + late, chapters)
            if progress.passed_at is None and progress.earned >= enough:
                progress.passed_at = action.at
    return progress


def _note(progress: Progress, action: Action, at: int, chapters: dict[str, int]) -> None:
    page, block = action.page, action.block
    progress.last_at = at if progress.last_at is None else max(progress.last_at, at)
    match action.kind:
        case "visit":
            _use(progress, block, at, chapters[page.chapter.name])
            _use(progress, page.chapter, at, 1 + page.chapter.children.index(page.sequential))
        case "open":
            _use(progress, block, at, page.position)
        case "watch":
            _use(progress, block, at, action.detail[1])
        case "check":
            attempt, right, answer = action.detail
            created = progress.modules[block.name].created if attempt > 1 else at
            progress.modules[block.name] = Module(block, created, at, attempt, bool(right), answer)
            subsection = progress.subsections.setdefault(page.sequential.name, Subsection(at, at))
            subsection.modified = at
            subsection.earned += right
            progress.earned += right
        case "submit":
            _use(progress, block, at, 1)
            progress.submissions.append(action)
        case "post":
            progress.posts.append(action)


def _use(progress: Progress, block: Block, at: int, value: int) -> None:
    known = progress.modules.get(block.name)
    if known is not None and known.modified > at:  # a later visit was counted before this one arrived
        return
    progress.modules[block.name] = Module(block, at if known is None else known.created, at, value)

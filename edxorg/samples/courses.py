"""Invented courses: their keys, the blocks they are made of, and their structure as the LMS dumps it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from edxorg.samples import invented, times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from random import Random

LTI_PASSPORT: Final = "sample_consumer:NOT-A-REAL-KEY:NOT-A-REAL-SECRET"
"""Stands where real courses have a secret; it may be in no output, so tests and the demo look for it there."""

BLOCKS_IN_CHAPTER: Final = 24
"""Blocks of a chapter, itself included."""

_SUBJECTS: Final = ("Circuits", "Statics", "Genetics", "Optics", "Logic", "Markets", "Polymers", "Oceans")
_TERMS: Final = ("1T", "2T", "3T")
_LEAVES: Final = ("html", "problem", "problem", "video")

_HYPHENATED: Final = 1
_EDGE, _EDGE_EVERY = 2, 12
_UNDER_OLDER_EDGE_NAME: Final = 14
_SLASHES, _SLASHES_EVERY = 3, 8
_CCX_SECTION: Final = 4
_WITH_ASSESSMENT: Final = (0, 3)
_WITH_ASSESSMENT_EVERY: Final = 5


class Site(StrEnum):
    """The site that a course runs on; each has its own accounts."""

    PROD = "prod"
    EDGE = "edge"


class Block(NamedTuple):
    """A block of a course and everything below it; `name` is the last part of its usage key."""

    category: str
    name: str
    title: str
    children: tuple[Block, ...] = ()

    def walk(self) -> Iterator[Block]:
        """Yield this block and all below, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def seconds(self) -> int:
        """A video's duration."""
        return 60 + int(self.name[:2], 16)

    @property
    def video_id(self) -> str:
        """A video's `edx_video_id`."""
        return invented.as_uuid(self.name)


class Page(NamedTuple):
    """A vertical, with the blocks that it stands in."""

    chapter: Block
    sequential: Block
    vertical: Block
    position: int
    """The vertical's place in its sequential, from 1."""


@dataclass(frozen=True)
class Course:
    """A course run on one site.

    Attributes:
        index: Counts the courses of a university from 0, and decides the peculiarities of a course.
        organization, number, run: The parts of the course key.
        site: The site it runs on.
        environment: The exporter's name for that site in the names of files.
        slashes: True if its key is of the older style, `MITx/8.01x/2012_Fall`.
        ccx: The number of a CCX section, or none.
        instructor: The name of its instructor.
        self_paced: False if the course has dates for all learners.
        start, end: Its first and last day.
        root: The course block.
    """

    index: int
    organization: str
    number: str
    run: str
    site: Site
    environment: str
    slashes: bool
    ccx: int | None
    instructor: str
    self_paced: bool
    start: date
    end: date
    root: Block

    @property
    def course_id(self) -> str:
        """The course key as file names have it."""
        section = "" if self.ccx is None else f"-ccx-{self.ccx}"
        return f"{self.organization}-{self.number}-{self.run}{section}"

    @property
    def partition(self) -> str:
        """The course id and the site, which tell a course from all others."""
        return f"{self.course_id}|{self.site}"

    @property
    def in_catalogue(self) -> bool:
        """True if the catalogue lists it, and programs can have it: no course on Edge, and no CCX section."""
        return self.site is Site.PROD and self.ccx is None

    @property
    def ambiguous(self) -> bool:
        """True if the file names of this course can be taken apart in more than one way."""
        return any("-" in part for part in (self.organization, self.number, self.run))

    @cached_property
    def course_key(self) -> str:
        """The course key as tables, logs and the forum have it."""
        if self.slashes:
            return f"{self.organization}/{self.number}/{self.run}"
        if self.ccx is None:
            return f"course-v1:{self._parts}"
        return f"ccx-v1:{self._parts}+ccx@{self.ccx}"

    @property
    def _parts(self) -> str:
        return f"{self.organization}+{self.number}+{self.run}"

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, depth first, the course's own first."""
        return tuple(self.root.walk())

    @cached_property
    def pages(self) -> tuple[Page, ...]:
        """All verticals, in the order in which learners go through them."""
        return tuple(
            Page(chapter, sequential, vertical, position)
            for chapter in self.root.children
            for sequential in chapter.children
            for position, vertical in enumerate(sequential.children, start=1)
        )

    @cached_property
    def problems(self) -> int:
        """The number of its problems, one point each."""
        return sum(block.category == "problem" for block in self.blocks)

    @cached_property
    def problems_by_sequential(self) -> dict[str, int]:
        """The number of problems in each sequential, by its name."""
        return {
            sequential.name: sum(block.category == "problem" for block in sequential.walk())
            for chapter in self.root.children
            for sequential in chapter.children
        }

    @cached_property
    def videos(self) -> int:
        """The number of its videos."""
        return sum(block.category == "video" for block in self.blocks)

    @cached_property
    def discussions(self) -> tuple[Block, ...]:
        """The blocks that have a topic of the forum."""
        return tuple(block for block in self.blocks if block.category == "discussion")

    @cached_property
    def usage_keys(self) -> dict[str, str]:
        """The usage key of each block, by the block's name."""
        return {block.name: self.usage_key(block) for block in self.blocks}

    def usage_key(self, block: Block) -> str:
        """The key of a block in the tables, the logs and the course structure."""
        if self.slashes:
            return f"i4x://{self.organization}/{self.number}/{block.category}/{block.name}"
        if self.ccx is None:
            return f"block-v1:{self._parts}+type@{block.category}+block@{block.name}"
        return f"ccx-block-v1:{self._parts}+ccx@{self.ccx}+type@{block.category}+block@{block.name}"

    def html_id(self, block: Block) -> str:
        """The id of a block on a page, which events of videos have."""
        if self.slashes:
            return f"i4x-{self.organization}-{self.number.replace('.', '_')}-{block.category}-{block.name}"
        return block.name

    def part(self, problem: Block) -> str:
        """The id of a problem's one input."""
        return f"{self.html_id(problem)}_2_1"

    def first_blocks(self, count: int) -> Course:
        """Return the course with its first blocks only, depth first."""
        return replace(self, root=_first_blocks(self.root, iter(range(1, count))))

    def structure(self) -> bytes:
        """The course structure: usage key → category, children, metadata, as `dump_course_structure` writes it."""
        document = {
            self.usage_key(block): {
                "category": block.category,
                "children": [self.usage_key(child) for child in block.children],
                "metadata": self._metadata(block),
            }
            for block in self.blocks
        }
        return json.dumps(document, indent=4, sort_keys=True).encode()

    def _metadata(self, block: Block) -> dict[str, Any]:
        title = {"display_name": block.title}
        match block.category:
            case "course":
                return {
                    **title,
                    "start": f"{self.start}T00:00:00Z",
                    "end": f"{self.end}T00:00:00Z",
                    "advanced_modules": ["poll", "lti_consumer"],
                    "lti_passports": [LTI_PASSPORT],
                }
            case "chapter":
                return {**title, "start": f"{self.start}T00:00:00Z"}
            case "sequential":
                return {**title, "start": f"{self.start}T00:00:00Z", "format": "Homework", "graded": True}
            case "problem":
                return {**title, "max_attempts": 3, "weight": 1.0, "due": f"{self.end}T00:00:00Z"}
            case "video":
                return {**title, "edx_video_id": block.video_id, "html5_sources": []}
            case "discussion":
                return {**title, "discussion_id": block.name, "discussion_category": "Week"}
            case _:
                return title


def _first_blocks(block: Block, more: Iterator[int]) -> Block:
    """Return a block with as many of those below it as can be drawn from `more`."""
    children = zip(block.children, more, strict=False)
    return block._replace(children=tuple(_first_blocks(child, more) for child, _ in children))


def course_of(index: int, *, seed: int, organization: str, first_day: date, chapters: int | None = None) -> Course:
    """The course with this index of a university.

    The second course has hyphens in its number and its run. The third is a copy on Edge of the first, with the same
    key. The fourth has a key with slashes. The fifth is a CCX section of the first. Later ones take turns.
    """
    edge = index % _EDGE_EVERY == _EDGE
    if edge or index == _CCX_SECTION:
        original = course_of(
            index - _EDGE if edge else 0, seed=seed, organization=organization, first_day=first_day, chapters=chapters
        )
        return _copy(original, index)
    rng = invented.seeded(seed, "course", index)
    slashes = index % _SLASHES_EVERY == _SLASHES
    self_paced = index % 2 == 1
    number, run = f"{1 + index % 24}.{100 + index}x", f"{_TERMS[index % len(_TERMS)]}{first_day.year}"
    if index == _HYPHENATED:
        number, run = f"{number[:-1]}.1-x", f"{run}-A"
    start = times.day_of(times.midnight(first_day) - (60 * times.DAY if self_paced else 0))
    end = times.day_of(times.midnight(first_day) + 120 * times.DAY)
    if slashes:
        year = 2012 + index % 3
        run, start, end = f"{year}_Fall", start.replace(year=year, month=9, day=5), end.replace(year=year, month=12)
    (instructor,) = invented.names(rng, 1)
    root = _tree(rng, index, run if slashes else "course", chapters or 2 + index % 3)
    return Course(
        index,
        organization,
        number,
        run,
        Site.PROD,
        "prod-analytics",
        slashes,
        None,
        instructor,
        self_paced,
        start,
        end,
        root,
    )


def _copy(original: Course, index: int) -> Course:
    fields = {name: getattr(original, name) for name in Course.__dataclass_fields__} | {"index": index}
    if index == _CCX_SECTION:
        (coach,) = invented.names(invented.seeded(original.instructor, "coach"), 1)
        return Course(**fields | {"ccx": 12, "instructor": coach})
    older = index == _UNDER_OLDER_EDGE_NAME
    environment = "prod-edge-analytics" if older else "edge-analytics"
    return Course(**fields | {"site": Site.EDGE, "environment": environment})


def _tree(rng: Random, index: int, root_name: str, chapters: int) -> Block:
    """The blocks of a course; two of five courses have an open response assessment at its end."""
    titles = iter(invented.sentences(rng, (chapters + 1) * BLOCKS_IN_CHAPTER, words=4))

    def block(category: str, *children: Block) -> Block:
        return Block(category, invented.hex_ids(rng, 1)[0], next(titles).rstrip("."), children)

    def vertical(*more: str) -> Block:
        return block("vertical", *(block(category) for category in (*_LEAVES, *more)))

    def chapter(*at_its_end: str) -> Block:
        first, last = (vertical(), vertical()), (vertical(), vertical(*at_its_end))
        return block("chapter", block("sequential", *first), block("sequential", *last))

    assessed = index % _WITH_ASSESSMENT_EVERY in _WITH_ASSESSMENT
    ends = [("discussion",)] * (chapters - 1) + [("discussion", "openassessment") if assessed else ("discussion",)]
    title = f"Introduction to {_SUBJECTS[index % len(_SUBJECTS)]}"
    return Block("course", root_name, title, tuple(chapter(*end) for end in ends))

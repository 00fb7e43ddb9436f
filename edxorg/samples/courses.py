"""Invented courses: their keys, the blocks they are made of, and their structure as the LMS dumps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from edxorg.samples import invented
from ol_orchestrate.lib.course_partition import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

LTI_PASSPORT: Final = "sample_consumer:NOT-A-REAL-KEY:NOT-A-REAL-SECRET"
"""Stands where real courses have a secret; it may be in no output, so tests and the demo look for it there."""

_SUBJECTS: Final = ("Circuits", "Statics", "Genetics", "Optics", "Logic", "Markets", "Polymers", "Oceans")
_RUNS: Final = ("2012_Fall", "1T2015", "2T2016", "3T2017", "1T2019", "2T2020", "3T2021", "1T2023")
_LEAVES: Final = ("html", "problem", "problem", "video")
_BLOCKS_A_CHAPTER: Final = 23

_WITH_HYPHEN: Final = 1
_CCX_SECTION: Final = 3
_FIRST_ON_EDGE: Final = 2
_UNDER_OLDER_NAME: Final = 14
_ON_EDGE_AGAIN_AFTER: Final = 12


class Block(NamedTuple):
    """A block of a course and everything below it; `name` is the last part of its usage key."""

    category: str
    name: str
    title: str
    children: tuple[Block, ...] = ()

    def walk(self) -> Iterator[Block]:
        """This block and all below, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class SampleCourse:
    """One invented course on one site.

    Attributes:
        index: Counts the courses of a sample from 0; what is special about a course follows from it.
        organization, number, run: The parts of the course key.
        site: Where it runs.
        environment: What the exporter calls that site in the names of files.
        ccx: The number of a CCX section, or none.
        instructor: Who teaches it.
        root: The course block.
    """

    index: int
    organization: str
    number: str
    run: str
    site: Site
    environment: str
    ccx: int | None
    instructor: str
    root: Block

    @property
    def course_id(self) -> str:
        """The course key as file names have it."""
        section = "" if self.ccx is None else f"-ccx-{self.ccx}"
        return f"{self.organization}-{self.number}-{self.run}{section}"

    @property
    def ambiguous(self) -> bool:
        """Whether the file names of this course can be taken apart in more than one way."""
        return any("-" in part for part in (self.organization, self.number, self.run))

    @property
    def course_key(self) -> str:
        """The course key as the tables have it."""
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

    def usage_key(self, block: Block) -> str:
        """The key of a block in the tables and in the course structure."""
        if self.ccx is None:
            return f"block-v1:{self._parts}+type@{block.category}+block@{block.name}"
        return f"ccx-block-v1:{self._parts}+ccx@{self.ccx}+type@{block.category}+block@{block.name}"

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
        match block.category:
            case "course":
                return {
                    "display_name": block.title,
                    "start": f"{2012 + self.index % 12}-09-05T00:00:00Z",
                    "advanced_modules": ["poll", "lti_consumer"],
                    "lti_passports": [LTI_PASSPORT],
                }
            case "chapter" | "sequential":
                return {"display_name": block.title, "start": f"{2012 + self.index % 12}-09-12T00:00:00Z"}
            case "problem":
                return {"display_name": block.title, "max_attempts": 3, "weight": 1.0, "due": "2030-01-01T12:00:00Z"}
            case _:
                return {"display_name": block.title}


def sample_course(index: int, *, seed: int, chapters: int) -> SampleCourse:
    """The course with this index; a chapter is 23 blocks, 16 of them leaves.

    Of each dozen courses one runs on Edge, the second of them under Edge's older name. One course has a hyphen in
    its run, and one is a CCX section.
    """
    rng = Random(f"{seed} course {index}")  # noqa: S311 - sample data
    edge = index % _ON_EDGE_AGAIN_AFTER == _FIRST_ON_EDGE
    edge_name = "prod-edge-analytics" if index == _UNDER_OLDER_NAME else "edge-analytics"
    return SampleCourse(
        index=index,
        organization="MITx",
        number=f"{1 + index % 24}.{100 + index}x",
        run="2T2017-A" if index == _WITH_HYPHEN else _RUNS[index % len(_RUNS)],
        site=Site.EDGE if edge else Site.PROD,
        environment=edge_name if edge else "prod-analytics",
        ccx=12 if index == _CCX_SECTION else None,
        instructor=invented.names(rng, 1)[0],
        root=_tree(rng, f"Introduction to {_SUBJECTS[index % len(_SUBJECTS)]}", chapters),
    )


def _tree(rng: Random, title: str, chapters: int) -> Block:
    titles = iter(invented.sentences(rng, chapters * _BLOCKS_A_CHAPTER, words=4))

    def block(category: str, *children: Block) -> Block:
        return Block(category, invented.hex_ids(rng, 1)[0], next(titles).rstrip("."), children)

    def vertical() -> Block:
        return block("vertical", *(block(category) for category in _LEAVES))

    def sequential() -> Block:
        return block("sequential", vertical(), vertical())

    return Block(
        "course", "course", title, tuple(block("chapter", sequential(), sequential()) for _ in range(chapters))
    )

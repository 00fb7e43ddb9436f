"""What invented learners left behind in a course: the rows of its tables, and its forum.

Tables are written as edX's exporter does, TAB-separated with escapes of two characters, except for
`courseware_studentmodule`, which another program writes: a backslash stands before the raw character there, so that
a record may span lines. In every third course `auth_userprofile` comes as newer packages have it: `meta` in double
quotes, and carriage returns as they are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil
from random import Random
from typing import TYPE_CHECKING, Any, Final

from edxorg.samples import invented
from edxorg.samples.tables import STUDENT_MODULE, TABLES, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edxorg.samples.courses import Block, SampleCourse

Pools = dict[str, list[bytes]]
"""Values to pick from, by the name that a table's columns use for them; encoded as the table's dialect has it."""

_PROFILES: Final = "auth_userprofile"
_NEWER_PROFILES: Final = 2

_BROKEN: Final = {0: "student_courseenrollment", 1: "auth_user", 2: "grades_persistentcoursegrade"}
"""The table with broken rows in each of the first courses: none with quotes or line ends inside its values."""

_FEWEST_ROWS_TO_BREAK: Final = 16

_STATES: Final = 1_400
"""Different states of student modules in a course: so many that compression does not profit from repetition."""


@dataclass(frozen=True, slots=True)
class TableBody:
    """The content of a table's file.

    Attributes:
        header: The first line.
        data: All rows.
        rows: Records after the header, broken ones included.
        rejected: Those that cannot be told apart for sure from what stands beside them, or are no UTF-8.
    """

    header: bytes
    data: bytes
    rows: int
    rejected: int


class LearnerData:
    """The tables and forums of a sample's courses; what they are made from is invented once."""

    def __init__(self, seed: int) -> None:
        """Invent a few thousand values."""
        rng = Random(f"{seed} learners")  # noqa: S311 - sample data
        texts = _texts(rng)
        self._seed = seed
        self._pools = {name: [_exported(text) for text in pool] for name, pool in texts.items()}
        newer = {name: [_quoted(text) for text in texts[name]] for name in ("meta", "prose", "name")}
        self._newer_profiles = self._pools | newer
        self._posts = [json.dumps(post) for post in texts["post"]]
        self._answers, self._times = texts["answer"], texts["time"]

    def tables(self, course: SampleCourse, rows: int) -> Iterator[tuple[Table, TableBody]]:
        """The tables that a course has, with about as many rows in all as wanted; many have none."""
        rng = Random(f"{self._seed} tables {course.index}")  # noqa: S311 - sample data
        used = _features(course.index)
        # Nothing was verified in this way after 2018, and courses of later years do not have the table.
        there = [table for table in TABLES if table.needs != "verification" or course.index % 2 == 0]
        filled = [table for table in there if not table.needs or table.needs in used]
        learners = max(1, round(rows / sum(table.rows for table in filled)))
        for table in there:
            yield table, self._body(table, course, learners if table in filled else 0, rng)

    def forum(self, course: SampleCourse, posts: int) -> bytes:
        """Threads of a forum as `mongoexport` writes them, one JSON object a line."""
        rng = Random(f"{self._seed} forum {course.index}")  # noqa: S311 - sample data
        line = (
            '{"_id":{"$oid":"%s"},"_type":"CommentThread","abuse_flaggers":[],"anonymous":false,"author_id":"%d",'
            '"body":%s,"comment_count":0,"commentable_id":"course","course_id":"' + course.course_key + '",'
            '"created_at":{"$date":"%sT12:00:00.000Z"},"title":"Question","votes":{"count":0,"up":[],"down":[]}}\n'
        )
        ids = invented.hex_ids(rng, posts, digits=24)
        days = (time[:10].decode() for time in rng.choices(self._pools["time"], k=posts))
        values = zip(ids, rng.choices(range(1_000_000), k=posts), rng.choices(self._posts, k=posts), days, strict=True)
        return "".join(line % each for each in values).encode()

    def _body(self, table: Table, course: SampleCourse, learners: int, rng: Random) -> TableBody:
        pools = self._newer_profiles if table.name == _PROFILES and course.index % 3 == _NEWER_PROFILES else self._pools
        sequentials = [course.usage_key(block).encode() for block in course.blocks if block.category == "sequential"]
        pools = pools | {"sequential": sequentials, "course": [course.course_key.encode()]}
        count = ceil(table.rows * learners)
        people = (course.index + 1) * 1_000_000
        handles = zip(cycle(self._pools["handle"]), range(learners), strict=False)
        values = {
            "id": [b"%d" % number for number in range(people * 10, people * 10 + count)],
            "user": list(islice(cycle([b"%d" % user for user in range(people, people + learners)]), count)),
            "handle": list(islice(cycle([b"%s_%d" % handle for handle in handles]), count)),
        }
        if table.name == STUDENT_MODULE and count:
            work = zip(*rng.choices(self._work(course, min(count, _STATES), rng), k=count), strict=True)
            values |= dict(zip(("module_type", "module", "state"), map(list, work), strict=True))
        rows = _rows(table, values, pools, rng)
        rejected = 0
        if _BROKEN.get(course.index) == table.name and len(rows) >= _FEWEST_ROWS_TO_BREAK:
            rejected = _break_some(rows)
        return TableBody(table.header, b"".join(rows), len(rows), rejected)

    def _work(self, course: SampleCourse, count: int, rng: Random) -> list[tuple[bytes, bytes, bytes]]:
        """Module type, usage key and state of what learners do: of a hundred states, 85 hold JSON."""
        kinds: dict[str, tuple[int, Callable[[Block, Random], dict[str, Any] | None]]] = {
            "problem": (55, self._problem_state),
            "sequential": (20, lambda _, rng: {"position": 1 + int(rng.random() * 9)}),
            "video": (10, lambda _, rng: {"saved_video_position": f"00:{int(rng.random() * 60):02d}:00", "speed": 1.5}),
            "html": (15, lambda *_: None),
        }
        work = []
        for category, (share, state) in kinds.items():
            blocks = [block for block in course.blocks if block.category == category]
            for block in rng.choices(blocks, k=ceil(count * share / 100)):
                document = state(block, rng)
                text = "NULL" if document is None else json.dumps(document, indent=1 if rng.random() < 1 / 12 else None)
                work.append((category.encode(), course.usage_key(block).encode(), _piped(text)))
        return work

    def _problem_state(self, block: Block, rng: Random) -> dict[str, Any]:
        part = f"{block.name}_2_1"
        grade = {
            "hint": "",
            "hintmode": None,
            "correctness": "correct",
            "msg": "",
            "answervariable": None,
            "npoints": None,
            "queuestate": None,
        }
        return {
            "correct_map": {part: grade},
            "input_state": {part: {}},
            "last_submission_time": rng.choices(self._times)[0],
            "attempts": 1 + int(rng.random() * 3),
            "done": True,
            "student_answers": {part: rng.choices(self._answers)[0]},
            "seed": int(rng.random() * 1_000),
        }


def _features(index: int) -> set[str]:
    """What a course uses beyond the ordinary."""
    uses = {
        "ora": index % 5 in (0, 3),
        "training": index % 10 == 0,
        "teams": index % 4 == 0,
        "cohorts": index % 3 == 0,
        "credit": index % 9 == 0,
        "experiments": index % 2 == 0,
        "verification": index % 4 == 0,
    }
    return {feature for feature, used in uses.items() if used}


def _rows(table: Table, values: dict[str, list[bytes]], pools: Pools, rng: Random) -> list[bytes]:
    """As many rows as there are values; a pool that stands twice in a row gives the same value twice."""
    line = "\t".join(column.partition("=")[2] for column in table.columns.split()) + "\n"
    pieces = re.split(r"\{(\w+)\}", line)
    template, places = "%s".join(pieces[::2]).encode(), pieces[1::2]
    count = len(values["id"])
    for place in dict.fromkeys(places):
        if place not in values:
            values[place] = rng.choices(pools[place], k=count)
    return [template % row for row in zip(*(values[place] for place in places), strict=True)]


def _break_some(rows: list[bytes]) -> int:
    """Break three rows, and return how many cannot be delivered for that.

    One has a field too many and one is no UTF-8. One lost its last field, which leaves open whether the row before
    it or the row after it lost a part to it: three that cannot be trusted.
    """
    first, second, third = len(rows) // 4, len(rows) // 2, 3 * len(rows) // 4
    rows[first] = rows[first][:-1] + b"\tone too many\n"
    rows[second] = rows[second][:-1] + b"\xff\n"
    rows[third] = rows[third][: rows[third].rindex(b"\t")] + b"\n"
    return 1 + 1 + 3


def _exported(text: str) -> bytes:
    """A value as the exporter writes it."""
    for raw, escaped in (("\\", "\\\\"), ("\r", "\\r"), ("\t", "\\t"), ("\n", "\\n")):
        text = text.replace(raw, escaped)
    return text.encode()


def _quoted(text: str) -> bytes:
    """A value as newer packages have it in profiles: a CSV writer's minimal quotes, carriage returns as they are."""
    text = text.replace("\t", "\\t").replace("\n", "\\n")
    return ('"' + text.replace('"', '""') + '"' if '"' in text else text).encode()


def _piped(text: str) -> bytes:
    """A value as the program that writes `courseware_studentmodule` does: a backslash before the raw character."""
    return re.sub(r"[\\\t\n]", r"\\\g<0>", text).encode()


def _texts(rng: Random) -> dict[str, list[str]]:
    """Values of all kinds, not yet encoded."""
    people = invented.names(rng, 2_000)
    prose = invented.sentences(rng, 3_000, words=12)
    pages = list(zip(*(invented.sentences(rng, 400, words=30) for _ in range(3)), strict=True))
    odd = ("\n", "\r", "\r\n", "\t", ' "so to say" ', "\\frac{1}{2} ", "\u2028", " naïve ", " 🙂 ", "\v", "NULL ")
    prose = [odd[i % len(odd)].join(text.partition(" ")[::2]) if i % 4 == 0 else text for i, text in enumerate(prose)]
    return {
        "time": invented.times(rng, 3_000),
        "name": people,
        "handle": [name.split()[0].lower() for name in people if name.isascii()],
        "hash": invented.hex_ids(rng, 5_000),
        "uuid": invented.uuids(rng, 5_000),
        "prose": [*prose, *["NULL"] * 2_000, *[""] * 1_000],
        "short": [text.rstrip(".") for text in invented.sentences(rng, 500, words=3)],
        "article": ["\r\n\r\n## ".join(page) for page in pages],
        "post": ["\n\n".join(page) for page in pages],
        "answer": ["choice_1", "choice_2", "[1, 2]", "x^2 + 1", 'a "quoted" one', "é", *prose[:600]],
        "meta": [*_metas(people), *[""] * 1_000],
        "raw_answer": [json.dumps({"parts": [{"text": "\n".join(page)}]}) for page in pages],
        "language": ["", "en", "es", "fr", "zh", "pt-br"],
        "gender": ["m", "f", "o", "NULL"],
        "year": [*map(str, range(1950, 2008)), *["NULL"] * 20],
        "education": ["b", "m", "hs", "p", "jhs", "NULL"],
        "country": ["US", "IN", "BR", "CN", "DE", "NG", "NULL"],
        "mode": ["audit", "audit", "audit", "verified", "honor"],
        "role": ["staff", "instructor", "beta_testers"],
        "certificate": ["downloadable", "notpassing", "audit_notpassing"],
        "grade": [f"{hundredth / 100:.2f}" for hundredth in range(101)],
        "points": ["0.0", "1.0", "2.0", "3.0", "4.0"],
        "bit": ["0", "1"],
        "cohort": ["Default Group", "Evening", "On campus"],
    }


def _metas(people: Sequence[str]) -> list[str]:
    """What the platform keeps about a profile beside its columns."""
    renamed = [json.dumps({"old_names": [[name, "Married", "2015-03-18T04:55:31"]]}) for name in people[:600]]
    return [*renamed, *[json.dumps({"session_id": None})] * 400]

"""Oddities of real files by name, which writers put into a university's files on purpose.

Each has one consequence, which the truth that the writers return counts: a reject with its reason, a member that is
ignored, or nothing but a file that is harder to read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from edxorg.samples import times

if TYPE_CHECKING:
    from collections.abc import Collection

HAZARDS: Final = {
    "ragged": "rows of `user_id_map` in the first course have a field too many or too few: rejected, and a short "
    "row's neighbors with it",
    "not-utf8": "a row of `student_anonymoususerid` in the first course is no UTF-8: rejected",
    "stray-member": "an archive has a file that fits no known name: unrecognized",
    "apple-double": "an archive, and each course's OLX, has a member `._…` that a Mac left: ignored",
    "twin-members": "an archive has `student_courseaccessrole` of the first course twice, first with one row only: "
    "both delivered, and the last one is recorded",
    "broken-olx": "a problem of the first course is no well-formed XML: reported, and the rest of the course delivered",
    "old-olx": "the first course's OLX is of before 2018: `url_name` is the constant `course`",
    "forum-garbage": "the first course's forum has a line that is no JSON, which stays",
    "vanished-course": "the last archive lacks the last course",
    "shrunken-table": "in the last archive, `user_api_usercoursetag` of the first course has lost all but a row",
    "time-spellings": "events have times without a zone, with another zone, with `Z`, or as numbers",
    "newline-names": "events have a line end at the end of `username`, which stays",
    "late-keys": "keys `label` and `nonInteraction` turn up late in the day",
    "syslog-prefix": "event lines have a syslog prefix, which is dropped",
    "nul-run": "event lines have NUL bytes before them, which are dropped",
    "blank-lines": "logs have blank lines: counted",
    "cut-lines": "event lines are cut off after 2,043 or 10,000 characters: rejected",
    "bad-times": "events have the time `300-01-01`: rejected",
    "repeated-keys": "event lines have the key `host` twice: rejected",
    "lone-surrogates": "event lines have half a character: rejected",
}
"""The effect of each hazard on the files."""

ORDINARY_LOG_HAZARDS: Final = frozenset(
    {"time-spellings", "late-keys", "syslog-prefix", "blank-lines", "cut-lines", "bad-times"}
)
"""Hazards that a log of any day has."""

CUT_AT: Final = (2_043, 10_000)
"""Characters after which some writers of tracking logs cut a line off."""

LATE_FROM: Final = 0.6
"""The share of the day after which the late keys turn up."""

_FIRST_LINE: Final = 5
_STEP: Final = 11


class UnknownHazardError(ValueError):
    """No hazard has this name."""


def hazards_named(names: str) -> frozenset[str]:
    """Return the hazards in a list such as `ragged,late-keys`; `all` stands for all of them.

    Raises:
        UnknownHazardError: A name is no hazard's. The message lists the hazards.
    """
    chosen = {name.strip() for name in names.split(",") if name.strip()}
    if "all" in chosen:
        return frozenset(HAZARDS)
    for name in sorted(chosen - set(HAZARDS)):
        raise UnknownHazardError(f"{name!r} is no hazard: choose from {', '.join(HAZARDS)}, or all")
    return frozenset(chosen)


@dataclass
class LogTruth:
    """The truth about one tracking log, counted while it was written.

    Attributes:
        events: Events that were written: those to deliver and those to reject.
        by_type: Events to deliver by `event_type`; requests, whose type is a path, count as `request`.
        by_source: Events to deliver by `event_source`.
        by_course: Events to deliver by course key; empty for those of no course.
        rejected: Events to reject, by reason.
        lines: Lines of the file: the events, and blank ones.
        blank: Blank lines.
        syslog_prefixes, nul_bytes: Lines with something before the object, which is dropped.
        late: Events to deliver that happened on an earlier day.
        odd_times: Events to deliver whose time is spelled in another way than usual.
        line_ends_in_names: Events to deliver with a line end in `username`.
        late_keys: Keys that no event of the first half of the day has.
        bytes_unpacked, bytes_compressed: Sizes of the file.
    """

    events: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    by_course: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    blank: int = 0
    syslog_prefixes: int = 0
    nul_bytes: int = 0
    late: int = 0
    odd_times: int = 0
    line_ends_in_names: int = 0
    late_keys: list[str] = field(default_factory=list)
    bytes_unpacked: int = 0
    bytes_compressed: int = 0


class LogHazards:
    """Puts the chosen hazards into the lines of a log, each into one line of so many."""

    def __init__(self, names: Collection[str], every: int) -> None:
        """Choose hazards, each of which strikes one of `every` lines."""
        self._every = every
        self._turns = {
            (_FIRST_LINE + _STEP * place) % every: name for place, name in enumerate(HAZARDS) if name in names
        }

    def of_line(self, number: int) -> str | None:
        """Return the hazard that strikes a line, counted from 0."""
        return self._turns.get(number % self._every)

    def time(self, name: str | None, at: int, number: int) -> str | int:
        """Return the time of an event as its line spells it; a struck line takes the next of several spellings."""
        text = times.event_time(at)
        if name == "bad-times":
            return "300-01-01"
        if name != "time-spellings":
            return text
        spellings: tuple[str | int, ...] = (
            text.removesuffix("+00:00"),
            times.zulu(at),
            times.event_time(at - 5 * times.HOUR).removesuffix("+00:00") + "-05:00",
            at // times.SECOND,
            at // 1_000,
        )
        return spellings[number // self._every % len(spellings)]

    def strike(self, name: str | None, line: str, at: int, truth: LogTruth) -> str:
        """Return a line with a hazard, and count its outcome."""
        match name:
            case "syslog-prefix":
                truth.syslog_prefixes += 1
                when = times.datetime_of(at)
                return f"{when:%b} {when.day:2} {when:%H:%M:%S} localhost {line}"
            case "nul-run":
                truth.nul_bytes += 1
                return "\0" * 64 + line
            case "blank-lines":
                truth.blank += 1
                return f"\n{line}"
            case "cut-lines":
                truth.rejected["no_json_object"] += 1
                return line[: CUT_AT[len(line) > CUT_AT[1]]].removesuffix("}")
            case "bad-times":
                truth.rejected["unreadable_time"] += 1
            case "repeated-keys":
                truth.rejected["repeated_key"] += 1
                return line[:-1] + ', "host": "again"}'
            case "lone-surrogates":
                truth.rejected["lone_surrogate"] += 1
                return line[:-1] + ', "label": "\\ud83d"}'
        return line


REJECTING: Final = frozenset({"cut-lines", "bad-times", "repeated-keys", "lone-surrogates"})
"""Hazards of logs that cost the event."""


def strike_row(hazard: str, number: int, row: str, rejected: Counter[str]) -> bytes:
    """Return a row of a table that a hazard strikes, counted from 0, with its line end.

    A row that is short leaves open whether the row before or the row after it lost a part to it: both go with it.
    """
    data = row.encode()
    match hazard, number:
        case "ragged", 5:
            rejected["too_many_fields"] += 1
            data += b"\tone too many"
        case "ragged", 9:
            rejected["too_few_fields"] += 1
            rejected["neighbour"] += 1
            data = data.rpartition(b"\t")[0]
        case "ragged", 10:
            rejected["neighbour"] += 1
        case "not-utf8", 7:
            rejected["invalid_utf8"] += 1
            data += b"\xff"
    return data + b"\n"


STRUCK_TABLES: Final = {"user_id_map": "ragged", "student_anonymoususerid": "not-utf8"}
"""The tables of the first course with broken rows, and the hazard that breaks them; both are read as plain lines."""

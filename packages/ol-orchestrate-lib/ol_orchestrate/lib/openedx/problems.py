"""What is wrong with a part of an export, while the rest of it is delivered."""

from __future__ import annotations

from dataclasses import dataclass

from ol_orchestrate.lib.errors import BadInputError

MAX_PROBLEMS = 1_000
"""Problems kept of one export. Nobody reads more, and an archive of a million bad names must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of an export that could not be used.

    Attributes:
        path: The file, as its archive spells it; empty where the problem concerns none in particular.
        what: What is wrong, without a full stop.
        remedy: What somebody can do about it.
        line: Counted from 1, where it is known.
        column: Counted from 1, where it is known.
    """

    path: str
    what: str
    remedy: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """One line for a log: place, problem, remedy."""
        place = ":".join(str(part) for part in (self.path or "elsewhere", self.line, self.column) if part)
        return f"{place}: {self.what}. {self.remedy}"


class BrokenDocumentError(BadInputError):
    """An XML or JSON document that cannot be read, or may not be."""

    def __init__(self, problem: Problem) -> None:
        """Say which document, where in it, and what to do."""
        super().__init__(problem)
        self.problem = problem


class CourseExportError(BadInputError):
    """An archive that cannot be read as the export of a course."""


class ProblemList:
    """Collects problems, the first `MAX_PROBLEMS` of them in full."""

    def __init__(self) -> None:
        """An empty list."""
        self._kept: list[Problem] = []
        self._left_out = 0

    def add(self, path: str, what: str, remedy: str) -> None:
        """Note a problem that concerns a file as a whole."""
        self.append(Problem(path, what, remedy))

    def append(self, problem: Problem) -> None:
        """Note a problem."""
        if len(self._kept) < MAX_PROBLEMS:
            self._kept.append(problem)
        else:
            self._left_out += 1

    def as_tuple(self) -> tuple[Problem, ...]:
        """All problems in the order they were found; a last one tells how many more there were."""
        if not self._left_out:
            return tuple(self._kept)
        rest = Problem("", f"{self._left_out} more problems are not listed", "Mend the ones above first")
        return (*self._kept, rest)

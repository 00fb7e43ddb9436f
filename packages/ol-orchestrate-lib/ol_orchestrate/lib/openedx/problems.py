"""Problems with parts of an export, whose other parts are delivered, and the errors of whole exports."""

from __future__ import annotations

from dataclasses import dataclass

from ol_orchestrate.lib.errors import BadInputError

MAX_PROBLEMS = 1_000
"""Problems kept of one export, so that an archive of a million bad names does not fill the memory."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of an export that could not be used.

    Attributes:
        path: The file, as its archive spells it; empty if the problem concerns no single file.
        what: The fault, without a full stop.
        remedy: The advice for the course's team or the operator, without a full stop.
        line: The line in the file, counted from 1, if known.
        column: The column in the line, counted from 1, if known.
    """

    path: str
    what: str
    remedy: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Return one printable line for a log: place, problem, remedy. Names in an archive can hold any character."""
        place = ":".join(str(part) for part in (self.path or "elsewhere", self.line, self.column) if part)
        line = f"{place}: {self.what}. {self.remedy}"
        return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


class BrokenDocumentError(BadInputError):
    """An XML or JSON document that is unreadable or refused."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class CourseExportError(BadInputError):
    """An archive that cannot be read as the export of a course."""


class ProblemList:
    """Collects problems, the first `MAX_PROBLEMS` of them in full."""

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self._left_out = 0

    def add(self, path: str, what: str, remedy: str) -> None:
        """Append a problem with a whole file."""
        self.append(Problem(path, what, remedy))

    def append(self, problem: Problem) -> None:
        """Append a problem, or count it beyond the first `MAX_PROBLEMS`."""
        if len(self._kept) < MAX_PROBLEMS:
            self._kept.append(problem)
        else:
            self._left_out += 1

    def as_tuple(self) -> tuple[Problem, ...]:
        """Return the problems in the order in which they were found; a last one counts those left out."""
        if not self._left_out:
            return tuple(self._kept)
        rest = Problem("", f"{self._left_out} more problems are not listed", "Mend the ones above first")
        return (*self._kept, rest)

"""Writes all files of a university into a folder, with the truth about them, for `edxorg sample university`."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edxorg.samples.courses import Site
from edxorg.samples.hazards import HAZARDS
from edxorg.samples.package import Package
from edxorg.samples.sample_archive import archive_name, write_archive
from edxorg.samples.sample_catalogue import Catalogue
from edxorg.samples.sample_log import TrackingLog, write_log
from edxorg.samples.sample_reports import report_name, write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edxorg.samples.university import University

TRUTH: Final = "truth.json"
"""The file with the truth about all others."""

REPORTS: Final = "reports"
CATALOGUE: Final = "catalogue"


@dataclass(frozen=True)
class FileToWrite:
    """A file of a university.

    Attributes:
        name: Its path below the folder.
        kind: `archives`, `logs`, `program_reports` or `catalogue`, as in the truth.
        write: Writes it, and returns the truth about it.
    """

    name: str
    kind: str
    write: Callable[[Path], Any]


def files_of(university: University) -> Iterator[FileToWrite]:
    """Yield all files but the truth. Archives and logs share a folder, as at MIT; reports have one of their own."""
    catalogue = Catalogue.of(university)
    for day in university.archive_days:
        yield FileToWrite(archive_name(university, day), "archives", partial(_write_archive, university, day))
    for site in Site:
        for day in university.log_days:
            log = TrackingLog(university, site, day)
            yield FileToWrite(log.name, "logs", partial(write_log, log=log))
    for number in range(catalogue.program_count):
        name = f"{REPORTS}/{report_name(catalogue, number)}"
        yield FileToWrite(name, "program_reports", partial(write_report, catalogue=catalogue, number=number))
    for name, records in (("courses", catalogue.courses), ("programs", catalogue.programs)):
        yield FileToWrite(f"{CATALOGUE}/{name}.json", "catalogue", partial(_write_answer, records=records))


def write_university(
    folder: Path, university: University, *, started: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Write all files of a university, and the truth about them.

    Args:
        folder: The folder; made if it is missing. Files of the same names are replaced.
        university: The story.
        started: Called with the name of each file before it is written.

    Raises:
        OSError: A file cannot be written.
    """
    truth: dict[str, Any] = _story(university)
    for file in files_of(university):
        if started is not None:
            started(file.name)
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        truth.setdefault(file.kind, {})[file.name] = _plain(file.write(path))
    (folder / TRUTH).write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return truth


def _story(university: University) -> dict[str, Any]:
    return {
        "seed": university.seed,
        "organization": university.organization,
        "first_day": str(university.first_day),
        "days": university.days,
        "learners": university.learners,
        "hazards": {name: HAZARDS[name] for name in sorted(university.hazards)},
        "courses": {
            course.partition: {
                "course_key": course.course_key,
                "title": course.root.title,
                "blocks": Counter(block.category for block in course.blocks),
                "learners": len(university.rosters[course.index]),
            }
            for course in university.all_courses()
        },
    }


def _write_archive(university: University, day: Any, path: Path) -> Any:  # noqa: ANN401 - partial's
    return write_archive(path, Package(university, day))


def _write_answer(path: Path, records: list[dict[str, Any]]) -> dict[str, int]:
    """Write all records as one response of the Discovery API."""
    answer = {"count": len(records), "next": None, "previous": None, "results": records}
    path.write_text(json.dumps(answer, indent=1) + "\n")
    runs = sum(len(record.get("course_runs", ())) for record in records)
    return {
        "records": len(records),
        "course_runs": runs,
        "program_courses": sum(len(r.get("courses", ())) for r in records),
    }


def _plain(truth: Any) -> Any:  # noqa: ANN401 - any truth
    """Convert a truth to the types of JSON; `dataclasses.asdict` cannot copy a `Counter`."""
    if is_dataclass(truth):
        return {each.name: _plain(getattr(truth, each.name)) for each in fields(truth)}
    if isinstance(truth, dict):
        return {key: _plain(value) for key, value in truth.items()}
    return truth

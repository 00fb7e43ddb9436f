"""Reads the settings of a course run that its export keeps as JSON beside the blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ol_orchestrate.lib.openedx.passports import without_passports
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, ProblemList
from ol_orchestrate.lib.openedx.safe_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_POLICY_BYTES = 8 << 20
"""Bytes of one policy or grading policy; those of large courses have some hundred KB."""

MAX_POLICY_VALUES = 500_000
"""Values of one policy or grading policy; those of large courses have some ten thousand."""

_MEND = "Mend the file, or export the course again"


@dataclass(frozen=True, slots=True)
class Policies:
    """The content of the policy files of one run, without LTI passports.

    Attributes:
        course: The settings of the course block; `None` if the run has none.
        blocks: The settings of each block that has some, by `{type}/{url_name}`.
        grading: `GRADER` and `GRADE_CUTOFFS`; `None` if the run has no grading policy.
        signatories: The signatories of the certificates, each with its own fields and `certificate_id`.
    """

    course: Mapping[str, Any] | None
    blocks: Mapping[str, Mapping[str, Any]]
    grading: Mapping[str, Any] | None
    signatories: tuple[Mapping[str, Any], ...]


def read_policies(files: Mapping[str, bytes], root: str, run: str, problems: ProblemList) -> Policies:
    """Read the policies of a run.

    `policies/{run}/policy.json` holds settings by block, `course/{run}` for the course. Older exports have
    `policies/{run}.json`, and the grading policy beside `course.xml`. Policies of other runs are ignored.

    Args:
        files: The JSON files of an export by path.
        root: The root folder with a slash at its end, or `""`.
        run: The `url_name` of the course.
        problems: Receives broken files, and settings that exist for other runs only.
    """
    folder = f"{root}policies/"
    settings = _first_object(files, [f"{folder}{run}/policy.json", f"{folder}{run}.json"], problems)
    grading = _first_object(files, [f"{folder}{run}/grading_policy.json", f"{root}grading_policy.json"], problems)
    if settings is None:
        others = [path for path in files if path.startswith(folder) and path.endswith("/policy.json")]
        if others and f"{folder}{run}/policy.json" not in others:
            problems.add(others[0], f"policies of another run than {run!r}; they are not used", "Export the run again")
        return Policies(None, {}, grading and grading.values, ())
    course = _settings_of_course(settings, run, problems)
    blocks = _settings_of_blocks(settings, problems)
    signatories = tuple(_signatories(course or {}, settings.path, problems))
    return Policies(course, blocks, grading and grading.values, signatories)


class _Object(NamedTuple):
    path: str
    values: dict[str, Any]


def _first_object(files: Mapping[str, bytes], paths: list[str], problems: ProblemList) -> _Object | None:
    """Return the first existing file, if it holds a JSON object."""
    path = next((path for path in paths if path in files), None)
    if path is None:
        return None
    if len(files[path]) > MAX_POLICY_BYTES:
        problems.add(path, f"larger than {MAX_POLICY_BYTES >> 20} MiB; it is not read", "Remove what is not needed")
        return None
    try:
        values = without_passports(parse_json(files[path], path, problems, max_values=MAX_POLICY_VALUES))
    except BrokenDocumentError as error:
        problems.append(error.problem)
        return None
    if not isinstance(values, dict):
        problems.add(path, "holds no JSON object", _MEND)
        return None
    return _Object(path, values)


def _settings_of_course(settings: _Object, run: str, problems: ProblemList) -> dict[str, Any] | None:
    """Return the settings of the course block; a renamed run may have them under its old name."""
    names = [f"course/{run}", *(name for name in settings.values if name.startswith("course/"))]
    course = next((settings.values[name] for name in names if name in settings.values), None)
    if not isinstance(course, dict):
        problems.add(settings.path, f"holds no object 'course/{run}'", _MEND)
        return None
    return course


def _settings_of_blocks(settings: _Object, problems: ProblemList) -> dict[str, dict[str, Any]]:
    for name, values in settings.values.items():
        if not (isinstance(values, dict) or name.startswith("course/")):
            problems.add(settings.path, f"{name!r} is no object; it overrides nothing", _MEND)
    return {name: values for name, values in settings.values.items() if isinstance(values, dict)}


def _signatories(course: Mapping[str, Any], path: str, problems: ProblemList) -> Iterator[dict[str, Any]]:
    certificates = course.get("certificates") or {}
    try:
        for certificate in certificates.get("certificates") or []:
            for signatory in certificate.get("signatories") or []:
                yield {**signatory, "certificate_id": certificate.get("id")}
    except (AttributeError, TypeError):
        problems.add(path, "'certificates' has an unknown shape; signatories are missing", _MEND)

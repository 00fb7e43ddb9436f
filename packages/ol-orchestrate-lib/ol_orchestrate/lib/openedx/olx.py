"""Reads a course from its OLX export: the tree of its blocks, its policies and its static assets.

OLX: https://docs.openedx.org/en/latest/educators/olx/. A course is a tree of blocks. Either a block has a file of its
own, `{type}/{url_name}.xml`, and its parent holds a pointer, an empty `<{type} url_name="…"/>`; or it is inline in its
parent's file. `course.xml` holds the course block or a pointer to it. A setting of a block in `policy.json` overrides
the attribute of its XML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ol_orchestrate.lib.openedx.blocks import Block, BlockKey, definition_in, is_pointer
from ol_orchestrate.lib.openedx.export_files import DEFAULT_RATIO_LIMIT, ExportFiles, RatioLimit, read_export
from ol_orchestrate.lib.openedx.policies import Policies, read_policies
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, CourseExportError, Problem, ProblemList
from ol_orchestrate.lib.openedx.safe_xml import parse_xml
from ol_orchestrate.lib.openedx.static_assets import NOT_CONTENT
from ol_orchestrate.lib.openedx.tree import link_blocks, read_definitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ol_orchestrate.lib.openedx.reading_order import Reference
    from ol_orchestrate.lib.openedx.static_assets import StaticAssets

_NO_BLOCKS = NOT_CONTENT | {"about", "info", "policies", "roots", "tabs"}
"""Folders without blocks; in any other folder, each XML file is a block and has its name."""

_EXPORT_AGAIN = "Export the course again"

_CCX = re.compile(r"-ccx-\d+\Z", re.ASCII)

_ANY_RUN = "course"
"""The `url_name` that Studio gave to the course block of every run until 2018."""


@dataclass(frozen=True, slots=True)
class Course:
    """A course run as in its export, without any LTI passports.

    Attributes:
        org: The organization, as `course.xml` spells it.
        number: The course number, such as `6.00x`.
        run: The run, such as `2012_Fall`: the `url_name` of the course block unless that is the same for all runs.
        attributes: The attributes of the course block, as in the XML; some hold JSON.
        blocks: The blocks depth first from the course block, then the orphans.
        missing: Children that the export lacks, for example from a library.
        problems: Parts that could not be used.
        files: The number of files of the course; see `ExportFiles.count`.
    """

    org: str
    number: str
    run: str
    attributes: Mapping[str, str]
    blocks: tuple[Block, ...]
    missing: tuple[Reference[BlockKey], ...]
    policies: Policies
    problems: tuple[Problem, ...]
    files: int

    @property
    def course_id(self) -> str:
        """The course key, `course-v1:{org}+{number}+{run}`."""
        return f"course-v1:{self.org}+{self.number}+{self.run}"

    @property
    def videos(self) -> tuple[Block, ...]:
        """The video blocks, orphans included."""
        return tuple(block for block in self.blocks if block.key.block_type == "video")

    def setting(self, name: str, block: Block | None = None) -> Any:  # noqa: ANN401 - any JSON value
        """Return the effective value of a setting of a block or of the course; `None` if it has none.

        The policy's value, any JSON value, takes precedence over the text in the XML.
        """
        block = block or self.blocks[0]
        policy = self.policies.course if block is self.blocks[0] else self.policies.blocks.get("/".join(block.key))
        return policy[name] if policy and name in policy else block.attributes.get(name)


def read_course(
    source: BinaryIO | Iterable[bytes],
    *,
    name: str = "the export",
    course_id: str | None = None,
    static_assets: StaticAssets | None = None,
    ratio_limit: RatioLimit = DEFAULT_RATIO_LIMIT,
) -> Course:
    """Read a course from an export, in one pass.

    The course has all parts except the broken ones, which its `problems` list.

    Args:
        source: The bytes of a `.tar.gz`: an open file, or its chunks; read forward only.
        name: The name of the export in errors, for example its object key.
        course_id: The course id by the export's name or its partition, if known.
        static_assets: Collects the files that are not XML; without it they are skipped.
        ratio_limit: The limit against decompression bombs.

    Raises:
        CourseExportError: The archive cannot be read to its end, holds no course, or passes a limit of `export_files`
            or `tree`; or the file that names the course is broken.
    """
    files = read_export(source, name, static_assets, ratio_limit)
    problems = files.problems
    root, entry = _find_course(files, name)
    for folder, path in files.passed_over.items():
        if f"{folder}/" != root:
            problems.add(path, "below a folder for static files, but not the course's; it was not read", "Move it")
    try:
        element = parse_xml(files.xml.pop(entry), entry)
    except BrokenDocumentError as error:
        raise CourseExportError(f"{name}: {error}") from None
    if element.tag != "course":
        raise CourseExportError(f"{name} is no course: {entry} holds <{element.tag}>. Give the export of a course")

    key = BlockKey("course", element.get("url_name") or _only_run(files, root, entry, name))
    own_file = f"{root}course/{key.block_id}.xml"
    pointer = is_pointer(element)
    in_entry = definition_in(element, key, entry)
    if own_file not in files.xml:
        if not in_entry.children:
            problems.add(own_file, "missing: the course has no content", _EXPORT_AGAIN)
    elif not pointer:
        del files.xml[own_file]
        what = f"not used: {entry} has more than url_name, org and course, so it is the course itself"
        problems.add(own_file, what, f"Remove the file, or reduce {entry} to a pointer")
    definitions = read_definitions(files.xml, lambda path: _key_of_file(path, root, key, problems), problems)
    course = definitions.get(key, in_entry)
    attributes = {**in_entry.block.attributes, **course.block.attributes}
    org, number = attributes.get("org"), attributes.get("course") or attributes.get("number")
    if not (org and number):
        raise CourseExportError(f"{name}: {entry} has no org or no course number. {_EXPORT_AGAIN}")

    run = _run(f"{org}-{number}-", key.block_id, course_id, entry, problems)
    policies = read_policies(files.settings, root, key.block_id, problems)
    linked, missing = link_blocks(course, definitions, problems)
    if static_assets is not None:
        static_assets.select(root, problems)
    return Course(org, number, run, attributes, linked, missing, policies, problems.as_tuple(), files.count)


def _run(prefix: str, url_name: str, course_id: str | None, entry: str, problems: ProblemList) -> str:
    """Return the run of the export.

    Args:
        prefix: The beginning of the course id, from the export's organization and number.
        url_name: The run by the export's content.
        course_id: The course id by the export's name; that of a CCX ends in `-ccx-{n}`.
        entry: The file that names the course.
        problems: Receives a problem if the name disagrees with the content, or neither tells the run.
    """
    if course_id is None:
        if url_name == _ANY_RUN:
            what = f"its run is `{_ANY_RUN}`, as in all exports of Studio until 2018; they land in one place"
            problems.add(entry, what, "Give the export a name that tells its run")
        return url_name
    named = _CCX.sub("", course_id)
    agrees = named.startswith(prefix) and (url_name == _ANY_RUN or named == prefix + url_name)
    if not agrees:
        what = f"it names the course {prefix}{url_name}, but the export is named as one of {course_id}"
        problems.add(entry, what, "Correct the wrong one of the two")
    if url_name != _ANY_RUN:
        return url_name
    return named.removeprefix(prefix) if agrees else named.rpartition("-")[2]


def _key_of_file(path: str, root: str, course: BlockKey, problems: ProblemList) -> BlockKey | None:
    """Return the key of the block in a file, by its path; a `/` below the type's folder is a `:` in the `url_name`."""
    folder, _, rest = path.removeprefix(root).partition("/")
    if not path.startswith(root) or folder in _NO_BLOCKS:
        return None
    if not rest:
        problems.add(path, "an XML file beside course.xml; it is not read", "Put it into the folder of its type")
        return None
    key = BlockKey(folder, rest.removesuffix(".xml").replace("/", ":"))
    if folder == "course" and key != course:
        problems.add(path, "the course block of another run; it is not read", "Export each run by itself")
        return None
    return key


def _only_run(files: ExportFiles, root: str, entry: str, name: str) -> str:
    """Return the run by the only file in `course/`, for a pointer without a run."""
    folder = f"{root}course/"
    runs = [path.removeprefix(folder).removesuffix(".xml") for path in files.xml if path.startswith(folder)]
    if len(runs) != 1:
        raise CourseExportError(
            f"{name}: {entry} has no url_name, and {folder} holds {len(runs)} runs. {_EXPORT_AGAIN}"
        )
    return runs[0]


def _find_course(files: ExportFiles, name: str) -> tuple[str, str]:
    """Return the root folder of the course, `""` or with a slash at its end, and the file that names the course.

    `course.xml` marks the root, which may be any folder. In exports of a repository with several runs, it can be a link
    to one of `roots/*.xml`; with one run only, it can be missing.

    Raises:
        CourseExportError: There is no such file, or several are equally likely.
    """
    entries = {_folder(path): path for path in files.xml if _is(path, "course.xml")}
    links = {_folder(path): target for path, target in files.links.items() if _is(path, "course.xml")}
    runs: dict[str, list[str]] = {}
    for path in files.xml:
        if (parent := _folder(_folder(path)[:-1])) + "roots/" == _folder(path):
            runs.setdefault(parent, []).append(path)
    roots = sorted({*entries, *links, *runs}, key=lambda folder: (folder.count("/"), folder))
    if not roots:
        raise CourseExportError(f"{name} is no course: {_content_of(files)}. Give the export of a course")
    root = roots[0]
    if len(roots) > 1 and roots[1].count("/") == root.count("/"):
        raise CourseExportError(f"{name} holds several courses, in {root} and {roots[1]}. Give one course at a time")
    target = links.get(root, "")
    candidates = [entries[root]] if root in entries else runs.get(root, [])
    linked = [path for path in candidates if path in {root + target, target}]
    if len(candidates) != 1 and len(linked) != 1:
        raise CourseExportError(
            f"{name}: {root}course.xml is missing, and roots/ holds {len(candidates)} runs. {_EXPORT_AGAIN}"
        )
    return root, (linked or candidates)[0]


def _content_of(files: ExportFiles) -> str:
    if any(_is(path, "library.xml") for path in files.xml):
        return "it holds a content library (library.xml)"
    if not files.xml:
        return "it holds no XML file at all"
    return f"it has no course.xml among {len(files.xml)} XML files, the first is {next(iter(files.xml))}"


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _is(path: str, file_name: str) -> bool:
    return path.removeprefix(_folder(path)) == file_name

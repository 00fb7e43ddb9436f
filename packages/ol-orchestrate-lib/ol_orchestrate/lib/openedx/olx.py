"""Reads a course from its OLX export: its blocks and how they hang together, its policies and its static assets.

OLX: https://docs.openedx.org/en/latest/educators/olx/. A course is a tree of blocks. A block stands in a file of its
own, `{type}/{url_name}.xml`, and its parent then holds a pointer, an empty `<{type} url_name="…"/>`; or it stands in
its parent's file, inline. `course.xml` points to the course block, or holds the whole of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ol_orchestrate.lib.openedx.archive import NOT_CONTENT, ExportFiles, read_export
from ol_orchestrate.lib.openedx.blocks import Block, BlockKey, blocks_in, link_blocks, read_blocks
from ol_orchestrate.lib.openedx.policies import Policies, read_policies
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, CourseExportError, Problem, ProblemList
from ol_orchestrate.lib.openedx.safe_xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ol_orchestrate.lib.openedx.reading_order import Reference
    from ol_orchestrate.lib.openedx.static_assets import StaticAssets

_NO_BLOCKS = NOT_CONTENT | {"about", "info", "policies", "roots", "tabs"}
"""Folders whose files are no blocks; in any other one, an XML file is the block that it is named after."""

_EXPORT_AGAIN = "Export the course again"


@dataclass(frozen=True, slots=True)
class Course:
    """A course run, as its export has it; LTI passports are left out everywhere.

    Attributes:
        org: As `course.xml` spells it, like the next two.
        number: For example `6.00x`.
        run: For example `2012_Fall`; the `url_name` of the course block.
        attributes: Of the course block, text as in the XML; some hold JSON.
        blocks: Depth first from the course block; then those that it does not lead to.
        missing: Children that the export does not have, for example of a library.
        policies: Settings of the run.
        problems: Parts that could not be used.
    """

    org: str
    number: str
    run: str
    attributes: Mapping[str, str]
    blocks: tuple[Block, ...]
    missing: tuple[Reference[BlockKey], ...]
    policies: Policies
    problems: tuple[Problem, ...]

    @property
    def course_id(self) -> str:
        """The course key, `course-v1:{org}+{number}+{run}`."""
        return f"course-v1:{self.org}+{self.number}+{self.run}"

    @property
    def videos(self) -> tuple[Block, ...]:
        """The video blocks, wherever they stand."""
        return tuple(block for block in self.blocks if block.key.block_type == "video")


def read_course(
    source: BinaryIO | Iterable[bytes], *, name: str = "the export", static_assets: StaticAssets | None = None
) -> Course:
    """Read a course from an export, in one pass.

    Parts that are broken are listed in the course's `problems`; all others are there.

    Args:
        source: The bytes of a `.tar.gz`: an open file, or its chunks; read forward only.
        name: What to call the export in errors, for example its object key.
        static_assets: Collects the files that are no XML; without it they are passed over.

    Raises:
        CourseExportError: The archive cannot be read to its end, holds no course, or passes a limit of `archive` or
            `blocks`; or the file that names the course is broken.
    """
    files = read_export(source, name, static_assets)
    problems = files.problems
    root, entry = _find_course(files, name)
    for folder, path in files.passed_over.items():
        if f"{folder}/" != root:
            problems.add(path, "below a folder for static files, but not the course's; it was not read", "Move it")
    data = files.xml.pop(entry)
    try:
        pointer = parse_xml(data, entry)
    except BrokenDocumentError as error:
        raise CourseExportError(f"{name}: {error}") from None
    if pointer.tag != "course":
        raise CourseExportError(f"{name} is no course: {entry} holds <{pointer.tag}>. Give the export of a course")

    key = BlockKey("course", pointer.get("url_name") or _only_run(files, root, entry, name))
    own_file = f"{root}course/{key.block_id}.xml"
    inline = own_file not in files.xml
    if inline:
        files.xml[entry] = data
    blocks = read_blocks(files.xml, lambda path: _key_of_file(path, root, {entry: key}, problems), problems)
    from_pointer = next(blocks_in(pointer, key, entry)).block
    course = blocks.setdefault(key, from_pointer)
    if inline and not course.children:
        problems.add(own_file, "missing: the course has no content", _EXPORT_AGAIN)
    attributes = {**from_pointer.attributes, **course.attributes}
    org, number = attributes.get("org"), attributes.get("course") or attributes.get("number")
    if not (org and number):
        raise CourseExportError(f"{name}: {entry} has no org or no course number. {_EXPORT_AGAIN}")

    policies = read_policies(files.settings, root, key.block_id, problems)
    linked, missing = link_blocks(blocks, key, problems)
    if static_assets is not None:
        static_assets.select(root, problems)
    return Course(org, number, key.block_id, attributes, linked, missing, policies, problems.as_tuple())


def _key_of_file(path: str, root: str, known: Mapping[str, BlockKey], problems: ProblemList) -> BlockKey | None:
    """The block that a file is named after; a `/` below the type's folder is a `:` in the `url_name`."""
    if path in known:
        return known[path]
    folder, _, rest = path.removeprefix(root).partition("/")
    if not path.startswith(root) or folder in _NO_BLOCKS:
        return None
    if not rest:
        problems.add(path, "an XML file beside course.xml; it is not read", "Put it into the folder of its type")
        return None
    key = BlockKey(folder, rest.removesuffix(".xml").replace("/", ":"))
    if folder == "course" and key not in known.values():
        problems.add(path, "the course block of another run; it is not read", "Export each run by itself")
        return None
    return key


def _only_run(files: ExportFiles, root: str, entry: str, name: str) -> str:
    """The run where the pointer does not name it: the only file in `course/` does."""
    folder = f"{root}course/"
    runs = [path.removeprefix(folder).removesuffix(".xml") for path in files.xml if path.startswith(folder)]
    if len(runs) != 1:
        raise CourseExportError(
            f"{name}: {entry} has no url_name, and {folder} holds {len(runs)} runs. {_EXPORT_AGAIN}"
        )
    return runs[0]


def _find_course(files: ExportFiles, name: str) -> tuple[str, str]:
    """Where the course lies: its root folder, `""` or with a slash at its end, and the file that names the course.

    Any folder may be the root, or none. `course.xml` marks it. In exports of a repository that holds several runs it
    can be a link to one of `roots/*.xml`; where there is one run only, it can be missing.

    Raises:
        CourseExportError: There is no such file, or there are several and nothing tells which one counts.
    """
    entries = {_folder(path): path for path in files.xml if _is(path, "course.xml")}
    links = {_folder(path): target for path, target in files.links.items() if _is(path, "course.xml")}
    runs: dict[str, list[str]] = {}
    for path in files.xml:
        if (parent := _folder(_folder(path)[:-1])) + "roots/" == _folder(path):
            runs.setdefault(parent, []).append(path)
    roots = sorted({*entries, *links, *runs}, key=lambda folder: (folder.count("/"), folder))
    if not roots:
        raise CourseExportError(f"{name} is no course: {_what_is_there(files)}. Give the export of a course")
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


def _what_is_there(files: ExportFiles) -> str:
    if any(_is(path, "library.xml") for path in files.xml):
        return "it holds a content library (library.xml)"
    if not files.xml:
        return "it holds no XML file at all"
    return f"it has no course.xml among {len(files.xml)} XML files, the first is {next(iter(files.xml))}"


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _is(path: str, file_name: str) -> bool:
    return path.removeprefix(_folder(path)) == file_name

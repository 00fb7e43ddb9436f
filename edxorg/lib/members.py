"""Identifies a member of an archive by its name alone.

The exporter (openedx/edx-analytics-exporter) joins the parts of a course key with hyphens and appends the kind of the
file and the environment that it comes from. Hyphens are legal inside those parts, so a name cannot always be taken
apart again: such a name is reported as ambiguous or as unrecognised, and never guessed at in silence.
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from ol_orchestrate.lib.course_partition import CoursePartition, Site

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

LONGEST_PATH: Final = 4096
"""Characters. No file system gives longer paths."""

LONGEST_COURSE_ID: Final = 235
"""UTF-8 bytes. A course id with its site must fit a folder's name (255 bytes); the exporter cuts names at 235."""

LONGEST_LABEL: Final = 300
"""Characters of a path in logs and metadata."""


class MemberKind(StrEnum):
    """The content of a member, or the reason why it is not delivered."""

    TABLE = "table"
    COURSE_STRUCTURE = "course_structure"
    COURSE_XML = "course_xml"
    FORUM = "forum"
    FORUM_POSTS = "forum_posts"
    """The rows of a forum, which come with it; no member of its own."""
    EMAIL_OPT_IN = "email_opt_in"
    MISSING_AT_SOURCE = "missing_at_source"
    """A note, in place of the file, that edX could not export it this week."""
    UNRECOGNISED = "unrecognised"
    IGNORED = "ignored"


class CourseName(NamedTuple):
    """The parts of a course id in its file-name form.

    Attributes:
        organization: The first part.
        number: All parts between the first and the last, hyphens included.
        run: The last part before the CCX suffix.
        ccx: The digits after `-ccx-`, for a section taught by a CCX coach.
        ambiguous: True if there were more than three parts, so that another split is possible.
    """

    organization: str
    number: str
    run: str
    ccx: str | None
    ambiguous: bool

    @classmethod
    def parse(cls, course_id: str) -> Self:
        """Take `{org}-{number}-{run}` or `{org}-{number}-{run}-ccx-{n}` apart.

        The id becomes part of object keys and partition keys, so it must be safe there as it is; it is not
        normalized, so that the same archive gives the same keys everywhere.

        Raises:
            ValueError: The id has fewer than three parts, or is not safe in a key. The message says why.
        """
        if problem := _unsafe_in_keys(course_id):
            raise ValueError(problem)
        parts = course_id.split("-")
        ccx = None
        if len(parts) >= _PARTS_WITH_CCX and parts[-2] == "ccx" and parts[-1].isascii() and parts[-1].isdigit():
            ccx = parts[-1]
            del parts[-2:]
        if len(parts) < _PARTS or (len(parts) == _PARTS and "" in parts):
            message = f"{course_id!r} is no course: expected an organization, a number and a run, joined by hyphens"
            raise ValueError(message)
        return cls(parts[0], "-".join(parts[1:-1]), parts[-1], ccx, ambiguous=len(parts) > _PARTS)


def is_selected(course_id: str, patterns: Sequence[str]) -> bool:
    """Return True if a course id is one of those patterns, or matches one; without patterns all are selected."""
    return not patterns or any(fnmatchcase(course_id, pattern) for pattern in patterns)


def unmatched(patterns: Sequence[str], course_ids: Collection[str]) -> Iterator[str]:
    """Yield the patterns that match none of those course ids, each with one that differs in its case, if there is."""
    for pattern in patterns:
        if not any(fnmatchcase(course_id, pattern) for course_id in course_ids):
            folded = pattern.casefold()
            near = next((each for each in course_ids if fnmatchcase(each.casefold(), folded)), None)
            yield f"{pattern} (is {near} meant?)" if near else pattern


def course_columns(course: CoursePartition) -> dict[str, str]:
    """Return the columns that tell the origin of a table's rows, in the order in which they are appended.

    Raises:
        ValueError: As for `CourseName.parse`.
    """
    name = CourseName.parse(course.course_id)
    return {
        "extracted_course_key": course.course_id,
        "extracted_course_organization": name.organization,
        "extracted_course_number": name.number,
        "extracted_course_run": name.run,
        "extracted_source_platform": f"edxorg_{course.site}",
    }


@dataclass(frozen=True, slots=True)
class MemberNaming:
    """The naming scheme of the files in an archive; another partner changes these values, not the code.

    Attributes:
        forms: Kinds of files, and the shapes of their names with `{course}`, `{table}` and `{environment}` in their
            places. The first that fits counts. A shape without `{environment}` stands for `default_site`.
        environments: The exporter's names for its environments (forums have the short ones), and their sites.
        default_site: The site of files whose names do not tell it.
        failed_suffix: Appended to the name of a file that could not be exported.
    """

    forms: tuple[tuple[MemberKind, str], ...] = (
        (MemberKind.TABLE, "{course}-{table}-{environment}.sql"),
        (MemberKind.COURSE_STRUCTURE, "{course}-course_structure-{environment}.json"),
        (MemberKind.COURSE_XML, "{course}-course-{environment}.xml.tar.gz"),
        (MemberKind.FORUM, "{course}-{environment}.mongo"),
        (MemberKind.FORUM, "{course}.mongo"),
        (MemberKind.EMAIL_OPT_IN, "{organization}-email_opt_in-{environment}.csv"),
    )
    environments: tuple[tuple[str, Site], ...] = (
        ("prod-analytics", Site.PROD),
        ("edge-analytics", Site.EDGE),
        ("prod-edge-analytics", Site.EDGE),
        ("prod", Site.PROD),
        ("edge", Site.EDGE),
        ("prod-edge", Site.EDGE),
    )
    default_site: Site = Site.PROD
    failed_suffix: str = ".failed"


EDX_NAMING: Final = MemberNaming()
"""The names in edX's own packages."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive.

    Attributes:
        path: The name in the archive, with surrogate escapes for bytes that are no UTF-8.
        course: The course and site; None if the name does not tell, and always None for an unrecognised member.
        table: The table's name, for tables and for notes that a table is missing.
        ambiguous: True if the name has other readings: the course id as in `CourseName`, or where it ends.
        reason: A sentence that says why it is missing, unrecognised or ignored; None for one that is delivered.
        organization: The organization, for its e-mail preferences.
        is_encrypted: True if it is an OpenPGP message, by its name.
    """

    path: str
    kind: MemberKind
    course: CoursePartition | None = None
    table: str | None = None
    ambiguous: bool = False
    reason: str | None = None
    organization: str | None = None
    is_encrypted: bool = False

    @property
    def partition(self) -> str | None:
        """The partition that the member is a version of: of a course, or of an organization."""
        return self.course.key() if self.course else self.organization

    @property
    def output(self) -> str:
        """The table that it is a part of, or the kind of its content."""
        return self.table or self.kind.value

    @property
    def label(self) -> str:
        """The path for logs and metadata: one printable line of at most 300 characters."""
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in self.path[: LONGEST_LABEL + 1])
        return shown if len(shown) <= LONGEST_LABEL else shown[: LONGEST_LABEL - 1] + "…"


def identify(path: str, *, entry: bytes = tarfile.REGTYPE, naming: MemberNaming = EDX_NAMING) -> Member:
    """Identify a tar member.

        Folders in the path are of no consequence (`ora/` only groups tables), but a path that leads out of the archive
        is not trusted at all.

    Args:
            path: `TarInfo.name`.
            entry: `TarInfo.type`.
            naming: The naming scheme of this archive.

    Returns:
        The member. Its course id and table are safe in object keys and partition keys: no control characters, no
        `/`, `|` or `..`, and of bounded length. Case and Unicode form are the archive's own.
    """
    if entry not in tarfile.REGULAR_TYPES:
        special = _SPECIAL_ENTRIES.get(entry)
        if special is None:
            return Member(path, MemberKind.UNRECOGNISED, reason=f"The archive calls it an entry of type {entry!r}")
        return Member(path, MemberKind.IGNORED, reason=f"It is {special} and holds no data")
    folders = path.split("/")
    if problem := _untrusted(path, folders):
        return Member(path, MemberKind.UNRECOGNISED, reason=problem)
    name = folders[-1]
    if name.startswith("._") or "__MACOSX" in folders:
        return Member(path, MemberKind.IGNORED, reason="It is an AppleDouble file, which macOS adds to archives")
    if name.endswith(_ENCRYPTED_SUFFIX):
        return replace(_read_name(path, name.removesuffix(_ENCRYPTED_SUFFIX), naming), is_encrypted=True)
    return _read_name(path, name, naming)


def _read_name(path: str, name: str, naming: MemberNaming) -> Member:
    if not name.endswith(naming.failed_suffix):
        return _named(path, name, naming)
    member = _named(path, name.removesuffix(naming.failed_suffix), naming)
    lost = "something that its name does not tell" if member.partition is None else member.table or member.kind
    return replace(member, kind=MemberKind.MISSING_AT_SOURCE, reason=f"edX could not export it: {lost}")


_ENCRYPTED_SUFFIX: Final = ".gpg"

_PARTS: Final = 3
_PARTS_WITH_CCX: Final = 5

_SPECIAL_ENTRIES: Final = {
    tarfile.DIRTYPE: "a directory",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
}

_FORBIDDEN_ASCII: Final = re.compile(r"[^-.0-9:A-Z_a-z~\x80-\U0010ffff]")
"""A character that no edX course key has: `openedx/opaque-keys` allows word characters and `-`, `~`, `.`, `:`."""

_CUT_NAME: Final = re.compile(r"[0-9a-f]{32}$")
"""The MD5 that the exporter puts at the end of a name that is too long, in place of what it cuts off."""

_PLACEHOLDERS: Final = {
    "organization": r"(?P<organization>.+?)",
    "course": r"(?P<course>.+?)",
    "table": r"(?P<table>[a-z0-9_]{1,64})",
}
"""The shortest course that leaves a table (MySQL's names have 64 characters at most) and an environment."""

_KIND_NAMES: Final = {
    MemberKind.TABLE: "a table",
    MemberKind.COURSE_STRUCTURE: "a course structure",
    MemberKind.COURSE_XML: "a course's XML",
    MemberKind.FORUM: "a forum",
    MemberKind.EMAIL_OPT_IN: "an organization's e-mail preferences",
}


class _Form(NamedTuple):
    """A shape of names, ready to be matched."""

    kind: MemberKind
    shape: str
    extension: str
    pattern: re.Pattern[str]
    sites: dict[str | None, Site]
    two_readings: frozenset[str | None]
    """Environments that could also be the end of a run and another environment, as in `…-prod-edge.mongo`."""


@lru_cache(maxsize=16)
def _compiled(naming: MemberNaming) -> tuple[_Form, ...]:
    environments = [name for name, _ in naming.environments]
    placeholders = {**_PLACEHOLDERS, "environment": f"(?P<environment>{'|'.join(map(re.escape, environments))})"}
    sites: dict[str | None, Site] = {None: naming.default_site, **dict(naming.environments)}
    composite = frozenset(name for name in environments for other in environments if name.endswith("-" + other))
    forms = []
    for kind, shape in naming.forms:
        pieces = re.split(r"\{(\w+)\}", shape)
        pattern = "".join(placeholders[p] if odd % 2 else re.escape(p) for odd, p in enumerate(pieces))
        extension = pieces[-1][pieces[-1].find(".") :]
        two_readings = composite if "{course}-{environment}" in shape else frozenset()
        forms.append(_Form(kind, shape, extension, re.compile(pattern), sites, two_readings))
    return tuple(forms)


def _named(path: str, name: str, naming: MemberNaming) -> Member:
    forms = _compiled(naming)
    for form in forms:
        if not name.endswith(form.extension) or not (match := form.pattern.fullmatch(name)):
            continue
        found = match.groupdict()
        if organization := found.get("organization"):
            if problem := _unsafe_in_keys(organization):
                return Member(path, MemberKind.UNRECOGNISED, reason=problem)
            return Member(path, form.kind, organization=organization)
        course_id, environment = found["course"], found.get("environment")
        if environment is None and _CUT_NAME.search(course_id):
            continue
        try:
            course = CourseName.parse(course_id)
        except ValueError as error:
            return Member(path, MemberKind.UNRECOGNISED, reason=str(error))
        ambiguous = course.ambiguous or environment in form.two_readings
        return Member(
            path, form.kind, CoursePartition(course_id, form.sites[environment]), found.get("table"), ambiguous
        )
    return Member(path, MemberKind.UNRECOGNISED, reason=_why_unrecognised(name, forms))


def _why_unrecognised(name: str, forms: tuple[_Form, ...]) -> str:
    for form in forms:
        holds = _KIND_NAMES[form.kind]
        if name.endswith(form.extension + ".gz"):
            return f"It looks like {holds} that was compressed by itself, which edX does not do"
        if name.endswith(form.extension):
            if _CUT_NAME.search(name.removesuffix(form.extension)):
                return f"It is {holds} whose name was too long for edX and ends in a checksum: the rest of it is lost"
            shapes = " or ".join(other.shape for other in forms if other.extension == form.extension)
            return f"It ends like {holds}, but its name is not of the form {shapes}"
    if _CUT_NAME.search(name.rpartition(".")[0]):
        return "Its name was too long for edX and ends in a checksum: the rest of it is lost"
    return "Its name is none that edX gives to the files of a course"


def _untrusted(path: str, folders: list[str]) -> str | None:
    """Return the reason not to trust a path, if there is one."""
    if len(path) > LONGEST_PATH:
        return f"Its path has more than {LONGEST_PATH:,} characters"
    if path.startswith("/"):
        return "Its path is absolute, and leads out of the archive"
    if ".." in folders:
        return "Its path has a `..`, and leads out of the archive"
    if not path.isprintable():
        return "Its path has control characters, invisible characters or bytes that are no UTF-8"
    return None


def _unsafe_in_keys(course_id: str) -> str | None:
    """Return the reason why a course id cannot be part of object keys and partition keys, if there is one."""
    if len(course_id.encode("utf-8", "surrogatepass")) > LONGEST_COURSE_ID:
        return f"A course id of more than {LONGEST_COURSE_ID} bytes: {course_id[:40]!r}…"
    if forbidden := _FORBIDDEN_ASCII.search(course_id):
        return f"{course_id!r} is no course: no edX course key has a {forbidden[0]!r}"
    if not course_id.isprintable():
        return f"{course_id!a} is no course: it has control characters or invisible ones"
    if course_id.startswith("."):
        return f"{course_id!r} is no course that can be stored: it begins with a dot, which hides files"
    if ".." in course_id:
        return f"{course_id!r} is no course that can be stored: it has two dots in a row"
    return None

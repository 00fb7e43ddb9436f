"""One hostile input, and the healthy data beside it."""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from edxorg_tests.support.archives import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import BinaryIO

Members = list[tuple[str, bytes]]


class Road(StrEnum):
    """The way by which a file comes in."""

    ARCHIVE = "archive"
    LOG = "log"
    STRUCTURE = "structure"
    COURSE_XML = "course_xml"


ARCHIVE: Final = "mitx-2024-01-31.tar.gz"
LOG: Final = "mitx-edx-events-2024-05-06.log.gz"
COURSE: Final = "Bad-6.00x-2012_Fall"
"""The course of hostile members, structures and exports."""

GOOD: Final = "Good-7.00x-2013_Spring"
GOOD_STRUCTURE: Final = json.dumps(
    {"block-v1:Good+7.00x+2013_Spring+type@course+block@course": {"category": "course", "children": [], "metadata": {}}}
).encode()
GOOD_MEMBERS: Final[Members] = [
    (table_name("auth_user", course=GOOD), b"id\tusername\n1\tAda\n2\tGrace\n"),
    (f"{GOOD}-prod.mongo", b'{"_id": "p1", "_type": "Comment", "body": "x"}\n'),
    (f"{GOOD}-course_structure-prod-analytics.json", GOOD_STRUCTURE),
]
"""Half of them stand before the hostile member, the others after it."""

GOOD_LOG: Final = ("mitx-edx-events-2024-05-07.log.gz", gzip.compress(b'{"name": "a"}\n{"name": "b"}\n', mtime=0))


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile input.

    Attributes:
        kind: The kind of input that it is counted as.
        title: What is wrong with it.
        content: The bytes of the file, or what writes them.
        name: The name of the file.
        may_be_sound: True if it may be delivered as it is, since a random change can leave it sound.
        is_alone: True if the change can strike all of an archive, so that the healthy data is in one of its own.
    """

    kind: str
    title: str
    content: bytes | Callable[[BinaryIO], None]
    road: Road = Road.ARCHIVE
    name: str = ARCHIVE
    may_be_sound: bool = False
    is_alone: bool = False

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        with path.open("wb") as file:
            if isinstance(self.content, bytes):
                file.write(self.content)
            else:
                self.content(file)
        return path


@dataclass
class Answer:
    """What came of an input.

    Attributes:
        errors: The errors that the operator is shown.
        set_aside: The number of rejects, and of members or parts that did not land.
        unexpected: A traceback, or a count that does not add up.
        rows: Rows that were delivered, and rows that were rejected, if the input has tables.
        is_refused: True if nothing of the file may have landed.
    """

    errors: list[str] = field(default_factory=list)
    set_aside: int = 0
    unexpected: str | None = None
    rows: tuple[int, int] | None = None
    is_refused: bool = False


def tar_member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A header and the data of a member, in GNU's format; the name may be any text."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, target
    header = info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")
    return header + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def tar_of(*members: bytes) -> bytes:
    """A tar of hostile members, with healthy ones before and behind them."""
    healthy = [tar_member(name, content) for name, content in GOOD_MEMBERS]
    return b"".join([*healthy[:2], *members, *healthy[2:]]) + bytes(2 * tarfile.BLOCKSIZE)


def packed(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=1, mtime=0)


def archive_of(*members: tuple[str, bytes]) -> bytes:
    """A `tar.gz` of hostile members between healthy ones."""
    return packed(tar_of(*(tar_member(name, content) for name, content in members)))


def export_of(files: Iterable[tuple[str, bytes]] = (), org: str = "Bad") -> bytes:
    """The export of a course, with these files beside or instead of its own."""
    sound = {
        "course.xml": b'<course url_name="2012_Fall" org="%s" course="6.00x"/>' % org.encode(),
        "course/2012_Fall.xml": b'<course display_name="A"><chapter url_name="c"/><html url_name="h">x</html></course>',
        "chapter/c.xml": b"<chapter><video url_name='v' edx_video_id='id'/></chapter>",
        "policies/2012_Fall/policy.json": json.dumps({"course/2012_Fall": {"tags": ["x"]}}).encode(),
        "about/overview.html": b"<p>About</p>",
    }
    members = {f"course/{path}": content for path, content in sound.items()}
    members |= {path if path.startswith(("/", "..")) else f"course/{path}": content for path, content in files}
    return packed(b"".join(tar_member(*member) for member in members.items()) + bytes(2 * tarfile.BLOCKSIZE))


GOOD_COURSE_XML: Final = export_of(org="Good")

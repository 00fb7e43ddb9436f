"""Small courses as exports, for tests."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from ol_orchestrate.lib.openedx import (
    Block,
    Course,
    course_outputs,
    read_course,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


POINTER = '<course url_name="2024" org="MITx" course="6.00x"/>'


def export(files: Mapping[str, str | bytes], *, root: str = "course/") -> bytes:
    """Return an export with these files below its root folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(root + path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0)


def course_of(files: Mapping[str, str | bytes], *, root: str = "course/") -> Course:
    """Return the course that is read from an export with these files."""
    return read_course(io.BytesIO(export({"course.xml": POINTER} | dict(files), root=root)))


def rows(course: Course, output: str) -> list[dict[str, Any]]:
    """Return the rows of an output."""
    lines = course_outputs(course, source_system="prod")[output].chunks("2024-05-06T00:00:00+00:00")
    return [json.loads(line) for line in lines]


def block(course: Course, block_id: str) -> Block:
    """Return the block of an id."""
    return next(each for each in course.blocks if each.key.block_id == block_id)


SMALL = {
    "course/2024.xml": '<course display_name="Small"><chapter url_name="c"/><wiki slug="x"/></course>',
    "chapter/c.xml": '<chapter display_name="C"><sequential url_name="s"/></chapter>',
    "sequential/s.xml": '<sequential><vertical url_name="v"/></sequential>',
    "vertical/v.xml": (
        '<vertical><html url_name="h"/><video url_name="inline" edx_video_id="id-1"><video_asset duration="12.5"/>'
        '</video><problem url_name="p"/><discussion/></vertical>'
    ),
    "html/h.xml": '<html filename="h" display_name="Page"/>',
    "html/h.html": "<p>Page</p>",
    "problem/p.xml": '<problem max_attempts="3" weight="1.5" markdown="&gt;&gt;Q&lt;&lt;"><choice>a</choice></problem>',
    "video/alone.xml": '<video url_name="alone" edx_video_id="id-2"/>',
}

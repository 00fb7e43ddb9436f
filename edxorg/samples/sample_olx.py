"""The XML archive of a course, laid out as in edX's research exports: no folder `static/`.

The gzip inside stores its data uncompressed, so that the bytes, and the hashes taken of them, are the same with
every compression library.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from html import escape
from typing import IO, TYPE_CHECKING, Any, Final

from edxorg.samples.courses import LTI_PASSPORT, Block, Course

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MODIFIED: Final = 1_704_585_600
"""The time of last change of all members: 2024-01-07 00:00 UTC."""

APPLE_DOUBLE: Final = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(139)
"""A file that macOS puts beside each file that has attributes."""

_STORED_BLOCK: Final = 0xFFFF


def course_xml(course: Course, hazards: Collection[str] = ()) -> bytes:
    """The `.xml.tar.gz` of a course."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        export = Export(tar, course)
        if "apple-double" in hazards:
            export.add_beside(f"._{export.root}", APPLE_DOUBLE)
        for path, text in sorted(files_of(course, hazards)):
            data = text.encode()
            export.add(path, len(data), io.BytesIO(data))
    return _stored_gzip(buffer.getvalue())


class Export:
    """Adds files to the tar of a course, and the folders that they are in."""

    def __init__(self, tar: tarfile.TarFile, course: Course) -> None:
        self._tar, self._folders = tar, set[str]()
        self.root = f"{course.organization}-{course.number}-{course.run}"

    def add(self, path: str, size: int, content: IO[bytes]) -> None:
        """Add a file below the root, and before it the missing folders, outer ones first."""
        parts = f"{self.root}/{path}".split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder not in self._folders:
                self._folders.add(folder)
                member = tarfile.TarInfo(folder)
                member.type, member.mtime, member.mode = tarfile.DIRTYPE, MODIFIED, 0o755
                self._tar.addfile(member)
        self._add("/".join(parts), size, content)

    def add_beside(self, path: str, data: bytes) -> None:
        """Add a file outside the root."""
        self._add(path, len(data), io.BytesIO(data))

    def _add(self, path: str, size: int, content: IO[bytes]) -> None:
        member = tarfile.TarInfo(path)
        member.size, member.mtime = size, MODIFIED
        self._tar.addfile(member, content)


def _stored_gzip(data: bytes) -> bytes:
    """Pack data as gzip whose deflate blocks are all of the stored kind (RFC 1951, 3.2.4)."""
    pieces = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    for start in range(0, len(data), _STORED_BLOCK):
        block = data[start : start + _STORED_BLOCK]
        last = start + _STORED_BLOCK >= len(data)
        pieces += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    pieces.append(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(pieces)


def files_of(course: Course, hazards: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield each file's path below the course's folder, and its text."""
    run = "course" if "old-olx" in hazards and course.index == 0 else course.run
    yield "course.xml", _element("course", {"url_name": run, "org": course.organization, "course": course.number})
    attributes = {
        "advanced_modules": json.dumps(["poll", "lti_consumer"]),
        "display_name": course.root.title,
        "start": json.dumps(f"{course.start}T00:00:00Z"),
        "end": json.dumps(f"{course.end}T00:00:00Z"),
        "enrollment_start": f"{course.start}T00:00:00Z",
        "enrollment_end": f"{course.end}T00:00:00Z",
        "instructor_info": json.dumps({"instructors": [{"name": course.instructor, "title": "Professor"}]}),
        "language": "en",
        "lti_passports": json.dumps([LTI_PASSPORT]),
        "self_paced": str(course.self_paced).lower(),
    }
    chapters = [_element("chapter", {"url_name": chapter.name}) for chapter in course.root.children]
    yield f"course/{run}.xml", _element("course", attributes, [*chapters, _element("wiki", {"slug": course.number})])
    broken = broken_problem(course) if "broken-olx" in hazards else None
    for block in course.blocks[1:]:
        if not is_inline(block):
            files = dict(_block_files(block))
            if block == broken:
                files = {path: text.replace("</problem>", "") for path, text in files.items()}
            yield from files.items()
    yield f"policies/{run}/policy.json", _json({f"course/{run}": _policy(course)})
    yield f"policies/{run}/grading_policy.json", _json(_GRADING)
    yield "policies/assets.json", _json({})
    yield "assets/assets.xml", "<assets/>\n"
    yield "about/overview.html", f"<section class='about'><p>{escape(course.root.title)}</p></section>\n"
    yield "about/short_description.html", f"{escape(course.root.title)}, with invented content.\n"
    yield "info/updates.html", "<ol/>\n"
    yield "tags.csv", f"Name,Type,ID,Subject\n{course.root.title},course,{course.course_key},Sample\n"


def broken_problem(course: Course) -> Block | None:
    """Return the problem that the hazard `broken-olx` breaks: the first with a file of its own, in the first course."""
    if course.index:
        return None
    return next(block for block in course.blocks if block.category == "problem" and not is_inline(block))


def is_inline(block: Block) -> bool:
    """Return True if a block stands in full inside its parent, as about one in twenty does in real courses."""
    return block.category == "problem" and block.name.startswith("0")


def _block_files(block: Block) -> Iterator[tuple[str, str]]:
    if block.category == "html":
        yield f"html/{block.name}.html", f"<p>{escape(block.title)}.</p>\n<p>Nothing in this course is real.</p>\n"
    yield f"{block.category}/{block.name}.xml", _body(block)


def _body(block: Block) -> str:
    title = {"display_name": block.title}
    match block.category:
        case "html":
            return _element("html", {**title, "filename": block.name})
        case "problem":
            return _problem(title)
        case "video":
            return _video(block, title)
        case "discussion":
            topic = {"discussion_id": block.name, "discussion_category": "Week", "discussion_target": block.title}
            return _element("discussion", {**title, **topic, "url_name": block.name})
        case "openassessment":
            return _assessment(block, title)
    children = [
        _problem({"url_name": child.name, "display_name": child.title})
        if is_inline(child)
        else _element(child.category, {"url_name": child.name})
        for child in block.children
    ]
    graded = {"format": "Homework", "graded": "true"} if block.category == "sequential" else {}
    return _element(block.category, {**title, **graded}, children)


def _problem(attributes: dict[str, str]) -> str:
    script = '<script type="loncapa/python">\nfrom essays import holds\n</script>\n'
    return _element(
        "problem",
        {**attributes, "max_attempts": "3", "weight": "1.0"},
        [f'{script}<customresponse cfn="holds">\n<textline/>\n</customresponse>\n'],
    )


def _video(block: Block, title: dict[str, str]) -> str:
    video_id = block.video_id
    link = {"profile": "desktop_mp4", "url": f"https://video.example.com/{video_id}.mp4", "file_size": "0"}
    asset = {"client_video_id": f"{block.name[:6]}.mp4", "duration": f"{block.seconds}.0", "image": ""}
    return _element(
        "video",
        {**title, "url_name": block.name, "edx_video_id": video_id, "html5_sources": "[]", "transcripts": "{}"},
        [_element("video_asset", asset, [_element("encoded_video", link)])],
    )


def _assessment(block: Block, title: dict[str, str]) -> str:
    return _element(
        "openassessment",
        {**title, "url_name": block.name},
        [
            f"<title>{escape(block.title)}</title>\n",
            "<assessments>\n",
            '<assessment name="peer-assessment" must_grade="1" must_be_graded_by="1"/>\n',
            '<assessment name="staff-assessment"/>\n',
            "</assessments>\n",
        ],
    )


def _policy(course: Course) -> dict[str, Any]:
    signatory = {
        "id": 1_000 + course.index,
        "name": course.instructor,
        "title": "Professor",
        "organization": course.organization,
        "signature_image_path": "/asset/signature.png",
    }
    certificate = {"id": 2_000 + course.index, "name": "Certificate", "is_active": True, "signatories": [signatory]}
    tabs = [("course_info", "Home"), ("courseware", "Course"), ("discussion", "Discussion"), ("progress", "Progress")]
    return {
        "advanced_modules": ["poll", "lti_consumer"],
        "certificates": {"certificates": [certificate]},
        "discussions_settings": {"provider_type": "openedx", "enable_in_context": True},
        "display_coursenumber": course.number,
        "display_name": course.root.title,
        "lti_passports": [LTI_PASSPORT],
        "self_paced": course.self_paced,
        "tabs": [{"course_staff_only": False, "name": name, "type": kind} for kind, name in tabs],
        "tags": {"subject": ["sample"]},
    }


_GRADING: Final = {
    "GRADER": [
        {"type": "Homework", "short_label": "HW", "min_count": 4, "drop_count": 1, "weight": 0.6},
        {"type": "Final Exam", "short_label": "Final", "min_count": 1, "drop_count": 0, "weight": 0.4},
    ],
    "GRADE_CUTOFFS": {"Pass": 0.6},
}


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=4, sort_keys=True) + "\n"


def _element(tag: str, attributes: dict[str, str], children: list[str] | None = None) -> str:
    escaped = {name: escape(value).replace("\n", "&#10;") for name, value in attributes.items()}
    start = " ".join([tag, *(f'{name}="{value}"' for name, value in escaped.items())])
    return f"<{start}>\n{''.join(children)}</{tag}>\n" if children else f"<{start}/>\n"

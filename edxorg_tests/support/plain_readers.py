"""Readers of a university's files that share no code with the product: the standard library, and as little else."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, str]

TABLE = re.compile(r"(?:ora/)?(?P<course>.+)-(?!prod-)(?P<table>[a-z_]+)-(?P<site>prod|edge|prod-edge)-analytics\.sql")
STRUCTURE = re.compile(r"(?P<course>.+)-course_structure-(?P<site>prod|edge|prod-edge)-analytics\.json")
OLX = re.compile(r"(?P<course>.+)-course-(?P<site>prod|edge|prod-edge)-analytics\.xml\.tar\.gz")
FORUM = re.compile(r"(?P<course>.+)-(?P<site>prod|edge)\.mongo")
UNESCAPED = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\n": b"\n", b"\t": b"\t"}


@dataclass
class PlainCourse:
    """A course in an archive, as plain values; escapes are undone."""

    tables: dict[str, list[Row]] = field(default_factory=dict)
    headers: dict[str, list[str]] = field(default_factory=dict)
    structure: dict[str, Any] = field(default_factory=dict)
    forum: list[dict[str, Any]] = field(default_factory=list)
    olx: bytes = b""

    def column(self, table: str, column: str) -> list[str]:
        return [row[column] for row in self.tables.get(table, ())]

    @cached_property
    def olx_files(self) -> dict[str, bytes]:
        """Files below the course's folder."""
        with tarfile.open(fileobj=io.BytesIO(self.olx)) as tar:
            return {m.name.partition("/")[2]: read(tar, m) for m in tar if m.isfile()}


@dataclass
class PlainArchive:
    """An archive by course and site (`MITx-6.00x-2012_Fall|prod`)."""

    courses: dict[str, PlainCourse]
    others: dict[str, bytes]
    names: list[str]


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def read_archive(path: Path) -> PlainArchive:
    courses: dict[str, PlainCourse] = defaultdict(PlainCourse)
    others = {}
    with tarfile.open(path) as tar:
        names = tar.getnames()
        for member in tar:
            data = read(tar, member)
            for pattern in (STRUCTURE, OLX, TABLE, FORUM):
                if found := pattern.fullmatch(member.name):
                    site = found["site"].removeprefix("prod-")
                    add(courses[f"{found['course']}|{site}"], pattern, found, data)
                    break
            else:
                others[member.name] = data
    return PlainArchive(dict(courses), others, names)


def add(course: PlainCourse, pattern: re.Pattern[str], found: re.Match[str], data: bytes) -> None:
    if pattern is STRUCTURE:
        course.structure = json.loads(data)
    elif pattern is OLX:
        course.olx = data
    elif pattern is FORUM:
        course.forum = [json.loads(line) for line in data.splitlines() if line.startswith(b"{")]
    else:
        header, *rows = records(found["table"], data)
        course.headers[found["table"]] = [column.decode() for column in header]
        course.tables[found["table"]] = [
            dict(zip(course.headers[found["table"]], (value.decode(errors="replace") for value in row), strict=False))
            for row in rows
        ]


def records(table: str, data: bytes) -> list[list[bytes]]:
    """The header and the rows of a table, told apart as the writer of that table did."""
    if table == "auth_userprofile" and b'"{""' in data:
        return [[unquoted(value) for value in line.split(b"\t")] for line in data.removesuffix(b"\n").split(b"\n")]
    end = rb"(?<!\\)((?:\\\\)*)\n" if table == "courseware_studentmodule" else rb"()\n"
    *parts, rest = re.split(end, data)
    assert rest == b""
    lines_of = [line + slashes for line, slashes in zip(parts[::2], parts[1::2], strict=True)]
    split = rb"(?<!\\)\t" if table == "courseware_studentmodule" else rb"\t"
    return [[unescaped(value) for value in re.split(split, line)] for line in lines_of]


def unquoted(value: bytes) -> bytes:
    return value[1:-1].replace(b'""', b'"') if value.startswith(b'"') else value


def unescaped(value: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda found: UNESCAPED[found[1]], value, flags=re.DOTALL)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The events of a log without hazards."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def usage_keys_in(value: object) -> Iterator[str]:
    """All usage keys in an event, however deep."""
    if isinstance(value, dict):
        for each in value.values():
            yield from usage_keys_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from usage_keys_in(each)
    elif isinstance(value, str):
        if value.startswith("{"):
            yield from usage_keys_in(json.loads(value))
        elif value.startswith(("block-v1:", "ccx-block-v1:", "i4x://")):
            yield value

"""Everything that leaves this process or stays behind it, and the search for values that none of it may hold."""

from __future__ import annotations

import gzip
import html
import json
import logging
import os
import sqlite3
from base64 import b64encode, encodebytes, urlsafe_b64encode
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SQLITE = b"SQLite format 3\0"
GZIP = b"\x1f\x8b"
THOUSANDS = ("botocore.hooks", "asyncio", "sqlalchemy", "alembic")
"""Loggers of thousands of records, with the names of events or what is in a database."""


def spellings(value: str) -> set[str]:
    """A value as it is, and as URLs, JSON, HTML, Python, Base64 and hexadecimal digits spell it."""
    # Base64 at each place within a group, without the characters that depend on what stands before and after.
    data = value.encode()
    parts = {b64encode(bytes(before) + data).decode()[-(-before * 4 // 3) or 0 : -4] for before in range(3)}
    return {*_whole(value), *parts, *map(_url_safe, parts)}


def as_repeated(value: str) -> set[str]:
    """The same, as a server may repeat the value: in Base64, within other text."""
    within = {b64encode(b" " * before + value.encode() + b"  ").decode() for before in range(3)}
    return {*_whole(value), *within, *map(_url_safe, within)}


def _url_safe(in_base64: str) -> str:
    return in_base64.replace("+", "-").replace("/", "_")


def _whole(value: str) -> set[str]:
    data = value.encode()
    return {
        value,
        quote(value),
        quote(value, safe=""),
        quote(quote(value, safe=""), safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        json.dumps(json.dumps(value))[3:-3],
        value.replace("/", "\\/"),
        "".join(f"\\u{ord(character):04x}" for character in value),
        repr(value)[1:-1],
        html.escape(value),
        urlsafe_b64encode(data).decode(),
        encodebytes(data).decode().strip(),
        data.hex(),
        data.hex().upper(),
    }


def leaks(marked: Mapping[str, str], texts: Iterable[tuple[str, str]]) -> list[str]:
    """The names of the marked values that are in a text in any spelling, each with the name of that text."""
    spelled = {name: spellings(value) for name, value in marked.items()}
    return sorted(
        {
            f"{name} in {place}"
            for place, text in texts
            for name, forms in spelled.items()
            if any(form in text for form in forms)
        }
    )


def texts_of(place: str, content: bytes) -> Iterator[tuple[str, str]]:
    """The bytes as they are, and unpacked."""
    yield place, content.decode("latin-1")
    if content.startswith(GZIP):
        try:
            yield f"{place}, unpacked", gzip.decompress(content).decode("latin-1")
        except (OSError, EOFError):
            return


def texts_below(folder: Path) -> Iterator[tuple[str, str]]:
    """All files below a folder, and all values in databases, each of which can be cut in pieces in the file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content, place = path.read_bytes(), path.relative_to(folder).as_posix()
            yield from texts_of(place, content)
            yield place, place
            if content.startswith(SQLITE):
                yield f"rows of {place}", "\n".join(values_of(path))


def values_of(database: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            for row in connection.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 - a table's name
                for value in row:
                    yield value.decode("latin-1") if isinstance(value, bytes) else str(value)


@contextmanager
def written_to(folder: Path) -> Iterator[None]:
    """Write what this process and its children print, and all log records of all libraries, to files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        out, err = (stack.enter_context((folder / name).open("a", errors="replace")) for name in ("stdout", "stderr"))
        # Without a buffer, which threads and forks would share.
        records = stack.enter_context((folder / "records").open("ab", buffering=0))
        for number, file in ((1, out), (2, err)):
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        handle, text_of = logging.Logger.handle, logging.Formatter().format

        def written(logger: logging.Logger, record: logging.LogRecord) -> None:
            records.write(f"{record.__dict__!r}\n{text_of(record)}\n".encode(errors="replace"))
            handle(logger, record)

        def is_written(logger: logging.Logger, level: int) -> bool:
            return level >= logger.level and not logger.name.startswith(THOUSANDS)

        # No handler, and no level of a parent: alembic sets both anew for each database.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(logging.Logger, "handle", written)
        patch.setattr(logging.Logger, "isEnabledFor", is_written)
        yield

"""The examples of docs/tables.md and docs/tracking-logs.md, each run through the real converter."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from edxorg.lib.tables import Dialect, Escapes, RowHash, TableOptions, convert_table
from edxorg.lib.tables.table_model import COLUMNS_ADDED
from edxorg_tests.support.repository import ROOT
from edxorg_tests.support.tables import ADDED, COURSE

if TYPE_CHECKING:
    from edxorg_tests.support.tracking_logs import Normalize
    from ol_orchestrate.lib.spool import Spool

DOCS = ROOT / "docs"

SYMBOLS = {"→": b"\t", "␍": b"\r", "␀": b"\0", "▒": b"\xff"}
"""What the pages write in place of bytes that do not show."""

HEADER_ADDED = b"".join(b"\t%b" % name.encode() for name in COLUMNS_ADDED)
ROW_ADDED = re.compile(b"".join(b"\t%b" % re.escape(value.encode()) for value in ADDED) + rb"\t([0-9a-f]{64})\n")


class Example(NamedTuple):
    """A fenced block: what goes in, then a part for each of the things that come out."""

    content: bytes
    parts: dict[str, bytes]
    options: dict[str, str]


def examples(page: str, language: str) -> list[Any]:
    """The blocks of a page in this language, each named after the heading above it."""
    found: list[Any] = []
    text = (DOCS / page).read_text(encoding="utf-8")
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        heading = re.findall(r"^#+ (.*)$", text[: match.start()], re.MULTILINE)[-1]
        content, *parts = re.split(r"^--- (.*)\n", match[1], flags=re.MULTILINE)
        titles = [title.partition(", with ") for title in parts[::2]]
        options = dict(re.findall(r"(\w+): (\w+)", " ".join(option for _, _, option in titles)))
        outputs = dict(zip((title for title, _, _ in titles), map(as_bytes, parts[1::2]), strict=True))
        found.append(pytest.param(Example(as_bytes(content), outputs, options), id=f"{heading} {len(found) + 1}"))
    assert found
    return found


def as_bytes(shown: str) -> bytes:
    return b"".join(SYMBOLS.get(character, character.encode()) for character in shown)


@pytest.mark.parametrize("example", examples("tables.md", "table"))
def test_the_converter_does_with_a_dump_as_the_page_says(example: Example) -> None:
    table = convert_table([example.content], course=COURSE, options=options_of(example))
    rows, rejects = content(table.rows), content(table.rejects)
    report, problem = table.report, table.problem
    table.close()
    hashes = b"".join(hash_ + b"\n" for hash_ in ROW_ADDED.findall(rows))
    got = {f"read as {report.dialect}": ROW_ADDED.sub(b"\n", rows.replace(HEADER_ADDED, b"", 1))} if rows else {}
    got |= {"set aside": rejects} if rejects else {}
    got |= {"row_hash": hashes} if "row_hash" in example.parts else {}
    got |= {"fails": f"{problem}\n".encode()} if problem else {}
    assert (got or {"empty": b""}) == example.parts


@pytest.mark.parametrize("example", examples("tracking-logs.md", "log"))
def test_the_normalizer_does_with_a_log_as_the_page_says(example: Example, normalize: Normalize) -> None:
    log = normalize(packed=gzip.compress(example.content))
    output, rejects = (gzip.decompress(content(spool)) if spool else b"" for spool in (log.output, log.rejects))
    got = {"comes out": output} if output else {}
    got |= {"set aside": rejects} if rejects else {}
    if counted := example.parts.get("counted"):
        names = [line.partition(b": ")[0].decode() for line in counted.splitlines()]
        got["counted"] = "".join(f"{name}: {getattr(log.report, name)}\n" for name in names).encode()
    assert got == example.parts


def options_of(example: Example) -> TableOptions:
    kinds: dict[str, Any] = {"dialect": Dialect, "escapes": Escapes, "row_hash": RowHash}
    return TableOptions(**{name: kinds[name](value) for name, value in example.options.items()})


def content(spool: Spool | None) -> bytes:
    return spool.reader().read() if spool else b""

"""The rejects of a log: what is written of a line, and what becomes of objects from earlier runs."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.object_keys import oversized_line_key, rejected_lines_key
from edxorg.lib.tracking_log.log_rejects import (
    EXCERPT_BYTES,
    LineRejectReason,
    OversizedLine,
    RejectedLineError,
    write_rejects,
)
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from ol_orchestrate.lib.stores import ObjectStore

NAME = "mitx-edx-events-2024-05-06.log.gz"


def packed(content: bytes) -> Spool:
    spool = Spool()
    spool.write(gzip.compress(content, mtime=0))
    return spool


def oversized(content: bytes, line: int = 7) -> OversizedLine:
    return OversizedLine(
        line, content[:EXCERPT_BYTES], len(content), hashlib.sha256(content).hexdigest(), packed(content)
    )


@pytest.mark.parametrize(
    ("content", "raw"),
    [
        (b"abc", "abc"),
        (b"x" * 65_537, "x" * 65_536),
        (("x" + "é" * 65_536).encode(), "x" + "é" * 32_767),
        (b"\0x\x1b", "\0x\x1b"),
    ],
)
def test_the_entry_of_a_long_line_has_its_start_and_what_proves_the_rest(content: bytes, raw: str) -> None:
    row = oversized(content).reject_row()
    assert row.endswith(b"\n")
    assert json.loads(row) == {
        "line": 7,
        "reason": "too_long",
        "length": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "raw": raw,
    }


def test_a_line_that_is_no_utf8_is_kept_all_the_same() -> None:
    row = json.loads(oversized(b"a\xffb").reject_row())
    assert row["raw_base64"] == "Yf9i"
    assert "raw" not in row
    assert oversized(b"a").left_out == 0


def test_reasons_are_spelled_as_documented() -> None:
    assert set(LineRejectReason) == {
        *("no_json_object", "invalid_utf8", "repeated_key", "lone_surrogate", "unreadable_time"),
        *("too_many_keys", "key_too_long", "too_long"),
    }
    assert str(RejectedLineError(LineRejectReason.TOO_LONG)) == "too_long"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(f"file://{tmp_path}")


def objects(store: ObjectStore, folder: Path) -> dict[str, bytes]:
    return {each.key: gzip.decompress((folder / each.key).read_bytes()) for each in store.list()}


def test_objects_are_those_of_the_last_version(store: ObjectStore, tmp_path: Path) -> None:
    first, second = oversized(b"first"), oversized(b"second")
    rows = rejected_lines_key(NAME)
    assert write_rejects(packed(b"rows"), [first, second], store, NAME) == rows
    both = {oversized_line_key(NAME, first.sha256): b"first", oversized_line_key(NAME, second.sha256): b"second"}
    assert objects(store, tmp_path) == {rows: b"rows", **both}
    assert write_rejects(packed(b"other"), [second], store, NAME) == rows
    assert objects(store, tmp_path) == {rows: b"other", oversized_line_key(NAME, second.sha256): b"second"}
    assert write_rejects(None, [], store, NAME) is None
    assert objects(store, tmp_path) == {}
    assert write_rejects(None, [], store, NAME) is None


def test_objects_of_other_logs_stay(store: ObjectStore, tmp_path: Path) -> None:
    write_rejects(packed(b"rows"), [oversized(b"long")], store, NAME)
    before = objects(store, tmp_path)
    write_rejects(None, [], store, NAME.replace("06", "07"))
    assert objects(store, tmp_path) == before

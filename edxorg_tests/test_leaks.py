"""The search for marked values finds them in each spelling, in files, databases and what is printed."""

from __future__ import annotations

import gzip
import html
import json
import logging
import sqlite3
import sys
from base64 import b64encode, urlsafe_b64encode
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from edxorg_tests.support.leaks import leaks, texts_below, written_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUE = 'a+b/c"d\\e=f&g?' * 3


@pytest.mark.parametrize(
    "spell",
    [
        lambda value: value,
        lambda value: quote(value, safe=""),
        lambda value: quote(quote(value, safe=""), safe=""),
        json.dumps,
        lambda value: json.dumps(json.dumps([value])),
        lambda value: repr((value, 1)),
        html.escape,
        lambda value: b64encode(value.encode()).decode(),
        lambda value: b64encode(f"u:{value}:more".encode()).decode(),
        lambda value: b64encode(f"us:{value}".encode()).decode(),
        lambda value: urlsafe_b64encode(f"user:{value}".encode()).decode(),
        lambda value: value.encode().hex(),
    ],
)
def test_a_secret_is_found_in_each_spelling_in_files_databases_and_what_is_printed(
    spell: Callable[[str], str], tmp_path: Path
) -> None:
    text = f"before {spell(VALUE)} after"
    (tmp_path / "file").write_text(text)
    (tmp_path / "file.gz").write_bytes(gzip.compress(text.encode()))
    with closing(sqlite3.connect(tmp_path / "file.db")) as database:
        database.execute("CREATE TABLE t (long TEXT)")
        database.execute("INSERT INTO t VALUES (?)", ["x" * 4000 + text + "x" * 9000])
        database.commit()
    with written_to(tmp_path / "printed"):
        sys.stderr.write(text)
        logging.getLogger("anything").debug("%s", text)
    places = ("file", "file.gz, unpacked", "rows of file.db", "printed/stderr", "printed/records")
    assert {*leaks({"it": VALUE}, texts_below(tmp_path))} >= {f"it in {place}" for place in places}
    assert leaks({"it": "another"}, texts_below(tmp_path)) == []

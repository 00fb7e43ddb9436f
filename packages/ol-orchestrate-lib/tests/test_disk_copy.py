"""Streams on disk: no other process sees them, and they are gone afterwards, after a crash as well."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.disk_copy import copied_to_disk
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from ol_orchestrate.lib.stores import SourceInfo


@pytest.fixture
def info(tmp_path: Path) -> SourceInfo:
    (tmp_path / "a").write_bytes(b"packed")
    return open_store(f"file://{tmp_path}").read("a").info


def test_copy_is_read_from_any_byte_on(info: SourceInfo) -> None:
    content = b"".join(b"%07d" % number for number in range(300_000))
    with copied_to_disk([content[:10], content[10:]], info) as copy:
        assert b"".join(copy.begin_at(1_999_999)) == content[1_999_999:]
        assert b"".join(copy) == content
        assert copy.info.size == len(content)


def test_copy_has_no_name_that_another_process_could_open(
    info: SourceInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with copied_to_disk([b"content"], info) as copy:
        assert list((tmp_path / "temporary").iterdir()) == []
        assert b"".join(copy) == b"content"


def test_disk_that_is_full_is_named(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from ol_orchestrate.lib.disk_copy import copied_to_disk\n"
        "from ol_orchestrate.lib.stores import open_store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "info = open_store(f'file://{sys.argv[1]}').read('a').info\n"
        "with copied_to_disk([bytes(1 << 20)] * 2, info): pass\n"
    )
    (tmp_path / "a").write_bytes(b"packed")
    variables = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", script, tmp_path], env=variables, capture_output=True, text=True)  # noqa: S603, PLW1510
    [told] = [line for line in ran.stderr.splitlines() if "NoRoomError" in line]
    assert f"cannot be written to {tmp_path}" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]

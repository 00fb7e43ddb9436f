"""Temporary files that tests look at."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, BinaryIO, cast

from ol_orchestrate.lib import spool

if TYPE_CHECKING:
    import pytest


def files_of_spools(monkeypatch: pytest.MonkeyPatch) -> list[BinaryIO]:
    """Put all spools on disk; return the list that gets their files."""
    opened: list[BinaryIO] = []
    open_file = tempfile.TemporaryFile

    def open_and_remember() -> BinaryIO:
        opened.append(cast("BinaryIO", open_file()))
        return opened[-1]

    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", open_and_remember)
    return opened

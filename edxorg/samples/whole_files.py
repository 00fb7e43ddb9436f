"""Files that are there only when they are complete."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes the file at the end and is gone after an error or an interrupt."""
    partial = out.with_name(f"{out.name}.part")
    try:
        yield partial
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)

"""Archives in any format: `tar.gz`, `tar`, or zip."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

from ol_orchestrate.lib.archives import (
    EMPTY_ZIP,
    GZIP,
    START_BYTES,
    UNCOMPRESSED_TAR,
    ZIP,
    ArchiveEntry,
    WrongFormatError,
    gunzip,
    kind_of_file,
    read_ahead,
)
from ol_orchestrate.lib.tar import tar_entries
from ol_orchestrate.lib.zip_archives import zip_entries

if TYPE_CHECKING:
    from collections.abc import Generator

    from ol_orchestrate.lib.stores import VerifiedReader

_ENDINGS = {".tar.gz": GZIP, ".tgz": GZIP, ".tar": UNCOMPRESSED_TAR, ".zip": ZIP}


def archive_entries(source: VerifiedReader) -> Generator[ArchiveEntry, None, None]:
    """Yield the entries of an archive, whose format its name and its first bytes tell.

    Raises:
        WrongFormatError: Its name says something else than its first bytes.
        ArchiveError: It cannot be read to its end.
    """
    start = b""
    while len(start) < START_BYTES and (block := next(source, b"")):
        start += block
    kind = kind_of_file(start[:START_BYTES])
    named = next((format_ for ending, format_ in _ENDINGS.items() if source.info.url.endswith(ending)), kind)
    if named == ZIP or kind == EMPTY_ZIP:
        if kind not in {ZIP, EMPTY_ZIP}:
            raise WrongFormatError(f"this is no zip archive, but {kind}")
        yield from zip_entries(source, start)
        return
    blocks = chain([start], source)
    with closing(read_ahead(blocks if named == UNCOMPRESSED_TAR else gunzip(blocks))) as unpacked:
        yield from tar_entries(unpacked)

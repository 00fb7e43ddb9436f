"""Files in any format: an archive as `tar.gz`, tar or zip, and what is encrypted as a whole."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

from ol_orchestrate.lib.archives import (
    EMPTY_ZIP,
    GZIP,
    OPENPGP,
    START_BYTES,
    UNCOMPRESSED_TAR,
    ZIP,
    ArchiveEntry,
    WrongFormatError,
    gunzip,
    kind_of_file,
    read_ahead,
)
from ol_orchestrate.lib.disk_copy import copied_to_disk
from ol_orchestrate.lib.tar import tar_entries
from ol_orchestrate.lib.zip_archives import zip_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from ol_orchestrate.lib.openpgp import Decryptor
    from ol_orchestrate.lib.stores import VerifiedReader

ENCRYPTED = ".gpg"
"""The end of the name of an OpenPGP message."""

_ENDINGS = {".tar.gz": GZIP, ".tgz": GZIP, ".tar": UNCOMPRESSED_TAR, ".zip": ZIP}


def archive_entries(source: VerifiedReader, decryptor: Callable[[], Decryptor]) -> Generator[ArchiveEntry, None, None]:
    """Yield the entries of an archive, whose format its name and its first bytes tell.

    Args:
        source: The archive. A tar that is encrypted as a whole cannot be trusted before its end. A zip is read by its
            directory, which is at its end, so one that is encrypted as a whole is on disk meanwhile.
        decryptor: Called if it is encrypted.

    Raises:
        WrongFormatError: Its name says something else than its first bytes.
        ArchiveError: It cannot be read to its end.
        NoRoomError: The disk is too full for a zip that is encrypted as a whole.
    """
    kind, start = _kind_of(source)
    name, blocks = source.info.url, chain([start], source)
    is_encrypted = kind == OPENPGP
    if is_encrypted:
        _require_ending(name)
        name = name.removesuffix(ENCRYPTED)
        kind, start = _kind_of(content := decryptor().decrypt(blocks))
        blocks = chain([start], content)
    elif name.endswith(ENCRYPTED):
        raise WrongFormatError(f"this is no OpenPGP message, but {kind}")
    named = next((format_ for ending, format_ in _ENDINGS.items() if name.endswith(ending)), kind)
    if named == ZIP or kind == EMPTY_ZIP:
        if kind not in {ZIP, EMPTY_ZIP}:
            raise WrongFormatError(f"this is no zip archive, but {kind}")
        if not is_encrypted:
            yield from zip_entries(source, start)
            return
        with copied_to_disk(blocks, source.info) as copy:
            yield from zip_entries(copy)
        return
    with closing(read_ahead(blocks if named == UNCOMPRESSED_TAR else gunzip(blocks))) as unpacked:
        yield from tar_entries(unpacked)


def is_unverifiable(source: VerifiedReader) -> bool:
    """True if nothing proves an archive's content: it is a tar in clear, and its store has no checksum of it.

    A tar has checksums of its headers only; all other formats have them of the content, too.
    """
    return source.info.checksum is None and _kind_of(source.begin_at(0))[0] == UNCOMPRESSED_TAR


def in_clear(blocks: Iterator[bytes], name: str, decryptor: Callable[[], Decryptor]) -> Iterator[bytes]:
    """Yield the content of a file, decrypted if its name says that it is encrypted.

    Raises:
        WrongFormatError: Its name says something else than its first bytes.
        OpenPgpError: See `Decryptor.decrypt`.
    """
    kind, start = _kind_of(blocks)
    if not name.endswith(ENCRYPTED):
        if kind == OPENPGP:
            _require_ending(name)
        return chain([start], blocks)
    if kind != OPENPGP:
        raise WrongFormatError(f"this is no OpenPGP message, but {kind}")
    return decryptor().decrypt(chain([start], blocks))


def _require_ending(name: str) -> None:
    """Refuse the name of an OpenPGP message that does not say so."""
    if not name.endswith(ENCRYPTED):
        raise WrongFormatError(
            f"this is an OpenPGP message, so its name should be {name.rpartition('/')[2]}{ENCRYPTED}"
        )


def _kind_of(blocks: Iterator[bytes]) -> tuple[str, bytes]:
    """Return the format of a file, and the first blocks by which it was found out."""
    start = b""
    while len(start) < START_BYTES and (block := next(blocks, b"")):
        start += block
    return kind_of_file(start[:START_BYTES]), start

"""Looks at the start of a file that a user named, before anything of it is counted, loaded or made."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ol_orchestrate.lib.archive_files import archive_entries, in_clear
from ol_orchestrate.lib.archives import UNKNOWN_KIND, ArchiveError, WrongFormatError, gunzip, kind_of_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from ol_orchestrate.lib.openpgp import Decryptor
    from ol_orchestrate.lib.stores import VerifiedReader

ARCHIVES, LOGS = "archives (.tar.gz, .tar, .zip)", "tracking logs (.log.gz)"

_KINDS_OF_LOGS = {"text", "empty", UNKNOWN_KIND}
"""Kinds of content that are read as a log: the first line of one may begin with any bytes."""


def other_format(reader: VerifiedReader, decryptor: Callable[[], Decryptor], *, is_log: bool) -> str | None:
    """Return a sentence about the format of a file if that differs from its name; `None` if it seems right.

    Args:
        reader: The file; another reader of it is made.
        decryptor: Called if it is encrypted.
        is_log: True for a tracking log, False for an archive.
    """
    start = reader.begin_at(0)
    try:
        if not is_log:
            with closing(archive_entries(start, decryptor)) as entries:
                next(entries, None)
            return None
        content = gunzip(in_clear(start, reader.info.url, decryptor))
        if (kind := kind_of_file(next(content, b""))) not in _KINDS_OF_LOGS:
            return f"this is no log, but a gzip of {kind}"
    except WrongFormatError as error:
        return str(error)
    except ArchiveError:
        pass  # reading the whole file says more
    return None


def not_decrypted() -> Decryptor:
    """Leave the content of an encrypted file unread, where only its first bytes are looked at.

    Raises:
        ArchiveError: Always.
    """
    raise ArchiveError("the file is encrypted")

"""Encrypts files of a package, as edX does it for its partners, with GnuPG."""

from __future__ import annotations

import subprocess
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Self, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class EncryptionError(Exception):
    """GnuPG is not installed, or the key cannot be used."""


class Recipient:
    """A recipient whose public key is in a file; a context manager."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file
        self._home = tempfile.TemporaryDirectory(prefix="gnupg-")

    def encrypt(self, pieces: Iterable[bytes]) -> BinaryIO:
        """Return a message in an unnamed temporary file, to be read from its start.

        Raises:
            EncryptionError: It cannot be made.
        """
        message = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
        arguments = ["--homedir", self._home.name, "--batch", "--quiet", "--no-options", "--trust-model", "always"]
        arguments += ["--recipient-file", str(self._key_file), "--encrypt"]
        try:
            process = subprocess.Popen(  # noqa: S603 - a program by its name
                ["gpg", *arguments],  # noqa: S607
                stdin=subprocess.PIPE,
                stdout=message,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise EncryptionError("GnuPG is not installed: install gpg, version 2.2 or later") from None
        try:
            for piece in pieces:
                cast("BinaryIO", process.stdin).write(piece)
        except BrokenPipeError:
            pass  # it says why
        _, complaint = process.communicate()
        if process.returncode:
            raise EncryptionError(complaint.decode(errors="replace").strip())
        message.seek(0)
        return message

    def __enter__(self) -> Self:
        """Return the recipient itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete GnuPG's files."""
        self._home.cleanup()

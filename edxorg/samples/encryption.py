"""Encrypts files of a package, as edX does it for its partners, with GnuPG."""

from __future__ import annotations

import subprocess
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Self, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


_NOT_INSTALLED = "GnuPG is not installed: install gpg, version 2.2 or later"


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
            raise EncryptionError(_NOT_INSTALLED) from None
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


def make_keys(private_key: Path, public_key: Path) -> None:
    """Make a pair of keys without a passphrase, and write it to two files.

    Raises:
        EncryptionError: GnuPG is not installed, or fails.
    """
    with tempfile.TemporaryDirectory(prefix="gnupg-") as home:
        try:
            _gnupg(home, "--quick-generate-key", _NAME, "rsa2048", "sign", "never")
            listing = _gnupg(home, "--with-colons", "--list-keys", _NAME).decode()
            fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
            _gnupg(home, "--quick-add-key", fingerprint, "rsa2048", "encrypt", "never")
            private_key.touch(mode=0o600)
            private_key.write_bytes(_gnupg(home, "--armor", "--export-secret-keys", _NAME))
            public_key.write_bytes(_gnupg(home, "--armor", "--export", _NAME))
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)  # noqa: S603, S607


_NAME = "sample@example.org"


def _gnupg(home: str, *arguments: str) -> bytes:
    command = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-options", "--pinentry-mode", "loopback"]
    command += ["--passphrase", "", *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - a program by its name
    except FileNotFoundError:
        raise EncryptionError(_NOT_INSTALLED) from None
    except subprocess.CalledProcessError as error:
        raise EncryptionError(error.stderr.decode(errors="replace").strip()) from None

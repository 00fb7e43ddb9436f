"""Keys and messages of OpenPGP for tests, made by GnuPG in a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class GnuPG:
    """A home of GnuPG."""

    home: Path

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run it; return what it writes."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--yes", "--no-options"]
        command += ["--trust-model", "always", "--pinentry-mode", "loopback", "--s2k-count", "65536"]
        return subprocess.run([*command, *arguments], input=stdin, check=True, capture_output=True).stdout  # noqa: S603

    def make_key(
        self, name: str, *, passphrase: str = "", made: str = "20240101T000000", expires: str = "never"
    ) -> None:
        """Make a key to sign with, and a subkey to encrypt to."""
        secret = ["--passphrase", passphrase, "--faked-system-time", made]
        self.run(*secret, "--quick-generate-key", name, "ed25519", "sign", expires)
        self.add_subkey(name, passphrase=passphrase, made=made, expires=expires)

    def add_subkey(
        self, name: str, *, passphrase: str = "", made: str = "20240101T000000", expires: str = "never"
    ) -> None:
        """Add a subkey, which messages from then on are encrypted to."""
        secret = ["--passphrase", passphrase, "--faked-system-time", made]
        self.run(*secret, "--quick-add-key", self.fingerprint(name), "cv25519", "encr", expires)

    def fingerprint(self, name: str) -> str:
        """Return the fingerprint of a key."""
        listing = self.run("--with-colons", "--list-keys", name).decode()
        return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))

    def private_key(self, name: str, passphrase: str = "") -> bytes:
        """Export a key with its private part, as text."""
        return self.run("--passphrase", passphrase, "--armor", "--export-secret-keys", name)

    def public_key(self, name: str) -> bytes:
        """Export a key without its private part, as text."""
        return self.run("--armor", "--export", name)

    def changed_after_signing(self, content: bytes, signer: str, recipient: str) -> bytes:
        """Sign, change the last byte of the content, and encrypt what then is signed wrongly."""
        signed = bytearray(self.run("--compress-algo", "none", "--local-user", signer, "--sign", stdin=content))
        signed[signed.rindex(content[-100:]) + len(content[-100:]) - 1] ^= 1
        return self.message(bytes(signed), recipient, "--compress-algo", "none", "--no-literal")

    def message(self, content: bytes, recipient: str, *arguments: str) -> bytes:
        """Encrypt."""
        return self.run("--recipient", recipient, *arguments, "--encrypt", stdin=content)


@contextmanager
def new_gnupg() -> Iterator[GnuPG]:
    """Yield a home with a key of `ada@example.org`, and one of `eve@example.org`."""
    # Not below pytest's folder: its path is too long for a socket.
    home = Path(tempfile.mkdtemp(prefix="gnupg-"))
    # Passphrases that take no second each.
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
    made = GnuPG(home)
    try:
        made.make_key("ada@example.org")
        made.make_key("eve@example.org")
        yield made
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)  # noqa: S603, S607
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def home_of_gnupg(*names: str) -> Iterator[GnuPG]:
    """Make a home with a key for each name; it is gone with the block."""
    # Not below pytest's folder: its path is too long for a socket.
    home = Path(tempfile.mkdtemp(prefix="gnupg-"))
    # Passphrases that take no second each.
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
    made = GnuPG(home)
    try:
        for name in names:
            made.make_key(name)
        yield made
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)  # noqa: S603, S607
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def gnupg() -> Iterator[GnuPG]:
    """A home with a key of `ada@example.org`, and one of `eve@example.org`."""
    with home_of_gnupg("ada@example.org", "eve@example.org") as made:
        yield made

"""OpenPGP messages, decrypted as a stream by GnuPG.

GnuPG reads every key that it has ever made: expired ones, rotated subkeys, old algorithms. No library on PyPI does that
and streams. Each message costs a process of some 10 ms and a few megabytes.

The private keys lie in a key ring of their own, in a private folder that is deleted with the ring, or swept after a
crash.

A message need not be signed. A signature is checked where the signer's key is in the ring, and a wrong one fails the
message; one by a key that is not there proves nothing, and is counted.
"""

from __future__ import annotations

import codecs
import os
import re
import selectors
import subprocess
from collections import Counter, deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from ol_orchestrate.lib.archives import OPENPGP, START_BYTES, DamagedArchiveError, kind_of_file
from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.private_folders import PrivateFolder
from ol_orchestrate.lib.redaction import remember_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MAX_RATIO: Final = 250
"""The most times larger than itself that a message may become."""

FREE_BYTES: Final = 64 << 20
"""Bytes that come out of a message before its ratio is looked at."""

_STEP: Final = 64 << 10
_MAX_STATUS: Final = 64 << 10
"""Bytes that are kept of GnuPG's own words about one message."""

_MAX_PASSPHRASES: Final = 4096
"""Bytes of all passphrases together."""

_IS_PRIVATE: Final = 16
"""The bit in GnuPG's report of an import that stands for a private key."""

_SPACE: Final = codecs.BOM_UTF8 + b" \t\r\n"
_ARMORED: Final = re.compile(rb"-----BEGIN PGP (\w+) KEY BLOCK-----.*?-----END PGP \1 KEY BLOCK-----", re.DOTALL)

_LONGEST_HOME: Final = 80
"""Characters. GnuPG's agent makes sockets in its home, and the path of a socket has 107 at most."""

# A passphrase that has opened a key is kept while the ring is open, so that no message waits for others to be tried.
_AGENT: Final = "disable-scdaemon\nmax-cache-ttl 31536000\n"


class OpenPgpError(DamagedArchiveError):
    """A message that cannot be decrypted, or whose content cannot be trusted."""


@dataclass(frozen=True, slots=True)
class PrivateKeys:
    """Private keys as they are exported, one or several, and their passphrase, or several, one a line."""

    exported: bytes = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what a pipe may not hold before GnuPG reads it.

        Raises:
            SettingsError: The passphrases are too long.
        """
        if len((self.passphrase or "").encode()) > _MAX_PASSPHRASES:
            raise SettingsError(f"it holds more than {_MAX_PASSPHRASES:,} bytes, and should hold a passphrase a line")


@dataclass(frozen=True, slots=True)
class Decryptor:
    """Decrypts messages for the keys of a ring; processes may share it while the ring is open."""

    home: str
    passphrase: str | None = field(repr=False)

    def decrypt(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the content of one message.

        Nothing of it can be trusted before the end: only there does the check of its integrity succeed.

        Raises:
            OpenPgpError: It is not for these keys, is damaged or cut, has no integrity protection or a wrong signature,
                holds a further message, or becomes too large; or the passphrase of the key is wrong.
            SettingsError: GnuPG cannot be run.
        """
        blocks = iter(blocks)
        passphrase, tried = self._passphrase_for(blocks)
        with _gnupg(self.home, ["--decrypt"], passphrase) as process:
            start, size, packed = b"", 0, 0

            def counted() -> Iterator[bytes]:
                nonlocal packed
                for block in chain([tried], blocks):
                    packed += len(block)
                    yield block

            for block in process.through(counted()):
                if len(start) < START_BYTES:
                    start += block[:START_BYTES]
                size += len(block)
                if size > max(FREE_BYTES, MAX_RATIO * packed):
                    raise OpenPgpError(f"the message becomes more than {MAX_RATIO} times as large as it is")
                yield block
            _check(process)
        if kind_of_file(start[:START_BYTES]) == OPENPGP:
            raise OpenPgpError("the message holds another OpenPGP message, which is not decrypted")
        self._note(value.split()[0] for value in process.values("ERRSIG"))

    def _passphrase_for(self, blocks: Iterator[bytes]) -> tuple[str, bytes]:
        """Return the passphrase that opens a message, the last one if none does, and what was read to find out."""
        *others, last = _lines(self.passphrase) or [""]
        start = b""
        while others and len(start) < _STEP and (block := next(filter(None, blocks), b"")):
            start += block
        for passphrase in others:
            with _gnupg(self.home, ["--max-output", "1", "--decrypt"], passphrase) as process:
                deque(process.through([start[:_STEP]]), maxlen=0)
            if process.values("DECRYPTION_KEY"):
                return passphrase, start
        return last, start

    def _note(self, signers: Iterable[str]) -> None:
        """Note signers whose signatures cannot be checked, for the ring: processes append to one file."""
        if lines := "".join(f"{signer}\n" for signer in signers):
            with _unchecked_signers(self.home).open("a") as file:
                file.write(lines)


def _lines(passphrases: str | None) -> list[str]:
    return [line for each in (passphrases or "").split("\n") if (line := each.rstrip("\r"))]


def _parts(exported: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of a file of keys with their places, however they were joined; comments are passed over."""
    end = 0
    for block in chain(_ARMORED.finditer(exported), [None]):
        between = exported[end : block.start() if block else None]
        key = between.lstrip(_SPACE)
        if key and (key[0] & 0x80 or b"BEGIN PGP" in key):
            yield end + len(between) - len(key), key
        if block:
            yield block.start(), block[0] + b"\n"
            end = block.end()


def _unchecked_signers(home: str) -> Path:
    return Path(home) / "unchecked-signers"


class KeyRing:
    """The keys of one run; a context manager."""

    def __init__(self, keys: PrivateKeys) -> None:
        """Make the ring.

        Raises:
            SettingsError: The keys cannot be used, or GnuPG is not installed.
        """
        is_text = b"-----BEGIN" in keys.exported
        remember_secrets(keys.exported.decode(errors="replace") if is_text else "", *_lines(keys.passphrase))
        self._folder = PrivateFolder("keys-")
        self.decryptor = Decryptor(str(self._folder.path), keys.passphrase)
        try:
            self._import(keys)
        except BaseException:
            self.close()
            raise

    def _import(self, keys: PrivateKeys) -> None:
        home = self._folder.path
        if len(str(home)) > _LONGEST_HOME:
            raise SettingsError(f"{home}: the path is too long for GnuPG. Let TMPDIR name a folder nearer to the root")
        (home / "gpg-agent.conf").write_text(_AGENT)
        found: list[int] = []
        for offset, part in _parts(keys.exported):
            with _gnupg(str(home), ["--import"]) as process:
                deque(process.through([part]), maxlen=0)
            imported = [int(value.split()[0]) for value in process.values("IMPORT_OK")]
            if not imported:
                raise SettingsError(f"no private key was found in what was given as one, from byte {offset:,} on")
            found += imported
        if not any(each & _IS_PRIVATE for each in found):
            raise SettingsError(
                "no private key was found in what was given as one. Export it with --export-secret-keys"
            )

    def check(self) -> list[str]:
        """Decrypt a message made for each key that has not expired; return the ids of the keys.

        Raises:
            SettingsError: A key cannot decrypt, or all have expired.
        """
        ids = self._encryption_keys()
        if not ids:
            raise SettingsError("none of the private keys can be encrypted to any more: they have expired")
        for key in ids:
            message = encrypt([b"probe"], self._folder.path, [f"{key}!"])
            try:
                b"".join(self.decryptor.decrypt(message))
            except OpenPgpError as error:
                raise SettingsError(f"key {key}: {error}") from None
        return ids

    def _encryption_keys(self) -> list[str]:
        with _gnupg(self.decryptor.home, ["--with-colons", "--list-secret-keys"]) as process:
            listing = b"".join(process.through([])).decode(errors="replace")
        fields = [line.split(":") for line in listing.splitlines()]
        return [each[4] for each in fields if each[0] in {"sec", "ssb"} and "e" in each[11] and each[1] not in "er"]

    def unchecked_signers(self) -> Counter[str]:
        """Count the signatures so far that could not be checked, by the ids of the keys that they name."""
        with suppress(FileNotFoundError):
            return Counter(_unchecked_signers(self.decryptor.home).read_text().split())
        return Counter()

    def close(self) -> None:
        """Delete the keys."""
        with suppress(OSError):
            subprocess.run(  # noqa: S603 - a program by its name, and no input of a user
                ["gpgconf", "--homedir", self.decryptor.home, "--kill", "gpg-agent"],  # noqa: S607
                check=False,
                capture_output=True,
            )
        self._folder.close()

    def __enter__(self) -> Self:
        """Return the ring itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the keys."""
        self.close()


class LazyKeyRing:
    """A ring that is made when a message first needs it; a context manager.

    Args:
        keys: Reads the keys.
    """

    def __init__(self, keys: Callable[[], PrivateKeys]) -> None:
        self._keys = keys
        self._ring: KeyRing | None = None
        self._problem: SettingsError | None = None

    def decryptor(self) -> Decryptor:
        """Return what decrypts for the keys.

        Raises:
            SettingsError: There are no keys, or they cannot be used; found out once.
            PipelineError: They cannot be read.
        """
        if self._problem is not None:
            raise SettingsError(str(self._problem))
        if self._ring is None:
            try:
                self._ring = KeyRing(self._keys())
            except SettingsError as error:
                self._problem = error
                raise
        return self._ring.decryptor

    def unchecked_signers(self) -> Counter[str]:
        """Count signers whose signatures could not be checked; none before the keys are needed."""
        return self._ring.unchecked_signers() if self._ring is not None else Counter()

    def __enter__(self) -> Self:
        """Return the ring itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the keys."""
        if self._ring is not None:
            self._ring.close()


def told_of_unchecked(signers: Mapping[str, int]) -> str | None:
    """Say whose signatures could not be checked; `None` if all could, or there are none."""
    if not signers:
        return None
    by_key = ", ".join(f"{count:,} by key {key}" for key, count in sorted(signers.items()))
    return f"Signatures that were not checked, as the signer's public key is not among your keys: {by_key}"


def no_keys() -> PrivateKeys:
    """Stand for keys where nobody has any.

    Raises:
        SettingsError: Always.
    """
    raise SettingsError("it is an OpenPGP message, and there is no private key")


def encrypt(blocks: Iterable[bytes], home: Path, recipients: Sequence[str]) -> Iterator[bytes]:
    """Yield a message for recipients whose public keys are in a home of GnuPG.

    Raises:
        SettingsError: A recipient has no key there that can be encrypted to, or GnuPG cannot be run.
    """
    arguments = ["--encrypt", "--compress-algo", "none"]
    for recipient in recipients:
        arguments += ["--recipient", recipient]
    with _gnupg(str(home), arguments) as process:
        yield from process.through(blocks)
    if "END_ENCRYPTION" not in process.status:
        raise SettingsError(f"GnuPG cannot encrypt for {', '.join(recipients)}: {process.complaint()}")


class _Process:
    """A run of GnuPG.

    Attributes:
        status: The lines that GnuPG writes about its work for programs; complete once it has ended.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.status: list[str] = []
        self._process = process
        self._said = bytearray()

    def through(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Feed blocks, and yield what comes out; one thread does both, so that neither pipe can fill up."""
        process = self._process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("all three pipes are needed")
        source, rest = filter(None, blocks), memoryview(b"")
        os.set_blocking(process.stdin.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(process.stderr, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    if key.fileobj is process.stdin:
                        rest = rest or memoryview(next(source, b""))
                        written = _write(key.fd, rest[:_STEP])
                        if not written:
                            selector.unregister(process.stdin)
                            process.stdin.close()
                        rest = rest[written:]
                    elif not (data := os.read(key.fd, _STEP)):
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        yield data
                    else:
                        self._said += data[: _MAX_STATUS - len(self._said)]
        process.wait()
        lines = self._said.decode(errors="replace").splitlines()
        self.status = [line.removeprefix(_STATUS) for line in lines if line.startswith(_STATUS)]

    def values(self, keyword: str) -> list[str]:
        """Return the rest of each line of the status that begins with a keyword."""
        return [line.partition(" ")[2] for line in self.status if line.partition(" ")[0] == keyword]

    def complaint(self) -> str:
        """Return the lines that GnuPG writes for its user, in one line."""
        lines = self._said.decode(errors="replace").splitlines()
        return "; ".join(line.removeprefix("gpg: ") for line in lines if not line.startswith(_STATUS))[:300]


_STATUS: Final = "[GNUPG:] "


def _write(pipe: int, data: memoryview) -> int:
    """Write what a pipe has room for, and return its length; 0 if the reader has seen enough."""
    try:
        return os.write(pipe, data)
    except BrokenPipeError:
        return 0


@contextmanager
def _gnupg(home: str, arguments: list[str], passphrase: str = "") -> Iterator[_Process]:
    """Run GnuPG; it is killed where it has not ended with the block."""
    command = ["gpg", "--homedir", home, "--no-options", "--batch", "--no-tty", "--quiet", "--status-fd", "2"]
    command += ["--trust-model", "always", "--no-auto-check-trustdb", "--pinentry-mode", "loopback"]
    # It asks no server for keys.
    command += ["--disable-dirmngr", "--no-auto-key-retrieve"]
    # Without a passphrase an empty one is given, since no user can be asked.
    reading, writing = os.pipe()
    try:
        os.write(writing, passphrase.encode())
        os.close(writing)
        process = subprocess.Popen(  # noqa: S603 - a program by its name, and arguments of this module
            [*command, "--passphrase-fd", str(reading), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[reading],
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise SettingsError(
            "GnuPG is not installed, which decrypts OpenPGP messages: install gpg and gpg-agent, version 2.2 or later"
        ) from None
    finally:
        os.close(reading)
    with process:
        try:
            yield _Process(process)
        finally:
            process.kill()


def _check(process: _Process) -> None:
    """Raise an error unless exactly one message was decrypted, and its integrity is proven."""
    said = {line.partition(" ")[0] for line in process.status}
    if wrong := process.values("BADSIG"):
        raise OpenPgpError(f"its signature by key {wrong[0].split()[0]} is wrong: it was changed after it was signed")
    is_one = len(process.values("BEGIN_DECRYPTION")) == 1 and not said & {"NODATA", "UNEXPECTED"}
    if {"DECRYPTION_OKAY", "GOODMDC"} <= said and is_one and "DECRYPTION_FAILED" not in said:
        return
    if "BEGIN_DECRYPTION" not in said or ("DECRYPTION_KEY" not in said and "ENC_TO" not in said):
        raise OpenPgpError("it is no OpenPGP message that is encrypted for a key")
    recipients = [value.split()[0] for value in process.values("ENC_TO")]
    if "DECRYPTION_KEY" not in said:
        if "KEY_CONSIDERED" in said:
            problem = "the key's passphrase is wrong or missing, or the message is damaged"
            raise OpenPgpError(f"the private key {recipients[0]} does not open the message: {problem}")
        shown = ", ".join("an unnamed key" if not key.strip("0") else f"key {key}" for key in recipients[:5])
        raise OpenPgpError(f"the message is for {shown}, and there is no private key for it")
    if "GOODMDC" in said:
        raise OpenPgpError("something follows the message, or it is more than one")
    # The first field is the method of an MDC, the third one, of GnuPG 2.3 and later, that of an AEAD.
    if any(set(value.split()[0::2]) == {"0"} for value in process.values("DECRYPTION_INFO")):
        raise OpenPgpError("the message has no integrity protection, so a change of it would go unnoticed")
    raise OpenPgpError("the message is damaged or breaks off")

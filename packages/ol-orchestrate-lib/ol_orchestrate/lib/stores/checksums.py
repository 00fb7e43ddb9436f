"""The checksums by which stores say what an object should be.

Google Cloud Storage announces a CRC32C of every object (cloud.google.com/storage/docs/data-validation). S3 announces
what its writer chose: a CRC or SHA of the whole object, or of its parts, and an ETag that is an MD5 only for an object
that was put in one piece without KMS encryption ("Checking object integrity" in the Amazon S3 User Guide).
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class RunningChecksum(Protocol):
    """A checksum that is fed as the bytes pass."""

    def update(self, data: bytes) -> None:
        """Take the next bytes in."""

    def digest(self) -> bytes:
        """The checksum of all so far."""


class _Crc:
    """A cyclic redundancy check from a function `(data, previous value) -> value`."""

    def __init__(self, function: Callable[[bytes, int], int], width: int) -> None:
        self._function = function
        self._width = width
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


@dataclass(frozen=True, slots=True)
class ExpectedChecksum:
    """What a store says the bytes of an object add up to.

    Attributes:
        name: `crc32c`, `crc64nvme`, `sha256`, … or `md5`.
        digest: The checksum's bytes.
    """

    name: str
    digest: bytes

    def start(self) -> RunningChecksum:
        """The same checksum, of nothing yet."""
        match self.name:
            case "crc32":
                return _Crc(zlib.crc32, 4)
            case "crc32c":
                import google_crc32c  # noqa: PLC0415 - only objects that announce it need it

                return _Crc(lambda data, value: google_crc32c.extend(value, data), 4)
            case "crc64nvme":
                import awscrt.checksums  # noqa: PLC0415 - as above

                return _Crc(awscrt.checksums.crc64nvme, 8)
            case "sha1" | "sha256":
                return hashlib.new(self.name)
            case _:
                return hashlib.md5(usedforsecurity=False)


def expected_by_s3(head: Mapping[str, Any]) -> ExpectedChecksum | None:
    """The best checksum in an S3 HeadObject answer, asked for with `ChecksumMode=ENABLED`.

    A checksum of parts (`COMPOSITE`) says nothing about the whole, so then the ETag counts, if it is an MD5.
    `None` means that only the size can be compared.
    """
    e_tag = head["ETag"].strip('"')
    # S3 knows CRCs of the whole of an object that came in parts, but never an SHA.
    in_parts = "-" in e_tag
    if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        for name in ("CRC64NVME", "SHA256", "SHA1", "CRC32C", "CRC32"):
            value = head.get(f"Checksum{name}")
            # Older servers give a checksum of parts without saying so, followed by their number.
            if value and "-" not in value and not (in_parts and name.startswith("SHA")):
                return ExpectedChecksum(name.lower(), base64.b64decode(value))
    encrypted_otherwise = head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head
    if re.fullmatch("[0-9a-f]{32}", e_tag) and not encrypted_otherwise:
        return ExpectedChecksum("md5", bytes.fromhex(e_tag))
    return None


def expected_e_tag(content: BinaryIO, part: int | None) -> str:
    """The ETag of an object that S3 keeps without KMS encryption.

    Args:
        content: What was uploaded.
        part: Bytes of each part; `None` for an object that was put at once.
    """
    if part is None:
        return hashlib.md5(content.read(), usedforsecurity=False).hexdigest()
    digests = [hashlib.md5(data, usedforsecurity=False).digest() for data in iter(partial(content.read, part), b"")]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def expected_by_gcs(crc32c: str | None) -> ExpectedChecksum | None:
    """The CRC32C of a Google Cloud Storage object, as its JSON interface spells it."""
    return ExpectedChecksum("crc32c", base64.b64decode(crc32c)) if crc32c else None

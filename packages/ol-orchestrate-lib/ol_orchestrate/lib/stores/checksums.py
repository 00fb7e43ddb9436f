"""The checksums that stores announce of their objects.

Google Cloud Storage announces a CRC32C of every object (cloud.google.com/storage/docs/data-validation). S3 announces
the checksum that the writer chose, a CRC or SHA of the whole object or of its parts, and an ETag. The ETag is an MD5
only for an object that was written in one piece without KMS encryption ("Checking object integrity" in the Amazon S3
User Guide).
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
    """A checksum of a stream of bytes."""

    def update(self, data: bytes) -> None:
        """Add the next bytes."""

    def digest(self) -> bytes:
        """Return the checksum of all bytes so far."""


class _Crc:
    """A cyclic redundancy check by a function `(data, previous value) -> value`."""

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
    """The checksum that a store announces of an object.

    Attributes:
        name: The algorithm: `crc32c`, `crc64nvme`, `sha256`, … or `md5`.
    """

    name: str
    digest: bytes

    def start(self) -> RunningChecksum:
        """Return a running checksum of the same algorithm."""
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
    """Return the best checksum in the response to an S3 HeadObject with `ChecksumMode=ENABLED`.

    A checksum of parts (`COMPOSITE`) does not cover the whole object, so the ETag is used then, if it is an MD5. For
    `None`, only the size can be compared.
    """
    e_tag = head["ETag"].strip('"')
    # Of an object that was uploaded in parts, S3 has CRCs of the whole, but never an SHA.
    in_parts = "-" in e_tag
    if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        for name in ("CRC64NVME", "SHA256", "SHA1", "CRC32C", "CRC32"):
            value = head.get(f"Checksum{name}")
            # Older servers do not mark a checksum of parts, except by their number after it.
            if value and "-" not in value and not (in_parts and name.startswith("SHA")):
                return ExpectedChecksum(name.lower(), base64.b64decode(value))
    encrypted_otherwise = head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head
    if re.fullmatch("[0-9a-f]{32}", e_tag) and not encrypted_otherwise:
        return ExpectedChecksum("md5", bytes.fromhex(e_tag))
    return None


def expected_e_tag(content: BinaryIO, part: int | None) -> str:
    """Return the ETag of an object that S3 stores without KMS encryption.

    Args:
        content: The uploaded bytes.
        part: The size of each part in bytes; `None` for an object that was written in one piece.
    """
    if part is None:
        return hashlib.md5(content.read(), usedforsecurity=False).hexdigest()
    digests = [hashlib.md5(data, usedforsecurity=False).digest() for data in iter(partial(content.read, part), b"")]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def expected_by_gcs(crc32c: str | None) -> ExpectedChecksum | None:
    """Return the CRC32C of a Google Cloud Storage object from the form of its JSON interface."""
    return ExpectedChecksum("crc32c", base64.b64decode(crc32c)) if crc32c else None

"""Responses of stores if something is wrong."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import google_crc32c
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ol_orchestrate.testing.scripted import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import ec

    from ol_orchestrate.lib.stores import ObjectStore


DATA = os.urandom(3 << 20)

OPERATIONS: dict[str, Callable[[ObjectStore], object]] = {
    "find": lambda store: store.find("key"),
    "write": lambda store: store.write("key", b"1"),
    "read": lambda store: list(store.read("key")),
    "list": lambda store: list(store.list()),
    "delete": lambda store: store.delete("key"),
}


def s3_error(status: int, code: str, headers: dict[str, str] | None = None, message: str = "m") -> Response:
    """Return an error of S3."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Response(status, body, headers or {})


class ChunkedGCS:
    """One object with `Content-Encoding: gzip`, sent in chunks without its length, as large ones are."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        crc = google_crc32c.value(data).to_bytes(4, "big")
        self.described = {
            "name": "lake/log.gz",
            "bucket": "bucket",
            "generation": "1700000000000001",
            "size": str(len(data)),
            "crc32c": base64.b64encode(crc).decode(),
            "updated": "2024-02-01T00:00:00.000Z",
            "contentEncoding": "gzip",
        }

    def __call__(self, request: Request) -> Response:
        """Return the object, all or a range of it, or its description."""
        if request.path.startswith("/storage/v1/") and request.query.get("alt") != "media":
            return Response(200, json.dumps(self.described).encode(), {"Content-Type": "application/json"})
        headers = {
            "ETag": '"abc"',
            "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT",
            "x-goog-generation": self.described["generation"],
            "Content-Encoding": "gzip",
        }
        if "range" not in request.headers:
            return Response(200, self.data, headers, chunked=True)
        start, end = (int(each) for each in request.headers["range"].removeprefix("bytes=").split("-"))
        headers["Content-Range"] = f"bytes {start}-{end}/{len(self.data)}"
        return Response(206, self.data[start : end + 1], headers, chunked=True)


def signed(
    key: ec.EllipticCurvePrivateKey, name: str, signer: ec.EllipticCurvePrivateKey, issuer: str, *, ca: bool
) -> bytes:
    """Return a certificate in PEM for the loopback address, with all that Python 3.13 demands of one."""
    now = datetime.now(UTC)
    signs = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)

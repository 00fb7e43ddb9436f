"""The table of answers that may pass."""

from __future__ import annotations

import ssl
from http import HTTPStatus

import pytest

from ol_orchestrate.lib.errors import AccessRefusedError, PermanentServiceError, ServiceError
from ol_orchestrate.lib.http_status import error_of_status, is_transient, is_untrusted_certificate

PASSING = {408, 425, 429, *range(500, 600)}


@pytest.mark.parametrize(
    "status", [int(each) for each in HTTPStatus if each >= HTTPStatus.MULTIPLE_CHOICES] + [529, 599]
)
def test_each_status_is_transient_or_final(status: int) -> None:
    assert is_transient(status) is (status in PASSING)
    assert error_of_status(status).is_transient is (status in PASSING)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, PermanentServiceError),
        (400, PermanentServiceError),
        (401, AccessRefusedError),
        (403, AccessRefusedError),
        (404, PermanentServiceError),
        (405, PermanentServiceError),
        (429, ServiceError),
        (503, ServiceError),
    ],
)
def test_the_class_of_an_error_follows_from_its_status(status: int, kind: type[Exception]) -> None:
    assert error_of_status(status) is kind


def test_an_untrusted_certificate_is_found_below_other_errors() -> None:
    untrusted = ssl.SSLCertVerificationError(1, "no such authority")
    wrapped = OSError("request failed")
    wrapped.__cause__ = RuntimeError(untrusted)
    assert is_untrusted_certificate(wrapped)
    assert is_untrusted_certificate(RuntimeError("tls: invalid peer certificate: UnknownIssuer"))
    assert not is_untrusted_certificate(ssl.SSLError(1, "wrong version number"))
    assert not is_untrusted_certificate(ConnectionResetError("reset by peer"))


def test_errors_that_refer_to_each_other_do_not_hang_the_search() -> None:
    first, second = OSError("first"), OSError("second")
    first.__cause__, second.__cause__ = second, first
    assert not is_untrusted_certificate(first)

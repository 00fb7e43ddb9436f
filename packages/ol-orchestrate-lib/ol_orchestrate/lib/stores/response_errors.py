"""Errors for the responses of stores, with the setting that an operator has to change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
    SettingsError,
)
from ol_orchestrate.lib.http_status import (
    error_of_status,
    is_untrusted_certificate,
    proxy_variables,
    with_proxy_variables,
)
from ol_orchestrate.lib.redaction import redact

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError


class IncompleteResponseError(PermanentServiceError):
    """A response without a header, or another part, that the store's protocol requires."""


class WrongRegionError(PermanentServiceError):
    """A redirect to another region, or a 400 without a reason, which S3 sends for a HEAD in a wrong region."""


@dataclass(frozen=True, slots=True)
class Variables:
    """The environment variables that lead to a kind of store, as error messages name them.

    Attributes:
        address: The variables for the address of the store.
        certificates: The variables for the trusted certificates.
        without_reason: The further causes to check if the store refuses a request and gives no reason.
    """

    address: str
    certificates: str
    without_reason: str = ""


AWS = Variables(
    "AWS_REGION and AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or SSL_CERT_FILE",
    ", and whether AWS_SESSION_TOKEN has expired",
)
GOOGLE = Variables("STORAGE_EMULATOR_HOST and the proxy variables", "REQUESTS_CA_BUNDLE or SSL_CERT_FILE")

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})

_BROKEN_CONNECTION = frozenset({"RequestTimeout"})
"""Codes with which S3 sends a 400 instead of a 408: the connection of the upload stalled."""

_OTHER_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})

_REDIRECTS = (301, 302, 303, 307, 308)

_CHANGED_ON_THE_WAY = "The bytes changed on their way to the store: look for a proxy that rewrites uploads"

_REMEDIES = {
    **dict.fromkeys(EXPIRED, "The session token has expired. Log in again, or set AWS_SESSION_TOKEN and its keys anew"),
    **dict.fromkeys(_OTHER_REGION, "Set AWS_REGION to the bucket's region, and AWS_ENDPOINT_URL to a server of it"),
    **dict.fromkeys(("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"), _CHANGED_ON_THE_WAY),
    "RequestTimeTooSkewed": "Set this machine's clock",
    "NoSuchBucket": "Create the bucket, or correct its name",
}

_CHECKSUMS = "The store refuses checksum headers. Set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"

_AUTHORITY_AS_SERVER = (
    "is one of an authority (`CA:TRUE`), which proves no server. Give the server one of its own (`CA:FALSE`), and set "
    "{certificates} to a file with the certificate that signed it, in PEM"
)

_REFUSED_CERTIFICATES = {
    "CaUsedAsEndEntity": _AUTHORITY_AS_SERVER,
    "Expired|has expired|NotValidYet|not yet valid": "is of another time. Renew it, or set this machine's clock",
    "NotValidForName|mismatch|doesn't match": "is of another name. Set {address} to the name that it is for",
    "": "is not trusted. Set {certificates} to a file with the certificate of its authority, in PEM",
}
"""Wordings of OpenSSL and rustls for a refused certificate, each with the fault and the remedy."""

_REDIRECTED = "Set {address} to the place of the bucket"

_STATUS_REMEDIES = {
    # S3 gives no reason in the response to a HEAD.
    400: "Check {address}{without_reason}",
    401: "Check the credentials, and that they permit this",
    403: "Check the credentials, and that they permit this",
    404: "Create the bucket, or correct its name",
    407: "Check the proxy variables",
    **dict.fromkeys(_REDIRECTS, _REDIRECTED),
}


def error_of_response(
    url: str, status: int, *, code: str = "", message: str = "", variables: Variables
) -> PipelineError:
    """Make the error for a response that is no success.

    Args:
        url: The URL of the object or the store.
        code: The store's own name of the error, if it gave one.
        message: The store's own words, if it gave any.
        variables: The environment variables for this kind of store.
    """
    kind: type[PipelineError] = error_of_status(status)
    if code in EXPIRED:
        kind = AccessRefusedError
    elif code in _BROKEN_CONNECTION:
        kind = ServiceError
    elif code in _OTHER_REGION or status in _REDIRECTS or (status == 400 and not code):  # noqa: PLR2004
        kind = WrongRegionError
    elif status == 404:  # noqa: PLR2004
        kind = MissingObjectError
    if kind is ServiceError:
        remedy = "Run again later"
    elif "checksum" in message.lower() and code not in _REMEDIES:
        remedy = _CHECKSUMS
    else:
        remedy = _REMEDIES.get(code) or _STATUS_REMEDIES.get(status, "Check {address}").format(
            address=variables.address, without_reason=variables.without_reason
        )
    reason = ": ".join(
        part for part in (" ".join(["the store answered", str(status), code]).strip(), redact(message)[:200]) if part
    )
    if kind is AccessRefusedError:
        reason = f"the store refuses access ({code or status})"
    if kind is MissingObjectError:
        reason = "there is no such bucket"
    return kind(f"{url}: {reason.rstrip('.')}. {remedy}")


def untrusted(url: str, error: Exception, variables: Variables) -> PermanentServiceError:
    """Make the error for a refused certificate."""
    text = next(text for wording, text in _REFUSED_CERTIFICATES.items() if re.search(wording, str(error)))
    problem = text.format(address=variables.address, certificates=variables.certificates)
    return PermanentServiceError(f"{url}: the server's certificate {problem}")


def error_of_obstore(url: str, error: Exception, variables: Variables) -> PipelineError:
    """Make the error for one of obstore's, by its text."""
    text = redact(str(error))  # before it is cut, as a part of a secret is not found
    # The reason is at the end of the line, after the address, the time and the number of retries.
    first_line = text.strip().partition("\n")[0].rpartition(" - ")[2][:300]
    if status := re.search(r"non-2xx status code: (\d{3})", text):
        code = re.search(r"<Code>(\w+)</Code>", text)
        message = re.search(r"<Message>([^<]*)</Message>", text)
        return error_of_response(
            url,
            int(status[1]),
            code=code[1] if code else "",
            message=message[1] if message else "",
            variables=variables,
        )
    if "InvalidCertificate(" in text or is_untrusted_certificate(error):
        return untrusted(url, error, variables)
    if re.search(r"redirect", first_line, re.IGNORECASE):
        return WrongRegionError(f"{url}: the store redirects. {_REDIRECTED.format(address=variables.address)}")
    if missing := re.search(r"(\S+) Header missing from response", text):
        return incomplete(url, missing[1], variables)
    if re.search(r"Got invalid \w+ response", text):
        return incomplete(url, "XML", variables)
    if re.search(r"Invalid (last modified|content length)|header containing non-ASCII", text, re.IGNORECASE):
        return incomplete(url, "readable header", variables)
    if "non-partial response" in text or "Content-Range" in text:
        return incomplete(url, "Content-Range", variables)
    return ServiceError(f"{url}: the store failed: {first_line}. {with_proxy_variables('Run again later')}")


def error_of_botocore(url: str, error: BotoCoreError) -> PipelineError:
    """Make the error for one of botocore's without a response."""
    from botocore.exceptions import (  # noqa: PLC0415
        ConnectionError,  # noqa: A004
        CredentialRetrievalError,
        HTTPClientError,
        MetadataRetrievalError,
        ParamValidationError,
        ProxyConnectionError,
    )

    text = " ".join(redact(str(error)).split())[:300]
    if isinstance(error, ProxyConnectionError):
        return ServiceError(f"{url}: {text}. Check {proxy_variables() or 'the proxy of AWS_PROFILE'}")
    # A connection that is refused, or a name that is not found, can be a server that starts anew: it may pass.
    if isinstance(error, ConnectionError):
        return ServiceError(f"{url}: {text}. {with_proxy_variables(f'Check {AWS.address}, and the network')}")
    if isinstance(error, HTTPClientError | MetadataRetrievalError | CredentialRetrievalError):
        return ServiceError(f"{url}: {text}")
    if isinstance(error, ParamValidationError):
        return SettingsError(f"{url}: {text}")
    return PermanentServiceError(f"{url}: {text}. Check AWS_PROFILE, {AWS.address}")


def incomplete(url: str, part: str, variables: Variables) -> IncompleteResponseError:
    """Make the error for a response without a header, or another part, that the protocol requires."""
    return IncompleteResponseError(
        f"{url}: the response has no {part}, which the store's protocol requires. "
        f"Check {variables.address}, and whether a proxy responds instead of the store, or removes headers"
    )

"""Requests with a token of an OAuth client, and errors without secrets."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import httpx
import msgspec
from pydantic import BaseModel, Field, ValidationError

from ol_orchestrate.lib.addresses import origin_of
from ol_orchestrate.lib.errors import AccessRefusedError, BadInputError, MissingObjectError, PipelineError, ServiceError
from ol_orchestrate.lib.http_status import error_of_status
from ol_orchestrate.lib.openedx_api.transport import Clock, Response, Timeouts, Transport
from ol_orchestrate.lib.redaction import redact, remember_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ol_orchestrate.lib.openedx_api.credentials import ApiCredentials

EXCERPT = 200
"""Characters of a response that an error quotes."""

REASONS = ("error", "error_description", "detail")
"""Fields of an error's JSON that a message quotes: those of OAuth (RFC 6749, 5.2) and of Django REST framework."""

_BLANK = "\ufeff \t\r\n"
"""Characters that can stand before JSON; the first is a byte order mark."""

MAX_VALUES = 400_000
"""JSON values of one response. Parsing takes up to 300 bytes for each; a page of the catalogue has some 10,000."""

EXPIRY_MARGIN = 30.0
"""Seconds before its expiry at which a token is replaced, so that none expires during a request."""

_TOKEN_LIKE = re.compile(
    r"""(?<![\w-])[\w-]*(?:token|secret|passw(?:or)?d|api[_-]?key|authorization)(?:&quot;|[\\"'])*\s*[:=>]"""
    r"""\s*(?:&quot;|[\\"'])*(?:(?:basic|bearer|jwt)\s+)?[^\s"'&<,}\\]+""",
    re.IGNORECASE,
)
"""A field with the name of a secret: a response can hold tokens that are not registered for redaction."""


class _TokenResponse(BaseModel):
    """The response of the token address (RFC 6749, 5.1)."""

    # Printable ASCII, since any other header value raises an error that quotes it.
    access_token: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]
    expires_in: Annotated[float, Field(gt=0)] = 300.0


class _Token(NamedTuple):
    value: str
    end: float


class ApiSession:
    """The session of an OAuth client with one deployment. Thread-safe; it connects at its first request.

    Args:
        credentials: A function that reads the credentials; called once, at the first request.
        requests_per_hour: The limit of this client; `None` for a server without one.
        timeouts: The timeouts of each attempt.
    """

    def __init__(
        self,
        credentials: Callable[[], ApiCredentials],
        *,
        requests_per_hour: int | None = None,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._read_credentials = credentials
        self._credentials: ApiCredentials | None = None
        self._clock = clock or Clock()
        self._transport = Transport(
            requests_per_hour=requests_per_hour, timeouts=timeouts or Timeouts(), clock=self._clock
        )
        self._token: _Token | None = None
        self._lock = threading.RLock()

    @property
    def credentials(self) -> ApiCredentials:
        """The addresses and the OAuth client."""
        with self._lock:
            if self._credentials is None:
                self._credentials = self._read_credentials()
            return self._credentials

    def get(self, url: str, params: Mapping[str, Any] | str | None = None) -> Response:
        """Send a GET request; raises the errors of `post`."""
        return self._send("GET", url, params=params)

    def post(self, url: str, payload: Any) -> Response:  # noqa: ANN401 - any JSON
        """Send JSON in a POST request.

        Returns:
            A response with a 2xx status.

        Raises:
            AccessRefusedError: The status is 403, or 401 even with a new token, or the credentials give no token.
            MissingObjectError: The status is 404 or 410.
            PermanentServiceError: The status is another final one, or a redirect, which is never followed.
            ServiceError: The status is 429 or 5xx, or there is no response, after several attempts.
            BadInputError: The response is too large.
        """
        return self._send("POST", url, json=payload)

    def _send(self, method: str, url: str, **request: Any) -> Response:  # noqa: ANN401 - as `Transport.send` takes them
        token = self._valid_token(refused=None)
        response = self._with_token(token, method, url, request)
        if response.status == httpx.codes.UNAUTHORIZED:  # the token was revoked or expired early
            token = self._valid_token(refused=token)
            response = self._with_token(token, method, url, request)
        return self._accept(response)

    def _with_token(self, token: str, method: str, url: str, request: Mapping[str, Any]) -> Response:
        return self._transport.send(method, url, headers={"Authorization": f"JWT {token}"}, **request)

    def _valid_token(self, *, refused: str | None) -> str:
        """Return a token that has not expired and is not the refused one; one thread requests it, others wait."""
        with self._lock:
            token = self._token
            if token is None or token.value == refused or self._clock.monotonic() >= token.end:
                token = self._token = self._request_token()
            return token.value

    def _request_token(self) -> _Token:
        credentials = self.credentials
        requested = self._clock.monotonic()
        response = self._transport.send(
            "POST",
            credentials.token_url,
            data={
                "grant_type": "client_credentials",
                "client_id": credentials.client_id,
                "client_secret": credentials.client_secret,
                "token_type": "jwt",
            },
        )
        if response.status in {httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED}:
            message = (
                f"refuses this client id and secret (status {response.status}); replace them in Vault or in the "
                "environment variables"
            )
            raise AccessRefusedError(self._message(response, message))
        try:
            token = _TokenResponse.model_validate_json(self._accept(response).body)
        except ValidationError as error:
            raise self.unexpected_response(response, "a token", error) from None
        remember_secrets(token.access_token)
        return _Token(token.access_token, requested + max(token.expires_in - EXPIRY_MARGIN, token.expires_in / 2))

    def _accept(self, response: Response) -> Response:
        """Return the response, if it is a success with at most `MAX_VALUES` values."""
        if httpx.codes.is_success(response.status):
            # An upper bound, as marks in texts count too; it takes far less time than parsing.
            values = sum(response.body.count(mark) for mark in (b",", b"{", b"["))
            if values > MAX_VALUES:
                problem = (
                    f"the response may have {values:,} JSON values, and the limit is {MAX_VALUES:,}; request smaller "
                    "pages"
                )
                raise BadInputError(redact(f"{response.request}: {problem}"))
            return response._replace(request=redact(response.request))
        error = error_of_status(response.status)
        problem = f"status {response.status}"
        if httpx.codes.is_redirect(response.status):
            problem += f", a redirect to {origin_of(response.headers.get('Location', ''))}, which is not followed"
            problem += "; set the address of the API to its new place"
        elif error is AccessRefusedError:
            problem += "; this OAuth client has no permission for it: ask the operators of the API for one"
        elif response.status in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            error = MissingObjectError
        raise error(self._message(response, problem))

    def unexpected_response(self, response: Response, expected: str, error: ValidationError) -> PipelineError:
        """Make the error for a response in another form than `expected`; it is transient if the JSON breaks off."""
        message = self._message(response, f"status {response.status}, but not {expected} in JSON")
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        is_json = "json" in response.headers.get("Content-Type", "")
        if is_json and first["type"] == "json_invalid" and "EOF while parsing" in first["msg"]:
            return ServiceError(f"{message}; it may have been cut short, run again")
        return BadInputError(message)

    def _message(self, response: Response, problem: str) -> str:
        kind = redact(response.headers.get("Content-Type", "none"))[:60]
        text = response.body[: 64 * EXCERPT].decode("utf-8-sig", "replace").lstrip(_BLANK)
        is_success = httpx.codes.is_success(response.status)
        content = f"{len(response.body):,} bytes"  # of records, which no message quotes
        if text[:1] in {"{", "["}:
            if not is_success and (reason := _reason_in(text)):
                content = f"it says {_excerpt(reason)!r}"
        elif not is_success or "json" not in kind:
            content = f"it begins {_excerpt(text)!r}"
        return redact(f"{response.request}: {problem} (content type {kind}; {content})")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def _excerpt(text: str) -> str:
    return " ".join(_TOKEN_LIKE.sub("…", redact(text))[:EXCERPT].split())


def _reason_in(text: str) -> str:
    """Return the texts of an error's JSON that say why; other fields can repeat what the server knows of learners."""
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    known = [fields.get(name) for name in REASONS] if isinstance(fields, dict) else []
    return ": ".join(value for value in known if isinstance(value, str))

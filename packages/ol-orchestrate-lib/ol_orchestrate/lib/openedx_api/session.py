"""Requests with a token: OAuth client credentials, and errors that hold no secret."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import httpx
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
"""Characters of an answer that an error quotes."""

MAX_VALUES = 400_000
"""JSON values of one answer. Parsing takes up to 300 bytes for each; a page of the catalogue has some 10,000."""

EXPIRY_MARGIN = 30.0
"""Seconds before its end at which a token is no longer used, so that it does not expire on the way."""

_TOKEN_LIKE = re.compile(
    r"""(?<![\w-])[\w-]*(?:token|secret|passw(?:or)?d|api[_-]?key|authorization)(?:&quot;|[\\"'])*\s*[:=>]"""
    r"""\s*(?:&quot;|[\\"'])*(?:(?:basic|bearer|jwt)\s+)?[^\s"'&<,}\\]+""",
    re.IGNORECASE,
)
"""A field named like a secret: an answer can hold tokens that nobody here knows yet."""


class _TokenResponse(BaseModel):
    """What the token address answers (RFC 6749, 5.1)."""

    # Printable ASCII, since a header that holds anything else fails with an error that quotes it.
    access_token: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]
    expires_in: Annotated[float, Field(gt=0)] = 300.0


class _Token(NamedTuple):
    value: str
    end: float


class ApiSession:
    """One OAuth client talking to one deployment, shared by any number of threads.

    Credentials are read and the first connection is made at the first request.
    """

    def __init__(
        self,
        credentials: Callable[[], ApiCredentials],
        *,
        requests_per_hour: int | None = None,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Remember how to connect.

        Args:
            credentials: Called once, at the first request.
            requests_per_hour: What this client allows itself; None for a server that does not count.
            timeouts: Of each attempt.
            clock: Time and waiting.
        """
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
        """Who asks, and where."""
        with self._lock:
            if self._credentials is None:
                self._credentials = self._read_credentials()
            return self._credentials

    def get(self, url: str, params: Mapping[str, Any] | str | None = None) -> Response:
        """Ask for `url`; raises as `post` does."""
        return self._send("GET", url, params=params)

    def post(self, url: str, payload: Any) -> Response:  # noqa: ANN401 - any JSON
        """Send JSON to `url`.

        Returns:
            An answer with a 2xx status.

        Raises:
            AccessRefusedError: 401 also with a new token, 403, or no token to be had for these credentials.
            MissingObjectError: 404 or 410.
            BadInputError: Another status, a redirect included, which is never followed.
            ServiceError: 429, 5xx or no answer, after several attempts.
        """
        return self._send("POST", url, json=payload)

    def _send(self, method: str, url: str, **request: Any) -> Response:  # noqa: ANN401 - as `Transport.send` takes them
        token = self._valid_token(refused=None)
        answer = self._with_token(token, method, url, request)
        if answer.status == httpx.codes.UNAUTHORIZED:  # revoked, or it ended early
            token = self._valid_token(refused=token)
            answer = self._with_token(token, method, url, request)
        return self._accept(answer)

    def _with_token(self, token: str, method: str, url: str, request: Mapping[str, Any]) -> Response:
        return self._transport.send(method, url, headers={"Authorization": f"JWT {token}"}, **request)

    def _valid_token(self, *, refused: str | None) -> str:
        """A token that has not ended and is not the refused one; one thread asks for it, the others wait for that."""
        with self._lock:
            token = self._token
            if token is None or token.value == refused or self._clock.monotonic() >= token.end:
                token = self._token = self._request_token()
            return token.value

    def _request_token(self) -> _Token:
        credentials = self.credentials
        asked = self._clock.monotonic()
        answer = self._transport.send(
            "POST",
            credentials.token_url,
            data={
                "grant_type": "client_credentials",
                "client_id": credentials.client_id,
                "client_secret": credentials.client_secret,
                "token_type": "jwt",
            },
        )
        if answer.status in {httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED}:
            message = f"refuses this client id and secret (status {answer.status}); renew them where they are kept"
            raise AccessRefusedError(self._message(answer, message))
        try:
            token = _TokenResponse.model_validate_json(self._accept(answer).body)
        except ValidationError as error:
            raise self.misfit(answer, "a token", error) from None
        remember_secrets(token.access_token)
        return _Token(token.access_token, asked + max(token.expires_in - EXPIRY_MARGIN, token.expires_in / 2))

    def _accept(self, answer: Response) -> Response:
        """The answer, if it is a success that can be parsed within the memory there is for it."""
        if httpx.codes.is_success(answer.status):
            # More than there are, as commas in texts count too; counting costs nothing beside parsing.
            values = sum(answer.body.count(mark) for mark in (b",", b"{", b"["))
            if values > MAX_VALUES:
                problem = (
                    f"the answer may have {values:,} JSON values, and {MAX_VALUES:,} are read; ask for less at a time"
                )
                raise BadInputError(redact(f"{answer.request}: {problem}"))
            return answer._replace(request=redact(answer.request))
        error = error_of_status(answer.status)
        problem = f"status {answer.status}"
        if httpx.codes.is_redirect(answer.status):
            problem += f", a redirect to {origin_of(answer.headers.get('Location', ''))}, which is not followed"
            problem += "; set the address of the API to where it is"
        elif error is AccessRefusedError:
            problem += "; this client's credentials do not open it"
        elif answer.status in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            error = MissingObjectError
        raise error(self._message(answer, problem))

    def misfit(self, answer: Response, expected: str, error: ValidationError) -> PipelineError:
        """The error for an answer that is not `expected`; JSON that breaks off may be whole the next time."""
        message = self._message(answer, f"status {answer.status}, but not {expected} in JSON")
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        is_json = "json" in answer.headers.get("Content-Type", "")
        if is_json and first["type"] == "json_invalid" and "EOF while parsing" in first["msg"]:
            return ServiceError(f"{message}; it may have been cut short, run again")
        return BadInputError(message)

    def _message(self, answer: Response, problem: str) -> str:
        kind = redact(answer.headers.get("Content-Type", "none"))[:60]
        text = answer.body[: 64 * EXCERPT].decode("utf-8", "replace")
        if httpx.codes.is_success(answer.status) and text.lstrip()[:1] in {"{", "["}:
            told = f"{len(answer.body):,} bytes"  # of records, which no message quotes
        else:
            excerpt = " ".join(_TOKEN_LIKE.sub("…", redact(text))[:EXCERPT].split())
            told = f"it begins {excerpt!r}"
        return redact(f"{answer.request}: {problem} (content type {kind}; {told})")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

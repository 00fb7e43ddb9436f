"""HTTP requests with a bound for every wait, and with retries of transient errors alone."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from tenacity import Retrying, retry_if_exception_type

from ol_orchestrate.lib.errors import AccessRefusedError, BadInputError, ServiceError
from ol_orchestrate.lib.http_status import is_transient, is_untrusted_certificate, with_proxy_variables
from ol_orchestrate.lib.retrying import pauses
from ol_orchestrate.lib.time_limit import within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenacity import RetryCallState

ATTEMPTS = 5
"""Attempts at each request. The pauses between them are as long as the server asks for, or else grow."""

PATIENCE = 900.0
"""Seconds from the first attempt of a request to the last moment at which another one may start."""

MAX_BODY = 32 << 20
"""Bytes of one response; a page of the catalogue has about one million."""

MAX_ERROR_BODY = 64 << 10
"""Bytes that are read of a response that reports an error."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time and a way to wait; a test can give its own to pass an hour in no time."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each attempt.

    Attributes:
        connect: The time to connect.
        read: The time between two pieces of a response.
        total: The time for the whole response, so that a server that drips bytes does not hold up a run for ever.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float = 120.0


class Response(NamedTuple):
    """A response of any status; the body of an error may be cut.

    Attributes:
        request: The method and the address of the request, for messages.
    """

    request: str
    status: int
    headers: httpx.Headers
    body: bytes


class _NotYetError(Exception):
    """An attempt without a final response; the server may have asked to wait for some seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    requested = error.wait if isinstance(error, _NotYetError) else None
    return pauses()(state) if requested is None else requested


class RequestBudget:
    """Refuses requests beyond a number within any hour, before the server would.

    The Discovery API allows a user 200 requests an hour. A whole catalogue takes some 80 requests, so the budget only
    matters for faults such as pages that never end or a job that runs over and over. Each client has its own budget.
    """

    WINDOW = 3600.0

    def __init__(self, requests_per_hour: int, clock: Clock) -> None:
        self._spent: deque[float] = deque(maxlen=requests_per_hour)
        self._clock = clock
        self._lock = threading.Lock()

    def spend(self) -> None:
        """Count one request.

        Raises:
            ServiceError: The hour's requests are used up; the message says when the next one is free.
        """
        with self._lock:
            now = self._clock.monotonic()
            if len(self._spent) == self._spent.maxlen and now - self._spent[0] < self.WINDOW:
                wait = self.WINDOW - (now - self._spent[0])
                message = (
                    f"This client has made {self._spent.maxlen} requests within an hour, its limit; run again in"
                    f" {wait:.0f} seconds"
                )
                raise ServiceError(message)
            self._spent.append(now)


class Transport:
    """Sends requests. Thread-safe.

    Args:
        requests_per_hour: The limit of this client; `None` for a server without one.
        timeouts: The timeouts of each attempt.
        final: Statuses that this server means for good, though others mean them for now.
    """

    def __init__(
        self, *, requests_per_hour: int | None, timeouts: Timeouts, clock: Clock, final: frozenset[int] = frozenset()
    ) -> None:
        self._budget = RequestBudget(requests_per_hour, clock) if requests_per_hour else None
        self._timeouts = timeouts
        self._clock = clock
        self._final = final
        try:
            self._client = httpx.Client(
                timeout=httpx.Timeout(timeouts.read, connect=timeouts.connect),
                headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
                follow_redirects=False,
            )
        except OSError as error:
            message = (
                f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used ({error.strerror or type(error).__name__}). Correct it"
            )
            raise BadInputError(message) from None
        except (ValueError, httpx.InvalidURL):  # their texts quote the address, which may hold a password
            raise BadInputError(
                "A proxy's address cannot be used. Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"
            ) from None

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | str | None = None,
        headers: Mapping[str, str] | None = None,
        **body: Any,  # noqa: ANN401 - `data` or `json`, as httpx takes them
    ) -> Response:
        """Send a request, again after transient errors, and return the final response.

        A repeated request is harmless for all requests of this package, the start of an export included.

        Raises:
            ServiceError: All five attempts failed, or the server asks to wait longer than `PATIENCE`.
            AccessRefusedError: The server's certificate is not trusted.
            BadInputError: The response is over `MAX_BODY`, or has an encoding that was not requested.
        """
        request = self._client.build_request(method, url, params=params, headers=headers, **body)
        shown = f"{method} {request.url}"
        give_up = self._clock.monotonic() + PATIENCE
        attempts = Retrying(
            retry=retry_if_exception_type(_NotYetError),
            stop=lambda state: (
                state.attempt_number == ATTEMPTS or self._clock.monotonic() + state.upcoming_sleep > give_up
            ),
            wait=_pause,
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return attempts(self._final_response, shown, request)
        except _NotYetError as error:
            last = attempts.statistics["attempt_number"] == ATTEMPTS
            end = f" at the last of {ATTEMPTS} attempts" if last else f"; no attempt is made after {PATIENCE:.0f} s"
            raise ServiceError(f"{shown}: {error}{end}; run again later") from None

    def _final_response(self, shown: str, request: httpx.Request) -> Response:
        """Make one attempt.

        Raises:
            _NotYetError: It brought no response, or a transient one.
        """
        if self._budget:
            self._budget.spend()
        try:
            response = self._attempt(shown, request)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _NotYetError(_problem(shown, error)) from None
        if not is_transient(response.status) or response.status in self._final:
            return response
        requested = retry_after(response.headers)
        problem = f"status {response.status}"
        raise _NotYetError(problem if requested is None else f"{problem}, asks to wait {requested:.0f} s", requested)

    def _attempt(self, shown: str, request: httpx.Request) -> Response:
        """Make one attempt within the total time, wherever it hangs: at a name, a handshake, headers or a body.

        No socket timeout covers all of these, so the attempt has a thread of its own. A thread that is late is left
        behind and ends with its connection, at the latest when the client is closed.
        """
        late = threading.Event()
        try:
            return within(self._timeouts.total, partial(self._exchange, shown, request, late))
        except TimeoutError:
            late.set()
            message = f"not within {self._timeouts.total:.0f} s"
            raise httpx.ReadTimeout(message) from None

    def _exchange(self, shown: str, request: httpx.Request, late: threading.Event) -> Response:
        response = self._client.send(request, stream=True)
        try:
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in {"identity", "gzip"}:  # several layers of compression can make a bomb of any size
                message = (
                    f"{shown}: the response is encoded as {encoding[:40]!r}, and only gzip was requested. Check the "
                    "proxies on the way"
                )
                raise BadInputError(message)
            limit = MAX_BODY if response.is_success else MAX_ERROR_BODY
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > limit or late.is_set():
                    break
        finally:
            response.close()
        if response.is_success and len(body) > limit:
            message = f"{shown}: the response is larger than {MAX_BODY >> 20} MiB; request smaller pages"
            raise BadInputError(message)
        return Response(shown, response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _problem(shown: str, error: Exception) -> str:
    """Describe an attempt without a complete response.

    Raises:
        AccessRefusedError: The server's certificate is not trusted, and will not be at the next attempt.
    """
    if is_untrusted_certificate(error):
        remedy = "Set SSL_CERT_FILE to a file with the certificates to trust"
        raise AccessRefusedError(f"{shown}: the server's certificate is not trusted. {remedy}") from None
    problem = f"no complete response ({type(error).__name__})"
    # The texts of other errors can quote headers.
    return with_proxy_variables(f"{problem}, {error}") if isinstance(error, httpx.ConnectError) else problem


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait: `Retry-After`, a number or an HTTP date (RFC 9110, 10.2.3).

    A date is compared with the response's own `Date`, so that a wrong clock on either side does no harm. `None` if the
    header is missing or unreadable.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until, now = _http_date(value), _http_date(headers.get("Date", ""))
    return None if until is None else max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

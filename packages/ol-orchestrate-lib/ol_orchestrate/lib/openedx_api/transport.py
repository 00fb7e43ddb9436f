"""HTTP requests that end: every wait has a bound, what may pass is tried again, the rest is not."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from ol_orchestrate.lib.errors import AccessRefusedError, BadInputError, ServiceError
from ol_orchestrate.lib.http_status import is_transient, is_untrusted_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BACKOFF = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt, where the server does not say how long to wait: five attempts in all."""

PATIENCE = 900.0
"""Seconds after which a request, with its waits, is not attempted again."""

MAX_BODY = 32 << 20
"""Bytes of one answer; a page of the catalogue has about one million."""

MAX_ERROR_BODY = 64 << 10
"""Bytes that are read of an answer that reports an error."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and waiting, so that a test can wait an hour in no time."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each attempt.

    Attributes:
        connect: Until a connection is made.
        read: Between two pieces of an answer.
        total: Until the whole answer is there, so that a server that drips bytes does not hold a run for ever.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float = 120.0


class Response(NamedTuple):
    """What a server said, whatever its status; an error's body may be cut."""

    request: str
    status: int
    headers: httpx.Headers
    body: bytes


class RequestBudget:
    """At most so many requests within any hour; the one too many is refused here, before the server does.

    The Discovery API lets a user ask 200 times an hour. A whole catalogue takes some 80 requests, so the budget is
    for what goes wrong: pages that never end, a job that asks over and over. Each client
    counts for itself.
    """

    WINDOW = 3600.0

    def __init__(self, requests_per_hour: int, clock: Clock) -> None:
        """A budget that nothing was spent of."""
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
                    f"{self._spent.maxlen} requests were made within an hour, which is all this client allows itself;"
                    f" run again in {wait:.0f} seconds"
                )
                raise ServiceError(message)
            self._spent.append(now)


class Transport:
    """Sends requests, from any number of threads."""

    def __init__(self, *, requests_per_hour: int | None, timeouts: Timeouts, clock: Clock) -> None:
        """Make no connection yet.

        Args:
            requests_per_hour: What this client allows itself; None for a server that does not count.
            timeouts: Of each attempt.
            clock: Time and waiting.
        """
        self._budget = RequestBudget(requests_per_hour, clock) if requests_per_hour else None
        self._timeouts = timeouts
        self._clock = clock
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
        except (ValueError, httpx.InvalidURL):  # whose texts repeat the address, with a password that it may hold
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
        """Ask until there is an answer that is final.

        Asking again is harmless for all requests of this package, the start of an export included.

        Raises:
            ServiceError: There was none after five attempts, or the server asks to wait longer than `PATIENCE`.
            AccessRefusedError: The server's certificate is not trusted.
            BadInputError: The answer is over `MAX_BODY`, or compressed in a way that was not asked for.
        """
        request = self._client.build_request(method, url, params=params, headers=headers, **body)
        shown = f"{method} {request.url}"
        give_up = self._clock.monotonic() + PATIENCE
        for delay in (*BACKOFF, None):
            if self._budget:
                self._budget.spend()
            wait = delay
            try:
                answer = self._attempt(shown, request)
            except (httpx.TransportError, httpx.DecodingError) as error:
                problem = _problem(shown, error)
            else:
                if not is_transient(answer.status):
                    return answer
                problem = f"status {answer.status}"
                asked = retry_after(answer.headers)
                if asked is not None:
                    problem += f", asks to wait {asked:.0f} s"
                    wait = None if delay is None else asked
            if wait is None:
                message = f"{shown}: {problem} at the last of {len(BACKOFF) + 1} attempts; run again later"
                raise ServiceError(message)
            if self._clock.monotonic() + wait > give_up:
                message = f"{shown}: {problem}; no attempt is made after {PATIENCE:.0f} s, run again later"
                raise ServiceError(message)
            self._clock.sleep(wait)
        raise AssertionError  # the last attempt returns or raises

    def _attempt(self, shown: str, request: httpx.Request) -> Response:
        """One attempt, within the total time whatever it hangs on: a name, a handshake, headers or a body that drip.

        No socket timeout covers all of these, so the attempt has a thread of its own, which is left behind if it takes
        too long; it ends with its connection, at the latest when the client is closed.
        """
        outcome: Future[Response] = Future()
        late = threading.Event()

        def attempt() -> None:
            try:
                outcome.set_result(self._exchange(shown, request, late))
            except BaseException as error:  # noqa: BLE001 - handed over to whoever waits
                outcome.set_exception(error)

        threading.Thread(target=attempt, name="openedx-api", daemon=True).start()
        try:
            return outcome.result(self._timeouts.total)
        except TimeoutError:
            late.set()
            message = f"not within {self._timeouts.total:.0f} s"
            raise httpx.ReadTimeout(message) from None

    def _exchange(self, shown: str, request: httpx.Request, late: threading.Event) -> Response:
        response = self._client.send(request, stream=True)
        try:
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in {"identity", "gzip"}:  # several layers of compression can make a bomb of any size
                message = f"{shown}: the answer is encoded as {encoding[:40]!r}; only gzip was asked for"
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
            message = f"{shown}: the answer is larger than {MAX_BODY >> 20} MiB; ask for smaller pages"
            raise BadInputError(message)
        return Response(shown, response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _problem(shown: str, error: Exception) -> str:
    """What to say of an attempt without an answer.

    Raises:
        AccessRefusedError: The server's certificate is not trusted, and will not be at the next attempt.
    """
    if is_untrusted_certificate(error):
        remedy = "Set SSL_CERT_FILE to a file with the certificates to trust"
        raise AccessRefusedError(f"{shown}: the server's certificate is not trusted. {remedy}") from None
    problem = f"no complete answer ({type(error).__name__})"
    # The texts of other errors can quote headers.
    return f"{problem}, {error}" if isinstance(error, httpx.ConnectError) else problem


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: `Retry-After` as a number or as an HTTP date (RFC 9110, 10.2.3).

    A date is compared with the answer's own `Date`, so that a wrong clock on either side does no harm. None where the
    header is not there or not readable.
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

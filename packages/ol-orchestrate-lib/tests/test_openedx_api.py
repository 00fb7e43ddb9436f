"""The client of the Open edX API, against a server on loopback that misbehaves on request."""

from __future__ import annotations

import gzip
import html
import json
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.openedx_api import ApiCredentials, ApiSession, Clock, OpenEdxApi, Page, Timeouts
from ol_orchestrate.lib.openedx_api.transport import MAX_BODY, PATIENCE, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SECRET = 's3cr3t+/="canary'  # noqa: S105 - of a server that lives for one test
CLIENT_ID = "client-id-canary"
TOKEN_PATH = "/oauth2/access_token"  # noqa: S105 - a path
LISTING = "/api/v1/things/"


class Thing(BaseModel):
    key: str
    note: str | None = None


class Seen(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Reply:
    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    keep: int | None = None
    """Bytes of the body that are sent before the connection is closed."""
    repeat: int = 1
    """The number of times that the body is sent."""
    drip: float = 0.0
    """Seconds between two bytes."""
    header_drip: float = 0.0
    """Seconds between two headers."""

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class LoopbackApi:
    """Answers each path from a queue whose last reply stays; issues tokens `token-1`, `token-2` and so on."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self.tokens = 0
        self.sent = 0
        self._replies: dict[str, list[Reply | Callable[[Seen], Reply]]] = {TOKEN_PATH: [self._issue_token]}

    def on(self, path: str, *replies: Reply | Callable[[Seen], Reply]) -> None:
        self._replies[path] = list(replies)

    def asked(self, path: str) -> list[Seen]:
        return [request for request in self.seen if request.path == path]

    def answer(self, request: Seen) -> Reply:
        self.seen.append(request)
        replies = self._replies.get(request.path, [Reply({"detail": "Not found."}, status=404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply if isinstance(reply, Reply) else reply(request)

    def _issue_token(self, request: Seen) -> Reply:
        self.tokens += 1
        form = dict(parse_qsl(request.body.decode()))
        expected = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "token_type": "jwt"}
        if form != expected | {"client_secret": SECRET}:
            return Reply({"error": "invalid_client", "you_sent": request.body.decode()}, status=401)
        return Reply({"access_token": f"token-{self.tokens}", "expires_in": 3600, "token_type": "JWT"})


def handler_of(api: LoopbackApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            reply = api.answer(Seen(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body))
            try:
                self.say(reply)
            except OSError:  # the client has left, as it should
                self.close_connection = True

        def say(self, reply: Reply) -> None:
            content = reply.content()
            self.send_response(reply.status)
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(content) * reply.repeat),
            } | reply.headers
            for name, value in headers.items():
                self.send_header(name, value)
                if reply.header_drip:
                    self.flush_headers()
                    time.sleep(reply.header_drip)
            self.end_headers()
            if reply.keep is not None:
                content, self.close_connection = content[: reply.keep], True
            for _ in range(reply.repeat):
                for start in range(0, len(content), 1 if reply.drip else len(content) or 1):
                    self.wfile.write(content[start : start + 1] if reply.drip else content)
                    time.sleep(reply.drip)
                api.sent += len(content)

        do_GET = do_POST = reply  # noqa: N815 - the names http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
            """Keep the test's output clean."""

    return Handler


@contextmanager
def serving() -> Iterator[LoopbackApi]:
    api = LoopbackApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(api))
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[LoopbackApi]:
    with serving() as api:
        yield api


def assert_growing(pauses: list[float]) -> None:
    """Four pauses, each at most twice as long as the one before, and at least half of that."""
    most = [0.5, 1.0, 2.0, 4.0]
    assert len(pauses) == len(most)
    assert all(long / 2 <= pause <= long for pause, long in zip(pauses, most, strict=True))


class FakeTime:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


def credentials(server: LoopbackApi, **changes: str) -> ApiCredentials:
    values = {"client_id": CLIENT_ID, "client_secret": SECRET, "url": server.url, "studio_url": server.url}
    return ApiCredentials(**(values | changes))


@pytest.fixture
def session(server: LoopbackApi, fake_time: FakeTime) -> Iterator[ApiSession]:
    session = ApiSession(lambda: credentials(server), clock=fake_time.clock())
    yield session
    session.close()


@pytest.fixture
def api(session: ApiSession) -> OpenEdxApi:
    return OpenEdxApi(session)


def page(keys: list[str], count: int, next_link: str | None = None) -> Reply:
    return Reply({"count": count, "next": next_link, "previous": None, "results": [{"key": key} for key in keys]})


def keys_of(api: OpenEdxApi) -> list[str]:
    return [thing.key for page in api.pages(LISTING, Page[Thing], {"page_size": 2}) for thing in page.results]


class TestTokens:
    def test_the_first_request_asks_for_a_token_and_sends_it(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, page(["a"], 1))
        assert server.seen == []
        assert keys_of(api) == ["a"]
        assert [request.path for request in server.seen] == [TOKEN_PATH, LISTING]
        assert server.asked(LISTING)[0].headers["Authorization"] == "JWT token-1"

    def test_credentials_are_read_once_and_not_before_they_are_needed(self, server: LoopbackApi) -> None:
        reads: list[int] = []

        def read() -> ApiCredentials:
            reads.append(1)
            return credentials(server)

        server.on(LISTING, page(["a"], 1))
        with OpenEdxApi.connect(read) as api:
            assert reads == []
            keys_of(api)
            keys_of(api)
        assert reads == [1]

    def test_a_token_is_renewed_before_its_end(self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime) -> None:
        server.on(LISTING, page(["a"], 1))
        keys_of(api)
        fake_time.now += 3569  # 31 seconds before its end
        keys_of(api)
        assert server.tokens == 1
        fake_time.now += 2
        keys_of(api)
        assert server.tokens == 2
        assert server.asked(LISTING)[-1].headers["Authorization"] == "JWT token-2"

    def test_a_refused_token_is_renewed_once(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply({"detail": "Token expired"}, status=401), page(["a"], 1))
        assert keys_of(api) == ["a"]
        assert server.tokens == 2

    def test_a_second_refusal_is_final(self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime) -> None:
        server.on(LISTING, Reply({"detail": "User is inactive"}, status=401))
        with pytest.raises(AccessRefusedError, match=r"status 401.*User is inactive"):
            keys_of(api)
        assert (server.tokens, len(server.asked(LISTING)), fake_time.slept) == (2, 2, [])

    def test_a_token_that_ends_during_a_listing_is_renewed_between_pages(
        self, server: LoopbackApi, api: OpenEdxApi
    ) -> None:
        refused = Reply({"detail": "expired"}, status=401)
        server.on(LISTING, page(["a"], 2, "?page=2"), refused, page(["b"], 2))
        assert keys_of(api) == ["a", "b"]
        assert server.tokens == 2

    def test_threads_share_one_token_request(self, server: LoopbackApi, session: ApiSession) -> None:
        server.on(LISTING, page(["a"], 1))
        together = threading.Barrier(8)

        def ask(_: int) -> int:
            together.wait()
            return session.get(server.url + LISTING).status

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(8))) == [200] * 8
        assert server.tokens == 1

    def test_threads_with_one_refused_token_share_one_renewal(self, server: LoopbackApi, session: ApiSession) -> None:
        server.on(LISTING, page(["a"], 1))
        session.get(server.url + LISTING)
        together = threading.Barrier(8)

        def only_the_second(request: Seen) -> Reply:
            if request.headers["Authorization"] == "JWT token-1":
                together.wait()  # all eight were sent with the first token
                return Reply({}, status=401)
            return page(["a"], 1)

        server.on(LISTING, only_the_second)
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: session.get(server.url + LISTING).status, range(8)))
        assert statuses == [200] * 8
        assert server.tokens == 2

    def test_a_configured_token_address_is_used(self, server: LoopbackApi) -> None:
        server.on("/elsewhere", Reply({"access_token": "t", "expires_in": 60}))
        server.on(LISTING, page(["a"], 1))
        session = ApiSession(lambda: credentials(server, token_url=f"{server.url}/elsewhere/"))
        server.on("/elsewhere/", Reply({}, status=404))
        with OpenEdxApi(session) as api:
            assert keys_of(api) == ["a"]

    @pytest.mark.parametrize("status", [400, 401])
    def test_refused_credentials_are_tried_once(
        self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime, status: int
    ) -> None:
        server.on(TOKEN_PATH, Reply({"error": "invalid_client"}, status=status))
        with pytest.raises(AccessRefusedError, match=r"refuses this client id and secret.*invalid_client"):
            keys_of(api)
        assert (len(server.seen), fake_time.slept) == (1, [])

    @pytest.mark.parametrize("token", ["", "two\r\nlines", "spa ce", "ümlaut", None, 7])
    def test_a_token_that_fits_no_header_is_refused(self, server: LoopbackApi, api: OpenEdxApi, token: object) -> None:
        server.on(TOKEN_PATH, Reply({"access_token": token, "expires_in": 60}))
        with pytest.raises(PipelineError, match="but not a token in JSON"):
            keys_of(api)
        assert server.asked(LISTING) == []


class TestRetries:
    def test_a_retry_after_in_seconds_is_waited_for(
        self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime
    ) -> None:
        server.on(LISTING, Reply(status=429, headers={"Retry-After": "37"}), page(["a"], 1))
        assert keys_of(api) == ["a"]
        assert fake_time.slept == [37]

    def test_a_retry_after_as_a_date_is_waited_for(
        self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime
    ) -> None:
        until = {"Retry-After": formatdate(time.time() + 90, usegmt=True)}
        server.on(LISTING, Reply(status=429, headers=until), page(["a"], 1))
        assert keys_of(api) == ["a"]
        assert fake_time.slept == [pytest.approx(90, abs=2)]

    def test_a_retry_after_as_a_date_counts_from_the_servers_own_clock(self) -> None:
        headers = {"Date": "Mon, 03 Feb 2020 10:00:00 GMT", "Retry-After": "Mon, 03 Feb 2020 10:01:30 GMT"}
        assert retry_after(headers) == 90
        assert retry_after(headers | {"Retry-After": "Mon, 03 Feb 2020 09:00:00 GMT"}) == 0

    @given(st.text(st.characters(codec="latin-1"), max_size=30))
    def test_an_odd_retry_after_makes_no_error_of_its_own(self, value: str) -> None:
        wait = retry_after({"Retry-After": value})
        assert wait is None or wait >= 0

    def test_server_errors_are_retried_with_growing_pauses(
        self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime
    ) -> None:
        failures = [Reply(b"<html>down", status=status) for status in (500, 502, 503, 504)]
        server.on(LISTING, *failures, page(["a"], 1))
        assert keys_of(api) == ["a"]
        assert_growing(fake_time.slept)

    def test_attempts_after_server_errors_are_bounded(
        self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime
    ) -> None:
        server.on(LISTING, Reply(status=503))
        with pytest.raises(ServiceError, match="status 503 at the last of 5 attempts"):
            keys_of(api)
        assert len(server.asked(LISTING)) == 5
        assert_growing(fake_time.slept)

    def test_attempts_after_status_429_are_bounded(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply(status=429, headers={"Retry-After": "0"}))
        with pytest.raises(ServiceError, match=r"status 429.*5 attempts"):
            keys_of(api)
        assert len(server.asked(LISTING)) == 5

    def test_a_wait_beyond_patience_is_not_waited(
        self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime
    ) -> None:
        server.on(LISTING, Reply(status=429, headers={"Retry-After": str(int(PATIENCE) + 1)}))
        with pytest.raises(ServiceError, match="asks to wait 901 s"):
            keys_of(api)
        assert (len(server.asked(LISTING)), fake_time.slept) == (1, [])

    def test_a_request_for_a_token_is_retried(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(TOKEN_PATH, Reply(status=502), Reply({"access_token": "t", "expires_in": 60}))
        server.on(LISTING, page(["a"], 1))
        assert keys_of(api) == ["a"]

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, PermanentServiceError),
            (403, AccessRefusedError),
            (404, MissingObjectError),
            (405, PermanentServiceError),
            (410, MissingObjectError),
            (451, PermanentServiceError),
        ],
    )
    def test_a_final_status_is_not_retried(
        self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime, status: int, error: type[PipelineError]
    ) -> None:
        server.on(LISTING, Reply({"detail": "as it is"}, status=status))
        with pytest.raises(error, match=f"{LISTING}.*status {status}.*as it is") as caught:
            keys_of(api)
        assert not caught.value.is_transient
        assert (len(server.asked(LISTING)), fake_time.slept) == (1, [])

    def test_a_body_cut_short_is_read_again(self, server: LoopbackApi, api: OpenEdxApi, fake_time: FakeTime) -> None:
        whole = page(["a", "b"], 2)
        server.on(LISTING, Reply(whole.body, keep=20), whole)
        assert keys_of(api) == ["a", "b"]
        assert len(fake_time.slept) == 1

    def test_a_missing_server_is_a_service_error(self, fake_time: FakeTime) -> None:
        with serving() as gone:
            pass
        session = ApiSession(lambda: credentials(gone), clock=fake_time.clock())
        with (
            OpenEdxApi(session) as api,
            pytest.raises(ServiceError, match=r"no complete response \(ConnectError\)") as caught,
        ):
            keys_of(api)
        assert caught.value.is_transient
        assert_growing(fake_time.slept)


class TestTimeouts:
    def test_a_response_that_stalls_is_given_up(self, server: LoopbackApi) -> None:
        self._assert_times_out(server, Reply({"a": 1}, drip=2.0), Timeouts(read=0.1))

    def test_a_response_that_drips_is_given_up(self, server: LoopbackApi) -> None:
        self._assert_times_out(server, Reply(b"{" + b" " * 1000 + b"}", drip=0.02), Timeouts(read=5, total=0.1))

    def test_headers_that_drip_are_given_up(self, server: LoopbackApi) -> None:
        slow = Reply({"a": 1}, headers={f"X-{n}": "slow" for n in range(100)}, header_drip=0.02)
        self._assert_times_out(server, slow, Timeouts(read=5, total=0.1))

    def _assert_times_out(self, server: LoopbackApi, reply: Reply, timeouts: Timeouts) -> None:
        server.on(LISTING, reply)
        slept: list[float] = []
        session = ApiSession(lambda: credentials(server), timeouts=timeouts, clock=Clock(sleep=slept.append))
        started = time.monotonic()
        with OpenEdxApi(session) as api, pytest.raises(ServiceError, match="ReadTimeout"):
            keys_of(api)
        assert time.monotonic() - started < 5
        assert_growing(slept)


class TestPages:
    def test_pages_are_followed_by_the_query_of_next_alone(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        elsewhere = f"{server.url}/another/path/?limit=2&offset="
        replies = [page([str(n)], 26, f"{elsewhere}{n + 1}") for n in range(25)]
        server.on(LISTING, *replies, page(["25"], 26))
        assert keys_of(api) == [str(n) for n in range(26)]
        queries = [request.query for request in server.asked(LISTING)]
        assert queries == [{"page_size": ["2"]}] + [{"limit": ["2"], "offset": [str(n)]} for n in range(1, 26)]

    @pytest.mark.parametrize("end", [None, ""])
    def test_the_last_page_has_no_next(self, server: LoopbackApi, api: OpenEdxApi, end: str | None) -> None:
        server.on(LISTING, page(["a"], 1, end))
        assert keys_of(api) == ["a"]

    def test_a_page_is_requested_only_when_it_is_read(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, page(["a"], 2, "?page=2"), page(["b"], 2))
        first = next(api.pages(LISTING, Page[Thing]))
        assert first.count == 2
        assert len(server.asked(LISTING)) == 1

    @pytest.mark.parametrize(
        "link",
        [
            "https://evil.example/api/v1/things/?page=2",
            "//evil.example/?page=2",
            "https://127.0.0.1.evil.example/?page=2",
            "https://127.0.0.1@evil.example/?page=2",
            "http://[broken",
            "file:///etc/passwd?page=2",
            "ftp://127.0.0.1/?page=2",
        ],
    )
    def test_a_next_to_another_host_is_refused_and_named(self, server: LoopbackApi, api: OpenEdxApi, link: str) -> None:
        server.on(LISTING, page(["a"], 2, link))
        with pytest.raises(BadInputError, match=r"away from 127\.0\.0\.1; it is not followed") as caught:
            keys_of(api)
        assert ("evil.example" in link) == ("evil.example" in str(caught.value))
        assert len(server.asked(LISTING)) == 1

    @pytest.mark.parametrize(
        "link",
        [
            "https://LOCALHOST/api/v1/things/?page=2",
            "http://localhost:8000/api/v1/things/?page=2",
            "HTTP://LocalHost:1/api/v1/things/?page=2",
            "http://localhost./?page=2",
            "//localhost/api/v1/things/?page=2",
            "/api/v1/things/?page=2",
            "?page=2",
        ],
    )
    def test_a_next_with_another_scheme_port_or_case_or_without_a_host_goes_to_the_configured_address(
        self, server: LoopbackApi, link: str
    ) -> None:
        server.on(LISTING, page(["a"], 2, link), page(["b"], 2))
        here = server.url.replace("127.0.0.1", "localhost")
        with OpenEdxApi.connect(lambda: credentials(server, url=here)) as api:
            assert keys_of(api) == ["a", "b"]
        assert server.asked(LISTING)[1].query == {"page": ["2"]}

    def test_a_next_whose_query_is_endless_is_refused_and_not_quoted(
        self, server: LoopbackApi, api: OpenEdxApi
    ) -> None:
        server.on(LISTING, page(["a"], 2, f"?page={'9' * 5000}"))
        with pytest.raises(BadInputError, match="over 2048 characters") as caught:
            keys_of(api)
        assert len(str(caught.value)) < 300

    def test_a_next_to_the_same_page_is_an_error(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, page(["a"], 2, "?page=2"))
        with pytest.raises(BadInputError, match="leads back to a page already read"):
            keys_of(api)
        assert len(server.asked(LISTING)) == 2

    def test_an_error_in_a_record_names_page_record_and_field(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        second = Reply({"count": 3, "next": None, "results": [{"key": "b"}, {"id": "hidden", "note": "hidden"}]})
        server.on(LISTING, page(["a"], 3, "?page=2"), second)
        with pytest.raises(BadInputError, match=r"\?page=2, page 2: record no\. 2, key: Field required$") as caught:
            keys_of(api)
        assert caught.value.__suppress_context__, "pydantic's own error has the values"

    def test_an_error_within_a_mapping_does_not_repeat_its_key(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        class Tagged(BaseModel):
            tags: dict[str, int]

        results = [{"tags": {"hidden@learner.example": "seven"}}]
        server.on(LISTING, Reply({"count": 1, "next": None, "results": results}))
        with pytest.raises(
            BadInputError, match=r"page 1: record no\. 1, tags, a key: Input should be a valid integer"
        ) as caught:
            list(api.pages(LISTING, Page[Tagged]))
        assert "hidden" not in str(caught.value)
        assert "seven" not in str(caught.value)

    def test_a_listing_in_the_form_of_the_courses_api_is_read(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        def courses(*ids: str, next_link: str | None) -> Reply:
            pagination = {"next": next_link, "previous": None, "count": 3, "num_pages": 2}
            return Reply({"results": [{"id": course, "org": "X"} for course in ids], "pagination": pagination})

        server.on("/api/courses/v1/courses/", courses("a", "b", next_link="?page=2"), courses("c", next_link=None))
        assert list(api.course_ids(page_size=2)) == ["a", "b", "c"]


class TestWrongResponses:
    def test_html_instead_of_json_is_an_error_with_an_excerpt(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        login = f"<html>\n<title>Sign in</title>{CLIENT_ID} eyJhbGciOiJSUzI1.eyJzdWIi.c2ln {SECRET}".encode()
        server.on(LISTING, Reply(login, headers={"Content-Type": "text/html; charset=utf-8"}))
        expected = (
            r"status 200, but not a page.*text/html; charset=utf-8; it begins '<html> <title>Sign in</title>… … …'"
        )
        with pytest.raises(BadInputError, match=expected):
            keys_of(api)

    @pytest.mark.parametrize(
        "said",
        [
            'access_token="hidden"',
            '{\\"accessToken\\": \\"hidden\\"}',
            "{&quot;client-secret&quot;: &quot;hidden&quot;}",
            "<password>hidden</password>",
            "Authorization: Bearer hidden",
            "api_key = hidden",
        ],
    )
    def test_a_field_that_is_named_like_a_secret_is_not_quoted(
        self, server: LoopbackApi, api: OpenEdxApi, said: str
    ) -> None:
        server.on(LISTING, Reply(f"said {said} here".encode(), 400))
        with pytest.raises(PipelineError, match=r"it begins .said") as caught:
            keys_of(api)
        assert "hidden" not in str(caught.value)

    def test_a_long_word_in_an_error_is_quoted_in_linear_time(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply(b"token" * 10_000, 400))
        started = time.process_time()
        with pytest.raises(PipelineError, match="it begins"):
            keys_of(api)
        assert time.process_time() - started < 1

    def test_json_that_ends_early_is_transient(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply(b'{"count": 1, "results": [{"key": "hidden", "no'))
        with pytest.raises(ServiceError, match=r"46 bytes.*may have been cut short") as caught:
            keys_of(api)
        assert "hidden" not in str(caught.value)

    def test_broken_json_is_final(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply(b'{"count": 1, "results": [{"key": }]}'))
        with pytest.raises(BadInputError, match="status 200, but not a page of a listing in JSON"):
            keys_of(api)

    @pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"count": 1, "results": [{"key": "a", "note": [[['])
    @pytest.mark.parametrize("path", [LISTING, TOKEN_PATH])
    def test_endlessly_nested_json_is_final(
        self, server: LoopbackApi, api: OpenEdxApi, path: str, opening: bytes
    ) -> None:
        depth = 100_000
        body = opening + b"[" * depth + b"]" * depth + b"}"
        server.on(path, Reply(body))
        with pytest.raises(BadInputError, match=r"status 200, but not a (page|token).*in JSON") as caught:
            keys_of(api)
        assert not caught.value.is_transient
        assert len(server.asked(path)) == 1

    @pytest.mark.parametrize("value", [b"{}", b"[]", b"1", b'{"a":1}'])
    def test_a_response_of_very_many_values_is_refused_unparsed(
        self, server: LoopbackApi, api: OpenEdxApi, value: bytes
    ) -> None:
        # Not joined: `bytes.join` takes 80 bytes for each of up to 16 million values.
        body = b'{"count": 1, "results": [' + (value + b",") * (MAX_BODY // (len(value) + 1) - 101) + value + b"]}"
        server.on(LISTING, Reply(body))
        tracemalloc.start()
        try:
            with pytest.raises(BadInputError, match="JSON values, and the limit is 400,000; request smaller pages"):
                keys_of(api)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 5 * MAX_BODY
        assert len(server.asked(LISTING)) == 1

    @pytest.mark.parametrize("body", [[], "text", None, 3])
    def test_json_that_is_no_page_is_final(self, server: LoopbackApi, api: OpenEdxApi, body: object) -> None:
        server.on(LISTING, Reply(body))
        with pytest.raises(PipelineError, match="but not a page of a listing"):
            keys_of(api)

    def test_a_page_without_a_count_is_refused(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply({"next": None, "results": []}))
        with pytest.raises(BadInputError, match="page 1: count: Field required"):
            keys_of(api)

    def test_a_redirect_is_not_followed(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        with serving() as other:
            other.on(LISTING, page(["stolen"], 1))
            server.on(LISTING, Reply(status=302, headers={"Location": f"{other.url}{LISTING}?code=hidden"}))
            with pytest.raises(
                PermanentServiceError, match=f"a redirect to {other.url}, which is not followed"
            ) as caught:
                keys_of(api)
            assert other.seen == []
        assert "hidden" not in str(caught.value)

    def test_a_response_in_gzip_is_read(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        body = gzip.compress(page(["a"], 1).content())
        server.on(LISTING, Reply(body, headers={"Content-Encoding": "gzip"}))
        assert keys_of(api) == ["a"]

    def test_a_compression_bomb_is_cut_off(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply(gzip.compress(bytes(2 * MAX_BODY), 1), headers={"Content-Encoding": "gzip"}))
        with pytest.raises(BadInputError, match="larger than 32 MiB"):
            keys_of(api)

    def test_a_response_is_read_up_to_the_limit_only(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(LISTING, Reply(b" " * (1 << 20), repeat=4 * MAX_BODY >> 20))
        with pytest.raises(BadInputError, match="larger than 32 MiB"):
            keys_of(api)
        assert server.sent < 2 * MAX_BODY

    def test_a_bomb_within_a_bomb_is_not_opened(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        nested = gzip.compress(gzip.compress(b"{}"))
        server.on(LISTING, Reply(nested, headers={"Content-Encoding": "gzip, gzip"}))
        with pytest.raises(BadInputError, match="encoded as 'gzip, gzip'"):
            keys_of(api)


class TestBudget:
    def test_a_request_beyond_the_budget_is_not_sent(self, server: LoopbackApi, fake_time: FakeTime) -> None:
        server.on(LISTING, page(["a"], 1))
        session = ApiSession(lambda: credentials(server), requests_per_hour=4, clock=fake_time.clock())
        with OpenEdxApi(session) as api:
            for _ in range(3):  # and one for the token
                keys_of(api)
                fake_time.now += 60
            with pytest.raises(ServiceError, match="run again in 3420 seconds"):
                keys_of(api)
            assert len(server.seen) == 4
            fake_time.now += 3420
            assert keys_of(api) == ["a"]

    def test_retries_count_against_the_budget(self, server: LoopbackApi, fake_time: FakeTime) -> None:
        server.on(LISTING, Reply(status=503))
        session = ApiSession(lambda: credentials(server), requests_per_hour=3, clock=fake_time.clock())
        with OpenEdxApi(session) as api, pytest.raises(ServiceError, match="3 requests within an hour"):
            keys_of(api)
        assert len(server.seen) == 3


class TestSecrets:
    REPLIES: tuple[Reply, ...] = (
        Reply({"detail": "x"}, status=400),
        Reply({"detail": "x"}, status=401),
        Reply({"detail": "x"}, status=403),
        Reply({"detail": "x"}, status=404),
        Reply(status=500),
        Reply(status=302, headers={"Location": f"https://elsewhere.example/?token=token-1&secret={SECRET}"}),
        Reply(b"<html>", headers={"Content-Type": "text/html"}),
        Reply({"count": 2, "next": f"https://evil.example/{SECRET}/?token=token-1", "results": []}),
        Reply({"count": 1, "results": [{}]}),
    )

    @pytest.mark.parametrize("index", range(len(REPLIES)))
    @pytest.mark.parametrize("path", [LISTING, TOKEN_PATH])
    def test_no_error_holds_a_secret(
        self,
        server: LoopbackApi,
        api: OpenEdxApi,
        caplog: pytest.LogCaptureFixture,
        index: int,
        path: str,
    ) -> None:
        plain = self.REPLIES[index]

        def echo(request: Seen) -> Reply:
            """The reply, followed by the secrets of the request in many spellings."""
            spellings = [SECRET, json.dumps(SECRET), quote(SECRET), quote(SECRET).lower(), html.escape(SECRET)]
            told = " ".join([request.headers.get("Authorization", ""), *spellings, request.body.decode()])
            body = plain.content()
            whole = plain.status == 200 and b"count" in body  # has to stay JSON
            return Reply(body if whole else body + b" " + told.encode(), plain.status, plain.headers)

        caplog.set_level("INFO")
        server.on(path, echo)
        with pytest.raises(PipelineError) as caught:
            keys_of(api)
        shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caplog.text}"
        for secret in ("s3cr3t", CLIENT_ID, "token-1", "token-2"):
            assert secret not in shown

    @pytest.mark.parametrize("path", [LISTING, TOKEN_PATH])
    def test_no_quoted_content_type_holds_a_part_of_a_secret(
        self, server: LoopbackApi, api: OpenEdxApi, path: str
    ) -> None:
        for length in range(60 - len(SECRET), 60):
            server.on(path, Reply(b"x", status=400, headers={"Content-Type": "t" * length + SECRET}))
            with pytest.raises(PipelineError) as caught:
                keys_of(api)
            assert SECRET[:4] not in str(caught.value)

    def test_the_repr_of_credentials_shows_addresses_only(self, server: LoopbackApi) -> None:
        shown = repr(credentials(server))
        assert server.url in shown
        assert SECRET not in shown
        assert CLIENT_ID not in shown


class TestCredentials:
    def test_credentials_are_read_from_a_secret(self) -> None:
        secret = {"id": "i", "secret": "s\n", "url": "https://a.example/", "studio_url": "https://s.example"}
        read = ApiCredentials.from_secret("some/path", secret)
        assert (read.client_id, read.client_secret, read.url) == ("i", "s", "https://a.example")
        assert read.token_url == "https://a.example/oauth2/access_token"  # noqa: S105 - an address
        assert read.studio_url == "https://s.example"
        with_token_url = ApiCredentials.from_secret("some/path", secret | {"token_url": "https://t.example/token"})
        assert with_token_url.token_url == "https://t.example/token"  # noqa: S105 - an address

    def test_a_missing_field_of_a_secret_is_named(self) -> None:
        with pytest.raises(AccessRefusedError, match="some/path has no secret and no url") as caught:
            ApiCredentials.from_secret("some/path", {"id": CLIENT_ID, "secret": ""})
        assert CLIENT_ID not in str(caught.value)

    def test_credentials_are_read_from_the_environment(self) -> None:
        environ = {"X_API_URL": "https://a.example", "X_API_TOKEN_URL": "https://t.example/token"}
        with pytest.raises(AccessRefusedError, match="X_API_CLIENT_ID and X_API_CLIENT_SECRET not set"):
            ApiCredentials.from_environ("X_API", environ)
        read = ApiCredentials.from_environ("X_API", environ | {"X_API_CLIENT_ID": "i", "X_API_CLIENT_SECRET": "s"})
        assert read == ApiCredentials("i", "s", "https://a.example", "https://t.example/token")
        assert ApiCredentials.from_environ("X_API", {"PATH": "/bin"}) is None

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "discovery.edx.org",
            "ftp://a.example",
            "https://",
            "https://a.example:x",
            "https://a.ex\nample",
            "https://[::1",
        ],
    )
    def test_an_invalid_address_is_refused_without_repeating_it(self, url: str) -> None:
        with pytest.raises(BadInputError, match=r"The API address( has another form than|.*is refused)"):
            ApiCredentials("i", "s", url)

    @pytest.mark.parametrize("field", ["url", "token_url", "studio_url"])
    @pytest.mark.parametrize(
        "address", ["https://u:canary@a.example", "https://a.example/?canary", "https://a.example/#canary"]
    )
    def test_an_address_with_a_credential_is_refused_without_repeating_it(self, field: str, address: str) -> None:
        addresses = {"url": "https://b.example", field: address}
        with pytest.raises(BadInputError, match=r"The (API|token|Studio) address: .*a\.example.*is refused") as caught:
            ApiCredentials("i", "s", **addresses)
        assert "canary" not in str(caught.value)


class TestCourses:
    COURSE = "course-v1:MITx+6.00x+1T2020"

    def test_the_outline_and_the_structure_of_a_course_are_read(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on(f"/api/learning_sequences/v1/course_outline/{self.COURSE}", Reply({"title": "T"}))
        server.on(f"/api/course-structure/v0/{self.COURSE}/", Reply({"block": {"category": "course"}}))
        assert api.course_outline(self.COURSE) == {"title": "T"}
        assert api.course_structure(self.COURSE) == {"block": {"category": "course"}}

    def test_the_blocks_of_a_course_are_read(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on("/api/courses/v1/blocks/", Reply({"root": "r", "blocks": {"r": {"children": []}}}))
        assert api.course_blocks(self.COURSE)["root"] == "r"
        query = server.asked("/api/courses/v1/blocks/")[0].query
        assert query == {
            "course_id": [self.COURSE],
            "depth": ["all"],
            "all_blocks": ["true"],
            "requested_fields": ["children"],
        }

    def test_an_export_is_started_and_followed(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        export = "/api/courses/v0/export/"
        urls = {self.COURSE: "https://bucket.example/a.tar.gz"}
        server.on(export, Reply({"upload_urls": urls, "upload_task_ids": {self.COURSE: "task"}, "failed_uploads": {}}))
        server.on(f"{export}{self.COURSE}/", Reply({"state": "In Progress"}), Reply({"state": "Succeeded"}))
        started = api.export_courses([self.COURSE])
        assert started.upload_urls == urls
        assert json.loads(server.asked(export)[0].body) == {"courses": [self.COURSE]}
        states = [api.export_status(self.COURSE, started.upload_task_ids[self.COURSE]).state for _ in range(2)]
        assert states == ["In Progress", "Succeeded"]
        assert server.asked(f"{export}{self.COURSE}/")[0].query == {"task_id": ["task"]}

    def test_an_export_without_studio_is_refused(self, server: LoopbackApi) -> None:
        with (
            OpenEdxApi.connect(lambda: credentials(server, studio_url="")) as api,
            pytest.raises(BadInputError, match="no address of Studio"),
        ):
            api.export_courses([self.COURSE])
        assert server.seen == []

    def test_an_old_course_id_keeps_its_slashes(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        server.on("/api/course-structure/v0/MITx/6.00x/2012_Fall/", Reply({}))
        assert api.course_structure("MITx/6.00x/2012_Fall") == {}

    @pytest.mark.parametrize("course_id", ["", "a/../../../admin", "..", "a//b"])
    def test_a_course_id_cannot_lead_to_another_path(
        self, server: LoopbackApi, api: OpenEdxApi, course_id: str
    ) -> None:
        with pytest.raises(BadInputError, match="is no course id"):
            api.course_outline(course_id)
        assert server.seen == []

    def test_a_course_id_cannot_bring_a_query(self, server: LoopbackApi, api: OpenEdxApi) -> None:
        with pytest.raises(MissingObjectError):
            api.course_outline("a?b=c#d")
        assert server.seen[-1].path.endswith("/course_outline/a%3Fb%3Dc%23d")

"""The session of a client of the Open edX API: tokens, retries, time limits, budget."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.openedx_api import ApiCredentials, ApiSession, Clock, OpenEdxApi, Timeouts
from ol_orchestrate.lib.openedx_api.transport import PATIENCE, retry_after
from ol_orchestrate.testing.loopback_api import (
    LISTING,
    TOKEN_PATH,
    FakeTime,
    LoopbackApi,
    Reply,
    Seen,
    credentials,
    keys_of,
    page,
    serving_api,
)


def assert_growing(pauses: list[float]) -> None:
    """Four pauses, each at most twice as long as the one before, and at least half of that."""
    most = [0.5, 1.0, 2.0, 4.0]
    assert len(pauses) == len(most)
    assert all(long / 2 <= pause <= long for pause, long in zip(pauses, most, strict=True))


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
        with serving_api() as gone:
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

"""Listings and objects of the Open edX API, right and wrong ones."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc

import pytest
from pydantic import BaseModel

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.openedx_api import OpenEdxApi, Page
from ol_orchestrate.lib.openedx_api.transport import MAX_BODY
from ol_orchestrate.testing.loopback_api import (
    CLIENT_ID,
    LISTING,
    SECRET,
    TOKEN_PATH,
    LoopbackApi,
    Reply,
    Thing,
    credentials,
    keys_of,
    page,
    serving_api,
)


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

    @pytest.mark.parametrize("start", ["\ufeff", " \ufeff\n", "\n"])
    @pytest.mark.parametrize("kind", ["application/json", "text/html"])
    def test_records_of_a_page_are_not_quoted_whatever_stands_before_them(
        self, server: LoopbackApi, api: OpenEdxApi, start: str, kind: str
    ) -> None:
        body = f'{start}{{"count": 1, "results": [{{"note": "hidden@learner.example"}}]}}x'.encode()
        server.on(LISTING, Reply(body, headers={"Content-Type": kind}))
        with pytest.raises(BadInputError, match=f"status 200, but not a page.*{len(body)} bytes") as caught:
            keys_of(api)
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize(
        ("answer", "quoted"),
        [
            ({"email": "hidden", "detail": "No permission"}, "it says 'No permission'"),
            ({"error": "invalid", "error_description": "Too late", "user": "hidden"}, "it says 'invalid: Too late'"),
            ({"detail": {"email": "hidden"}}, "31 bytes"),
            ([{"detail": "hidden"}], "22 bytes"),
            (b'\xef\xbb\xbf{"email": "hidden", "no', "26 bytes"),
            (b"[" * 100_000, "100,000 bytes"),
        ],
    )
    def test_of_an_error_in_json_only_the_reason_is_quoted(
        self, server: LoopbackApi, api: OpenEdxApi, answer: object, quoted: str
    ) -> None:
        server.on(LISTING, Reply(answer, status=403))
        with pytest.raises(AccessRefusedError, match=rf"status 403.*; {quoted}\)") as caught:
            keys_of(api)
        assert "hidden" not in str(caught.value)

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
        with serving_api() as other:
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

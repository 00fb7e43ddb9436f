"""The responses of S3 if something is wrong, and the number of requests."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from time import sleep
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib import retrying
from ol_orchestrate.lib.errors import (
    BadInputError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.stores import ObjectStore, open_store
from ol_orchestrate.lib.stores.path import StorePath
from ol_orchestrate.lib.stores.response_errors import WrongRegionError
from ol_orchestrate.lib.stores.s3_store import S3Store
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, ScriptedServer, serving
from ol_orchestrate.testing.store_answers import DATA, OPERATIONS, s3_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_pause", "aws_environment")


FINAL = {
    "an expired token": (s3_error(400, "ExpiredToken"), "AWS_SESSION_TOKEN"),
    "a bad digest": (s3_error(400, "BadDigest"), "proxy|AWS_REGION"),
    "a redirect without a region": (s3_error(301, "PermanentRedirect"), "AWS_REGION"),
    "a temporary redirect": (Response(307, b"", {}), "AWS_REGION"),
    "a method that is not allowed": (s3_error(405, "MethodNotAllowed"), "AWS_ENDPOINT_URL"),
    "a conflict": (s3_error(409, "OperationAborted"), "AWS_ENDPOINT_URL"),
    "a refusal": (s3_error(403, "AccessDenied"), "credentials"),
    "a wrong clock": (s3_error(403, "RequestTimeTooSkewed"), "clock|credentials"),
}


@pytest.mark.parametrize("operation", ["find", "write", "read", "list"])
@pytest.mark.parametrize("case", FINAL)
def test_a_final_answer_of_s3_is_asked_for_once_and_names_what_to_set(
    case: str, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    answer, named = FINAL[case]
    with serving(lambda _: answer) as server, pytest.raises(PipelineError, match=named) as caught:
        OPERATIONS[operation](s3_at(server))
    assert not caught.value.is_transient
    assert "s3://bucket/lake" in str(caught.value)
    # What can be a wrong region is followed by one question for the right one.
    for_the_region = [request for request in server.requests if (request.method, request.path) == ("HEAD", "/bucket")]
    assert len(server.requests) - len(for_the_region) == 1
    assert len(for_the_region) <= (1 if answer.status in {301, 307, 400} else 0)


@pytest.mark.parametrize("operation", ["write", "list"])
@pytest.mark.parametrize("status", [408, 425, 429, 501, 503, 0])
def test_an_answer_of_s3_that_may_pass_is_asked_for_a_few_times(
    status: int, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: Response(status)) as server, pytest.raises(ServiceError):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) == retrying.RETRIES + 1


@pytest.mark.parametrize("operation", ["read", "list"])
def test_a_refused_connection_may_pass(operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    with serving(lambda _: Response(503)) as server:
        store = s3_at(server)
    with pytest.raises(ServiceError, match=r"s3://bucket.*Check AWS_REGION and AWS_ENDPOINT_URL, and the network"):
        OPERATIONS[operation](store)


def test_a_listing_that_breaks_off_is_asked_for_again(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    store, broken = ScriptedS3(), [True]

    def script(request: Request) -> Response:
        response = store(request)
        if not broken or "list-type" not in request.query:
            return response
        broken.clear()
        return replace(response, body=response.body[:-9], length=len(response.body))

    with serving(script) as server:
        s3_at(server).write("key", b"content")
        assert [found.key for found in s3_at(server).list()] == ["key"]
    assert not broken


def test_an_answer_that_passes_does_no_harm(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    store = ScriptedS3()
    failures = [503, 429, 408, 0]

    def script(request: Request) -> Response:
        return Response(failures.pop()) if failures else store(request)

    with serving(script) as server:
        s3_at(server).write("key", b"content")
        failures += [500, 425]
        assert b"".join(s3_at(server).read("key")) == b"content"


def test_a_missing_bucket_is_final_and_asked_for_once(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    for operation in ("write", "list"):
        with (
            serving(lambda _: s3_error(404, "NoSuchBucket")) as server,
            pytest.raises(MissingObjectError, match=r"no such bucket\. Create it"),
        ):
            OPERATIONS[operation](s3_at(server))
        assert len(server.requests) == 1


def test_a_large_upload_to_a_missing_bucket_is_final(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    with serving(lambda _: s3_error(404, "NoSuchBucket")) as server, pytest.raises(MissingObjectError, match="bucket"):
        s3_at(server).write("key", bytes(20 << 20))
    assert len(server.requests) == 2


def test_a_source_that_always_breaks_at_the_same_byte_is_given_up_soon(
    s3_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    broken_at = 2 << 20

    def script(request: Request) -> Response:
        headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
        if request.method == "HEAD":
            return Response(200, b"", headers, length=len(DATA))
        start = int(request.headers.get("range", "bytes=0-")[6:].partition("-")[0])
        status = 206 if "range" in request.headers else 200
        headers["Content-Range"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        return Response(status, DATA[start:broken_at], headers, length=len(DATA) - start)

    with serving(script) as server, pytest.raises(ServiceError):
        list(s3_at(server).read("key"))
    gets = [request for request in server.requests if request.method == "GET"]
    # Once more than without progress: the first connection brings some.
    assert len(gets) <= retrying.RETRIES + 3
    assert len(server.requests) == len(gets) + 1


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
@pytest.mark.parametrize("operation", ["find", "read"])
def test_an_answer_without_what_the_protocol_requires_is_final(
    header: str, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
    del headers[header]
    with (
        serving(lambda _: Response(200, b"1", headers)) as server,
        pytest.raises(PermanentServiceError, match=f"has no {header}.*AWS_ENDPOINT_URL"),
    ):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("operation", ["find", "read"])
def test_an_answer_of_s3_without_a_length_is_final(
    operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
    with (
        serving(lambda _: Response(200, b"1", headers, chunked=True)) as server,
        pytest.raises(PermanentServiceError, match="has no Content-Length"),
    ):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) == 1


class ElsewhereS3:
    """A bucket in another region, which each refusal names."""

    def __init__(self) -> None:
        self.store = ScriptedS3()
        self.refused = 0

    def __call__(self, request: Request) -> Response:
        region = re.search(r"/\d{8}/([^/]+)/s3/", request.headers.get("authorization", ""))
        if region is None or region[1] != "eu-west-1":
            self.refused += 1
            return s3_error(301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-1"})
        return self.store(request)


@pytest.mark.parametrize("size", [3, 20 << 20])
def test_a_bucket_in_another_region_is_found_by_its_answer(
    size: int, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    bucket = ElsewhereS3()
    content = os.urandom(size)
    with serving(bucket) as server:
        s3_at(server).write("written", content)
        assert b"".join(s3_at(server).read("written")) == content
        assert s3_at(server).find("written") is not None
        with StorePath.of(s3_at(server), "written").open("rb") as file:
            assert file.read() == content
        store = s3_at(server)
        assert store.find("nothing") is None
        before = bucket.refused
        store.write("again", content)
        store.find("again")
        store.delete("again")
        assert bucket.refused == before, "the region is found out once"


def test_a_region_that_is_not_told_is_asked_for_once_for_many_objects(
    s3_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    with serving(lambda _: s3_error(301, "PermanentRedirect")) as server, ThreadPoolExecutor(8) as threads:
        store = s3_at(server)
        refused = list(threads.map(lambda number: failure_of_writing(store, f"key-{number}"), range(24)))
    assert set(map(type, refused)) == {WrongRegionError}
    asked = Counter((request.method, request.path) for request in server.requests)
    assert asked.pop(("HEAD", "/bucket")) == 1
    assert len(asked) == 24
    assert set(asked.values()) == {1}


def test_threads_that_ask_first_share_one_connection(
    s3_at: Callable[[ScriptedServer], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = S3Store._make_store, []  # noqa: SLF001 - no other place is slow enough

    def make_slowly(store: S3Store) -> object:
        made.append(store)
        sleep(0.2)
        return make(store)

    monkeypatch.setattr(S3Store, "_make_store", make_slowly)
    with serving(ScriptedS3()) as server, ThreadPoolExecutor(4) as threads:
        store = s3_at(server)
        assert [*threads.map(store.find, ["a", "b", "c", "d"])] == [None] * 4
    assert len(made) == 1


def failure_of_writing(store: ObjectStore, key: str) -> PipelineError | None:
    try:
        store.write(key, b"content")
    except PipelineError as error:
        return error
    return None


@pytest.mark.parametrize("answer", [Response(503), Response(0, reset=True)])
def test_a_region_is_asked_for_again_after_an_answer_that_may_pass(
    answer: Response, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    bucket, failures = ElsewhereS3(), [answer]

    def script(request: Request) -> Response:
        # The one that names the region is taken away from the upload, as proxies do.
        response = bucket(request)
        if request.method == "HEAD":
            return failures.pop() if failures else response
        return replace(response, headers={}) if response.status == HTTPStatus.MOVED_PERMANENTLY else response

    with serving(script) as server:
        s3_at(server).write("key", b"content")
        assert b"".join(s3_at(server).read("key")) == b"content"
    assert not failures


class LeftUploads:
    """A bucket with an upload of last week and one of this hour."""

    def __init__(self) -> None:
        self.aborted: list[str] = []

    def __call__(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.aborted.append(f"{request.path}?{request.query['uploadId']}")
            return Response(204)
        if "uploads" not in request.query or request.query["prefix"] != "lake/":
            return s3_error(403, "AccessDenied")
        now = datetime.now(UTC)
        uploads = "".join(
            f"<Upload><Key>lake/{name}</Key><UploadId>{name}</UploadId>"
            f"<Initiated>{at:%Y-%m-%dT%H:%M:%S}.000Z</Initiated></Upload>"
            for name, at in (("old", now - timedelta(days=7)), ("young", now - timedelta(hours=1)))
        )
        return Response(200, f"<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>".encode())


def test_old_uploads_of_killed_runs_are_aborted_and_young_ones_are_left(
    s3_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    script = LeftUploads()
    with serving(script) as server:
        said = s3_at(server).abort_old_uploads()
    assert said == "Uploads that killed runs left below s3://bucket/lake, aborted: 1"
    assert script.aborted == ["/bucket/lake/old?old"]


@pytest.mark.parametrize("status", [403, 501])
def test_a_store_that_lists_no_uploads_is_asked_once_and_the_lifecycle_rule_is_named(
    status: int, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: s3_error(status, "AccessDenied")) as server:
        said = s3_at(server).abort_old_uploads()
    assert said is not None
    assert "AbortIncompleteMultipartUpload" in said
    assert len(server.requests) == 1


def test_in_a_whole_bucket_only_the_uploads_of_a_folder_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    script = LeftUploads()
    with serving(script) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        store = open_store("s3://bucket")
        assert store.abort_old_uploads() is None
        assert server.requests == []
        said = store.abort_old_uploads("lake")
    assert said == "Uploads that killed runs left below s3://bucket/lake, aborted: 1"
    assert script.aborted == ["/bucket/lake/old?old"]


def test_a_bucket_without_left_uploads_has_nothing_to_say(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    listing = Response(200, b"<ListMultipartUploadsResult/>")
    with serving(lambda _: listing) as server:
        assert s3_at(server).abort_old_uploads() is None


@pytest.mark.parametrize("operation", ["list", "delete"])
@pytest.mark.parametrize("status", [400, 401, 405])
def test_an_error_of_s3_without_a_name_is_final(
    status: int, operation: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: s3_error(status, "", message="")) as server:
        store = s3_at(server)
        with pytest.raises(PipelineError) as raised:
            list(store.list()) if operation == "list" else store.delete("a.txt")
    assert not raised.value.is_transient
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b"<html>Sign in to this network</html>", b"", b"Sign in", b"<!DOCTYPE html><html><br>", b'{"a": 1}', b"<a"]
)
def test_a_page_instead_of_a_listing_of_s3_is_final_and_no_empty_listing(
    body: bytes, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with serving(lambda _: Response(200, body, {"Content-Type": "text/html"})) as server:
        store = s3_at(server)
        with pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"):
            list(store.list())
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"", b"Sign in", b"<!DOCTYPE html><html><br>", b'{"a": 1}', b"<a"])
def test_text_instead_of_a_listing_of_a_folder_is_final(
    body: bytes, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    with (
        serving(lambda _: Response(200, body)) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        s3_at(server).list_folder("folder")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "page",
    [
        "<Contents><Key>a</Key><Size>many</Size><LastModified>2024-01-01T00:00:00Z</LastModified><ETag>e</ETag></Contents>",
        "<Contents><Key>a</Key><Size>1</Size><LastModified>never</LastModified><ETag>e</ETag></Contents>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken>the same</NextContinuationToken>",
    ],
    ids=["size", "time", "endless"],
)
def test_a_listing_of_s3_that_cannot_be_read_is_final(
    page: str, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    body = f"<ListBucketResult><Name>bucket</Name>{page}</ListBucketResult>".encode()
    with (
        serving(lambda _: Response(200, body)) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        list(s3_at(server).list())
    assert len(server.requests) <= 2


@pytest.mark.parametrize("header", [{"Last-Modified": "never"}, {"ETag": ""}, {"ETag": '"\xe9"'}])
@pytest.mark.parametrize("operation", ["find", "read"])
def test_a_header_of_s3_that_cannot_be_read_is_final(
    operation: str, header: dict[str, str], s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT", **header}
    with (
        serving(lambda _: Response(200, b"1", headers)) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        OPERATIONS[operation](s3_at(server))
    assert len(server.requests) <= (2 if operation == "read" else 1)


def test_a_listing_of_s3_with_a_status_of_another_kind_of_response_is_final(
    s3_at: Callable[[ScriptedServer], ObjectStore],
) -> None:
    with (
        serving(lambda _: Response(202, b"Sign in")) as server,
        pytest.raises(PermanentServiceError, match="AWS_ENDPOINT_URL"),
    ):
        list(s3_at(server).list())
    assert len(server.requests) == 1


def test_a_source_that_answers_without_a_byte_is_given_up_soon(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    def script(request: Request) -> Response:
        headers = {"ETag": '"abc"', "Last-Modified": "Thu, 01 Feb 2024 00:00:00 GMT"}
        return Response(200, b"", headers, length=3 if request.method == "HEAD" else None)

    with serving(script) as server, pytest.raises(ServiceError, match="ended at byte 0 of 3"):
        list(s3_at(server).read("key"))
    assert len(server.requests) == 1 + retrying.RETRIES + 1


def test_an_error_of_s3_in_an_answer_that_began_well_may_pass(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    answers = [
        s3_error(200, "InternalError"),
        Response(200, b"<ListBucketResult><Name>bucket</Name></ListBucketResult>"),
    ]
    with serving(lambda _: answers.pop(0)) as server:
        assert list(s3_at(server).list()) == []
    assert len(server.requests) == 2


def test_a_bucket_that_cannot_be_named_so_is_final(s3_at: Callable[[ScriptedServer], ObjectStore]) -> None:
    with serving(lambda _: Response()) as server:
        s3_at(server)
        with pytest.raises(BadInputError, match="Invalid bucket name"):
            list(open_store("s3://bad bucket/lake").list())
    assert not server.requests


@pytest.mark.parametrize("operation", ["list", "delete", "write"])
@pytest.mark.parametrize("kept", ["environment", "service"])
def test_keys_that_s3_repeats_are_in_no_message(
    operation: str, kept: str, monkeypatch: pytest.MonkeyPatch, s3_at: Callable[[ScriptedServer], ObjectStore]
) -> None:
    key, token = f"key/{os.urandom(9).hex()}", f"token/{os.urandom(9).hex()}=="
    keys = {"AccessKeyId": "A", "SecretAccessKey": key, "Token": token, "Expiration": "2099-01-01T00:00:00Z"}

    def answer(request: Request) -> Response:
        if request.path == "/keys":
            return Response(200, json.dumps(keys).encode(), {"Content-Type": "application/json"})
        return s3_error(400, "InvalidToken", message=f"{request.headers['x-amz-security-token']} of {key} is wrong")

    with serving(answer) as server:
        if kept == "service":
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        else:
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
            monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        store = s3_at(server)
        with pytest.raises(PermanentServiceError, match="is wrong") as raised:
            OPERATIONS[operation](store)
    assert key not in str(raised.value)
    assert token not in str(raised.value)


@pytest.mark.parametrize("operation", ["find", "list"])
def test_an_endpoint_with_a_password_in_a_profile_is_refused_before_it_is_asked(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://user:canary@127.0.0.1:1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(BadInputError, match="is refused") as raised:
        OPERATIONS[operation](open_store("s3://bucket/lake"))
    assert "canary" not in str(raised.value)

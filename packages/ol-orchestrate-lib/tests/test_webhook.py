"""Signed messages, and templates of messages."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.errors import AccessRefusedError, PermanentServiceError, ServiceError
from ol_orchestrate.lib.json_template import JsonTemplate, fill_url
from ol_orchestrate.lib.openedx_api import Clock
from ol_orchestrate.lib.vault_client import field_of
from ol_orchestrate.lib.webhook import send_signed
from ol_orchestrate.testing.scripted import Request, Response, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from ol_orchestrate.lib.errors import PipelineError

SECRET = "a secret of both sides"  # noqa: S105
MESSAGE = '{"x":"é \u2028"}'.encode()
NO_PAUSE = Clock(sleep=lambda _: None)


def send(url: str) -> int:
    return send_signed(MESSAGE, url=url, header="X-Signature", secret=SECRET, clock=NO_PAUSE)


def test_the_bytes_that_arrive_are_those_that_are_signed() -> None:
    with serving(lambda _: Response(202)) as server:
        assert send(f"{server.url}/hook/") == 202
    (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook/", MESSAGE)
    assert request.headers["x-signature"] == hmac.new(SECRET.encode(), MESSAGE, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [
        (400, PermanentServiceError, 1),
        (401, AccessRefusedError, 1),
        (403, AccessRefusedError, 1),
        (404, PermanentServiceError, 1),
        (405, PermanentServiceError, 1),
        (425, PermanentServiceError, 1),
        (499, PermanentServiceError, 1),
        (408, ServiceError, 5),
        (429, ServiceError, 5),
        (500, ServiceError, 5),
        (0, ServiceError, 5),
    ],
)
def test_only_what_may_pass_is_sent_again(status: int, error: type[PipelineError], requests: int) -> None:
    with serving(lambda _: Response(status)) as server:
        with pytest.raises(error, match=f"POST {server.url}/hook: ") as caught:
            send(f"{server.url}/hook")
        assert SECRET not in str(caught.value)
    assert len(server.requests) == requests


def test_a_redirect_is_not_followed_and_its_target_is_named() -> None:
    def answer(request: Request) -> Response:
        return Response(
            307, headers={"Location": "https://other.example/x?token=secret"} if request.path == "/" else {}
        )

    with serving(answer) as server, pytest.raises(PermanentServiceError, match=r"307\. It redirects to https://other"):
        send(f"{server.url}/")
    assert len(server.requests) == 1


def never() -> str:
    raise AssertionError("nobody asked for this value")


VALUES: dict[str, Callable[[], str | int]] = {"name": lambda: 'a/"b"', "count": lambda: 7, "unused": never}


def test_a_name_alone_becomes_the_value_and_in_a_text_its_spelling() -> None:
    template = JsonTemplate.parse('[{"{name}": "{name}", "n": "{count}", "t": "{count} of {name}"}, null, 1.5]', VALUES)
    assert template.fill(VALUES) == b'[{"{name}":"a/\\"b\\"","n":7,"t":"7 of a/\\"b\\""},null,1.5]'


def test_a_value_in_an_address_stays_one_part_of_its_path() -> None:
    assert fill_url("https://x.example/{name}/{count}", VALUES) == "https://x.example/a%2F%22b%22/7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON"),
        ("[NaN]", "it is no JSON"),
        ("[1e999]", "it is no JSON"),
        ("[" * 99999, "nested too deeply"),
        ('"{other}"', r"\{other\}: it can be \{name\}"),
    ],
)
def test_a_wrong_template_is_an_error_that_lists_the_names(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        JsonTemplate.parse(text, VALUES)


def test_a_field_can_be_inside_another_one() -> None:
    assert field_of({"learn": {"token": "x"}}, "learn.token", "path") == "x"
    assert field_of({"learn.token": "y", "learn": {"token": "x"}}, "learn.token", "path") == "y"
    for secret in ({}, {"learn": "x"}, {"learn": {"token": 1}}, {"learn": {"token": ""}}):
        with pytest.raises(AccessRefusedError, match="secret at/path has no field learn"):
            field_of(secret, "learn.token", "at/path")

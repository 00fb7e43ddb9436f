"""Credentials of the Open edX API, which are shown nowhere."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    PipelineError,
)
from ol_orchestrate.lib.openedx_api import ApiCredentials, OpenEdxApi
from ol_orchestrate.testing.loopback_api import (
    CLIENT_ID,
    LISTING,
    SECRET,
    TOKEN_PATH,
    LoopbackApi,
    Reply,
    Seen,
    credentials,
    keys_of,
)


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

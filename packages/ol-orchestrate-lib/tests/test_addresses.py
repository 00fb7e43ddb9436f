"""Addresses that hold credentials are refused, and not repeated."""

from __future__ import annotations

from typing import Any

import pytest

from ol_orchestrate.io_managers.filepath import FileObjectIOManager
from ol_orchestrate.lib.addresses import origin_of, refuse_credentials
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.stores import open_store, split_url
from ol_orchestrate.resources.openedx import OpenEdxApiClient
from ol_orchestrate.resources.secrets.vault import Vault

VARIABLES: dict[str, Any] = {"client_id_variable": "ID", "client_secret_variable": "SECRET"}

CREDENTIALS = {
    "https://user:hidden@vault.example:8200/x": "'https://…@vault.example:8200/x'",
    "https://hidden@vault.example": "'https://…@vault.example'",
    "HTTPS://user:hidden@vault.example": "'HTTPS://…@vault.example'",
    "https:/user:hidden@vault.example": "'https:/…@vault.example'",
    "https://user:hid?den@vault.example": "'https://…'",
    "https://user:hid/den@vault.example": "'https://…@vault.example'",
    "https://user:hid@den@vault.example": "'https://…@vault.example'",
    "user:hidden@localhost:4443": "'…@localhost:4443'",
    "https://bucket.example/a.tar.gz?X-Amz-Signature=hidden": "'https://bucket.example/a.tar.gz'",
    "https://bucket.example/a?mail=a@b&sig=hidden": "'https://…'",
    "https://bucket.example/a#hidden": "'https://bucket.example/a'",
    "s3://AKIA:hidden@bucket/a": "'s3://…@bucket/a'",
    "s3://AKIA:hid/den+@bucket/a": "'s3://…@bucket/a'",
    "s3://AKIA:hidden/a": "'s3://…'",
    "gs://hidden@bucket/a": "'gs://…@bucket/a'",
    "s3://bucket/a?AWSAccessKeyId=x&Signature=hidden": "'s3://bucket/a'",
    "gs://bucket/a?x=1&X-Goog-Signature=hidden": "'gs://bucket/a'",
    "file://user:hidden@host/a": "'file://…@host/a'",
    "file:///folder/a?access_token=hidden": "'file:///folder/a'",
    "s3://AKIA%3Ahid%2Fden%40bucket/a": "'s3://…@bucket/a'",
    "s3://AKIA%253Ahidden%2540bucket/a": "'s3://…@bucket/a'",
    "s3://bucket/a%3FX-Amz-Signature%3Dhidden": "'s3://bucket/a'",
    "s3://bucket/a;sig=hidden": "'s3://bucket/a'",
    "https://bucket.example/a;sig=hidden": "'https://bucket.example/a'",
    "https://bucket.example/a&hmac=hidden": "'https://bucket.example/a'",
    "https://bucket.example/sig%3Dhidden": "'https://bucket.example/sig'",
    "https://vault.example:hidden/path": "'https://…'",
    "https://vault.example%3Ahidden/path": "'https://…'",
    "https://user:x@vault.example:hidden/path": "'https://…'",
    "https://vault.example:8200hidden": "'https://…'",
    " 'https://vault.example:hidden'": "'https://…'",
    "localhost:hidden": "'…'",
}


@pytest.mark.parametrize("address", CREDENTIALS)
def test_an_address_with_credentials_is_refused_without_repeating_them(address: str) -> None:
    for refuse in (refuse_credentials, split_url, open_store):
        with pytest.raises(BadInputError, match=r"a user, a password, a query, .*, and is refused") as caught:
            refuse(address)
        assert CREDENTIALS[address] in str(caught.value)
        assert not [part for part in ("hid", "den@", "AKIA", "user:") if part in str(caught.value)]


@pytest.mark.parametrize(
    "address",
    [
        "https://vault.example:8200/path",
        "http://127.0.0.1:4443",
        "http://[::1]:4443",
        "localhost:4443",
        "s3://bucket/a@b/c?d=e#f",
        "gs://bucket/prefix:x",
        "file:///folder/user:name@host/c?d",
        "",
    ],
)
def test_an_address_without_credentials_is_taken_as_it_is(address: str) -> None:
    assert FileObjectIOManager(url=address).url == address


def test_the_message_of_a_refused_address_begins_with_the_variables_name() -> None:
    with pytest.raises(BadInputError, match=r"^VAULT_ADDR: the address 'https://…@h'"):
        refuse_credentials("https://u:p@h", "VAULT_ADDR")


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("https://user:hidden@h.example:8200/x?hidden", "https://h.example:8200"),
        ("//h.example/hidden", "http://h.example"),
        ("https://hid/den@h.example/x", "an unreadable address"),
        ("/path?hidden", "another path"),
        ("http://[hidden", "an unreadable address"),
        ("", "another path"),
    ],
)
def test_a_redirects_target_is_shown_by_its_origin(target: str, shown: str) -> None:
    assert origin_of(target) == shown


@pytest.mark.parametrize(
    "build",
    [
        lambda address: Vault(address=address),
        lambda address: OpenEdxApiClient(base_url=address, **VARIABLES),
        lambda address: OpenEdxApiClient(base_url="https://h", token_url=address, **VARIABLES),
        lambda address: FileObjectIOManager(url=address.replace("https", "s3")),
    ],
)
def test_a_resource_with_credentials_in_its_address_cannot_be_made(build) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    with pytest.raises(BadInputError, match="is refused") as caught:
        build("https://user:hidden@vault.example")
    assert "hidden" not in repr(caught.value)

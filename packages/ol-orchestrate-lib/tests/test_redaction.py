"""Texts, errors and log records without the secrets that were read."""

from __future__ import annotations

import html
import json
import logging
import os
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol_orchestrate.lib.redaction import MASK, redact, remember_secrets, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable


def in_lines(text: str, end: str) -> str:
    return end.join(text[start : start + 13] for start in range(0, len(text), 13))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "a URL": lambda value: quote(value, safe=""),
    "a URL in lower case": lambda value: quote(value, safe="").lower(),
    "a form": quote_plus,
    "JSON": lambda value: json.dumps(value)[1:-1],
    "HTML": html.escape,
    "HTML by numbers": lambda value: "".join(c if c.isalnum() else f"&#{ord(c)};" for c in value),
    "HTML by hexadecimal numbers": lambda value: "".join(c if c.isalnum() else f"&#x{ord(c):02X};" for c in value),
    "XML": lambda value: html.escape(value).replace("&#x27;", "&apos;"),
    "JSON of Go": lambda value: (
        json.dumps(value)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    ),
    "JSON of .NET": lambda value: "".join(c if c.isalnum() else f"\\u{ord(c):04X}" for c in value),
    "JSON within JSON": lambda value: json.dumps(json.dumps(value)[1:-1])[1:-1],
    "JSON within HTML": lambda value: html.escape(json.dumps(value)[1:-1]),
    "HTML within HTML": lambda value: html.escape(html.escape(value)),
    "a URL within a URL": lambda value: quote(quote(value, safe=""), safe=""),
    "Python's bytes": lambda value: repr(value.encode())[2:-1],
    "a Python literal": lambda value: repr(value)[1:-1],
    "Base64": lambda value: b64encode(value.encode()).decode(),
    "Base64 after a user": lambda value: b64encode(f"user:{value}".encode()).decode(),
    "Base64 before a host": lambda value: b64encode(f"{value}@host".encode()).decode(),
    "Base64 for URLs": lambda value: urlsafe_b64encode(f"id:{value}".encode()).decode(),
    "Base64 in lines": lambda value: in_lines(b64encode(f"id:{value}".encode()).decode(), "\r\n  "),
    "Base64 in lines within JSON": lambda value: in_lines(b64encode(f"id:{value}".encode()).decode(), "\\n"),
    "Base64 within a URL": lambda value: quote(b64encode(f"{value}@host".encode()).decode(), safe=""),
    "hexadecimal digits": lambda value: value.encode().hex(),
    "hexadecimal digits in upper case": lambda value: value.encode().hex().upper(),
    "hexadecimal digits in pairs": lambda value: value.encode().hex(":"),
    "hexadecimal digits in lines": lambda value: in_lines(value.encode().hex(), "\n"),
    "JSON by nothing but numbers": lambda value: "".join(f"\\u{ord(c):04x}" for c in value),
    "JSON by nothing but numbers within JSON": lambda value: "".join(f"\\\\u{ord(c):04X}" for c in value),
    "JavaScript by nothing but numbers": lambda value: "".join(f"\\u{{{ord(c):x}}}" for c in value),
    "Python by nothing but numbers": lambda value: "".join(f"\\x{byte:02x}" for byte in value.encode()),
    "HTML by nothing but numbers": lambda value: "".join(f"&#{ord(c)};" for c in value),
    "a URL by nothing but numbers": lambda value: "".join(f"%{byte:02x}" for byte in value.encode()),
    "JSON within a URL": lambda value: quote(json.dumps(value)[1:-1], safe=""),
    "lines of a screen": lambda value: in_lines(value, "\n"),
}


def canary() -> str:
    return f"{secrets.token_hex(6)}+/=\"'<ключ>&{secrets.token_hex(6)}"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_taken_out_however_it_is_spelled(spelling: str) -> None:
    value = canary()
    spelled = SPELLINGS[spelling](value)
    assert spelled in redact(f"echo of {spelled} here"), "nothing is hidden that was not read as a secret"
    remember_secrets(value)
    shown = redact(f"echo of {spelled} here")
    assert value[:12].lower() not in shown.lower()
    assert value[-12:].lower() not in shown.lower()
    assert len(shown) < 40, "of Base64, only what mixes with the text around it is left"
    assert shown.startswith("echo of ")
    assert shown.endswith(" here")


@given(
    st.text(min_size=6, max_size=40).filter(lambda text: text.strip() == text and "\n" not in text and "\\" not in text)
)
def test_any_text_of_six_characters_can_be_a_secret(value: str) -> None:
    remember_secrets(value)
    for spell in (str, json.dumps, lambda value: quote(value, errors="replace")):
        assert value not in redact(f"({spell(value)})").replace(MASK, "")


def test_every_field_of_a_mapping_and_each_line_of_a_key_is_secret() -> None:
    lines = [secrets.token_urlsafe(48) for _ in range(3)]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
    pin = secrets.randbelow(10**12) + 10**12
    remember_secrets({"key": key, "inner": [{"pin": pin}]})
    told = redact(f"-----BEGIN PRIVATE KEY----- {lines[1]} {key!r} {pin}")
    assert not [line for line in [*lines, str(pin)] if line in told]
    assert "-----BEGIN PRIVATE KEY-----" in told, "a line that all keys have is none of the secret"


@pytest.mark.parametrize("short", ["", "abc", "12345", True, None])
def test_a_secret_as_short_as_a_word_is_not_taken_out(short: object) -> None:
    remember_secrets(short)
    assert redact(f"a word {short} abcdef 123456") == f"a word {short} abcdef 123456"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://user:hidden@host:8200/x", "at https://…@host:8200/x"),
        ("at s3://AKIA:hid/den@bucket/x", "at s3://…@bucket/x"),
        ("at https://host:hidden/x, at http://h:8200: refused", "at https://host:…/x, at http://h:8200: refused"),
        ("proxy http://hidden@proxy.example:3128", "proxy http://…@proxy.example:3128"),
        ("https://h/x?X-Amz-Signature=hidden&b=1", "https://h/x?X-Amz-Signature=…&b=1"),
        ("https://h/x?a=1&access_token=hidden", "https://h/x?a=1&access_token=…"),
        ("token eyJhbGciOiJSUzI1.eyJzdWIi.c2lnbmF0dXJl end", "token … end"),
        ("Proxy-Authorization: Basic dXNlcjpoaWRkZW4=, end", "Proxy-Authorization: Basic …, end"),
        ("{'authorization': 'Bearer hidden.4-_~+/'}", "{'authorization': 'Bearer …'}"),
        ("Basic Electronics, basic training", "Basic Electronics, basic training"),
        ("<Code>ExpiredToken</Code><Token-0>hidden</Token-0>", "<Code>ExpiredToken</Code><Token-0>…</Token-0>"),
        (
            "http://127.0.0.1:8200/a@b, mail@example.org, ?page=2",
            "http://127.0.0.1:8200/a@b, mail@example.org, ?page=2",
        ),
    ],
)
def test_an_unknown_text_in_the_form_of_a_credential_is_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_long_text_takes_no_long_time() -> None:
    remember_secrets(*(secrets.token_hex(16) for _ in range(200)))
    started = time.process_time()
    for piece in ("://a:b", "eyJ", "?token=x", "://", "a@", "word ", "%5c", "%25", "\\", "\\u004", "&#0", "&amp;"):
        redact(piece * 40_000)
    assert time.process_time() - started < 5


def raise_in_a_chain(value: str) -> None:
    try:
        os.environ[value]
    except KeyError as cause:
        error = RuntimeError(f"echo of {value}")
        error.add_note(f"note of {value}")
        raise error from cause


def test_an_error_has_its_name_and_traceback_and_no_secret_in_the_whole_chain() -> None:
    value = canary()
    remember_secrets(value)
    with pytest.raises(RuntimeError) as caught:
        raise_in_a_chain(value)
    shown = without_secrets(caught.value)
    assert (type(shown).__name__, str(shown)) == ("RuntimeError", f"echo of {MASK}")
    assert type(shown.__cause__).__name__ == "KeyError"
    assert shown.__traceback__ is caught.value.__traceback__
    assert value[:12] not in f"{shown!r} {shown.__cause__!r} {shown.__notes__}"
    harmless = ValueError("harmless")
    assert without_secrets(harmless) is harmless


def test_a_log_record_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    value = canary()
    remember_secrets(value)
    logger = logging.getLogger("somebody.elses.library")
    with caplog.at_level("INFO"):
        logger.warning("retrying %s of %d", value, 3)
        logger.warning("arguments that do not fit: %d", value)
        try:
            raise_in_a_chain(value)
        except RuntimeError:
            logger.exception("failed")
        logger.info("harmless %s", "text")
    assert value[:12] not in caplog.text + repr([record.__dict__ for record in caplog.records])
    assert f"retrying {MASK} of 3" in caplog.text
    assert "RuntimeError: echo of" in caplog.text
    assert "harmless text" in caplog.text


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_password_of_a_proxy_is_taken_out_as_soon_as_it_is_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = canary()
    spelled = [SPELLINGS[spelling](value) for spelling in ("as it is", "Base64")]
    assert value[:12] in redact(f"the proxy says {spelled}")
    monkeypatch.setenv(name, f"http://user:{quote(value, safe='')}@[proxy:port")
    shown = redact(f"the proxy says {spelled}")
    assert not [each for each in spelled if each[:12] in shown]


@pytest.mark.parametrize("password", ["p@ssCANARY", "p/a@ssCANARY", "p:a@ss/CANARY"])
def test_a_password_in_an_address_is_taken_out_whole(password: str) -> None:
    assert (
        redact(f"no answer of http://user:{password}@host/x, run again")
        == f"no answer of http://{MASK}@host/x, run again"
    )


def test_a_secret_of_backslashes_is_found_in_linear_time() -> None:
    value = "\\" * 40 + secrets.token_hex(6)
    remember_secrets(value)
    start = time.monotonic()
    shown = redact("\\" * 20_000 + value[-12:] + "x")
    assert time.monotonic() - start < 2
    assert len(shown) < 20_020


def test_a_text_that_ends_otherwise_than_a_secret_takes_no_long_time() -> None:
    begins = secrets.token_hex(12)
    remember_secrets(f"{begins}-end")
    text = f"{begins} and more"
    start = time.process_time()
    assert redact(text) == text
    assert time.process_time() - start < 2

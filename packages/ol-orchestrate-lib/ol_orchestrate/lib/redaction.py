"""Known secrets, and texts, errors and log records without them.

Code that reads a secret hands it to `remember_secrets`. Wherever text leaves the process (a failure or an event in
Dagster, a line in a log, the console of a command), `redact` takes out each value that is known by then, in the
spellings of URLs, JSON, HTML, Base64 and hexadecimal digits, in one line or several, and also what looks like a
credential without being known: a user or a signature in a URL, a header for a login, a JSON web token. Log records
need no call: from the first secret on, each new one is redacted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import traceback
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "…"

MIN_LENGTH = 6
"""Characters of the shortest value that is taken out. Shorter ones are part of too many words."""

MIN_LINE = 16
"""Characters of the shortest line that is taken out of a value of several lines, such as a private key, or of a value
that is itself broken into lines."""

MAX_KNOWN = 4096
"""Values that are kept; a process that lives for months sees a new token every hour, and the oldest have expired."""

CREDENTIAL_PARAMETER = (
    r"(?:sig|auth(?:orization)?|hmac|jwt|pwd|awsaccesskeyid|googleaccessid"
    r"|[\w-]*(?:signature|credentials?|token|secret|passw(?:or)?d|api[_-]?key|access[_-]?key))"
)
"""Names of parameters in the query of a URL that give access to every holder of the URL."""

_LOOKS_SECRET = (
    # A user before a host; the second form is for a password with slashes, which is no port.
    (
        re.compile(r"(?<=://)[^\s/?#@:]{0,512}:(?!\d{1,5}(?:[/?#]|$))[^\s]{0,512}@|(?<=://)[^\s/?#]{1,512}@"),
        f"{MASK}@",
    ),
    # What follows a host and is no port.
    (re.compile(r"(?<=://)([^\s/?#@:\[]{1,512}:)(?!\d{1,5}\b)[^\s/?#\"'<>,)]+"), rf"\g<1>{MASK}"),
    (re.compile(rf"([?&;]{CREDENTIAL_PARAMETER}=)[^&;\s\"'<>]+", re.IGNORECASE), rf"\g<1>{MASK}"),
    # Ordinary words follow Basic, too, but none with a digit or a sign of Base64.
    (re.compile(r"(\b(?:Basic|Bearer|Negotiate) +)(?=[\w.~-]*[\d=+/])[\w.~+/-]{8,}=*", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*)*"), MASK),
    # S3 repeats an expired session token in its response.
    (re.compile(r"(<Token-\d>)[^<]+"), rf"\g<1>{MASK}"),
)


_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")

_NAMES_IN_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}

_BACKSLASHES = r"(?:\\{1,16}+|(?:%(?:25)*5c){1,16}+)?"
"""Before a character that is spelled in JSON within JSON within Python, or in JSON within a URL."""

_ESCAPED = re.compile(
    r"(?:(?<!\\)\\++|(?:%(?:25)*5c){1,4}+)(?:u\{0*([0-9a-f]{1,6})\}|u([0-9a-f]{4})|x([0-9a-f]{2})|[nrt])"
    r"|%(?:25)*([0-9a-f]{2})|&(?:amp;)*#(?:x0*([0-9a-f]{1,6})|0*([0-9]{1,7}));",
    re.IGNORECASE | re.ASCII,
)
"""A character by its number, as JSON, Python, URLs and HTML have it, or the end of a line."""

_LETTER = re.compile(rf"{_ESCAPED.pattern}|[0-9a-z]", _ESCAPED.flags)

_NO_LETTERS = re.compile("[^0-9a-z]+")


@dataclass(frozen=True)
class _Secret:
    """A value, and the means to find it in a text in little time."""

    value: str
    rare: str = field(init=False)
    """Its longest run of characters that few spellings change, in lower case."""
    letters: tuple[str, ...] = field(init=False)
    """The letters and digits of what Base64 makes of it, at each of the three places within a group that it can start
    at, of its bytes in hexadecimal, and of itself where they are many; in lower case."""

    def __post_init__(self) -> None:
        """Prepare the search."""
        runs = re.findall("[A-Za-z0-9]+", self.value)
        object.__setattr__(self, "rare", max(runs, key=len, default="").lower())
        data = self.value.encode(errors="replace")
        itself = _letters_of(self.value)
        letters = [*map(_letters_of, _in_base64(data)), data.hex(), *([itself] if len(itself) >= MIN_LINE else [])]
        object.__setattr__(self, "letters", tuple(each for each in letters if len(each) >= MIN_LENGTH))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The value as it is, and as URLs, forms, JSON, HTML and Python spell it, in any mixture of these."""
        return re.compile("".join(map(_spelled, re.findall(r"\\+|[^\\]", self.value))), re.IGNORECASE)


_known: OrderedDict[str, _Secret] = OrderedDict()
_lock = Lock()
_guard: list[Any] = []
"""The factory of log records that redacts, once it is in place."""


def remember_secrets(*values: object) -> None:
    """Take these values out of all text that leaves from now on.

    Args:
        values: Text, or mappings and sequences whose texts and numbers are all secret. Values shorter than
            `MIN_LENGTH` are left out; of a text of several lines each line counts by itself.
    """
    lines = [line for value in values for line in _lines(value)]
    with _lock:
        for line in lines:
            _known.setdefault(line, _Secret(line))
            _known.move_to_end(line)
        while len(_known) > MAX_KNOWN:
            _known.popitem(last=False)
        if lines and not _guard:
            _guard.append(_redacting(logging.getLogRecordFactory()))
            logging.setLogRecordFactory(_guard[0])


def redact(text: str) -> str:
    """Return the text with `MASK` in the place of each known secret, and of each part that looks like one."""
    proxies = _passwords_in(*(os.environ.get(name, "") for name in _PROXIES))
    with _lock:
        known = sorted([*_known.values(), *proxies], key=lambda secret: len(secret.value), reverse=True)
    lower = f"{text}\n{_unescaped(text)}".lower()
    for secret in known:
        if secret.rare in lower:
            text = secret.pattern.sub(MASK, text)
    letters = _letters_of(_unescaped(text))
    if encoded := [each for secret in known for each in secret.letters if each in letters]:
        text = _without_letters(text, encoded)
    for pattern, replacement in _LOOKS_SECRET:
        text = pattern.sub(replacement, text)
    return text


@cache
def _passwords_in(*urls: str) -> tuple[_Secret, ...]:
    """Return the passwords of proxies, which the libraries that send them read from the variables by themselves."""
    # Not `urlsplit`, which refuses a URL with a wrong port or host.
    users = (url.rpartition("@")[0].rpartition("://")[2] for url in urls)
    passwords = {unquote(user.partition(":")[2]) for user in users}
    return tuple(_Secret(password) for password in passwords if len(password) >= MIN_LENGTH)


def without_secrets(error: BaseException) -> BaseException:
    """Return the error itself if it has nothing to hide, else one of the same name and traceback with redacted text.

    The chain of causes is treated alike. Raise the result `from` its own `__cause__`, so that the original does not
    come back as its context.
    """
    told = "".join(traceback.format_exception(error))
    return error if not isinstance(error, Exception) or redact(told) == told else _stand_in(error, set())


def _stand_in(error: BaseException, seen: set[int]) -> BaseException:
    seen.add(id(error))
    kind = type(error)
    named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    stand_in: BaseException = type(kind.__name__, (Exception,), named)(redact(str(error)))
    stand_in.__traceback__ = error.__traceback__
    for name in ("__cause__", "__context__"):
        other = getattr(error, name)
        if other is not None and id(other) not in seen:
            setattr(stand_in, name, _stand_in(other, seen))
    stand_in.__suppress_context__ = error.__suppress_context__
    for note in getattr(error, "__notes__", ()):
        stand_in.add_note(redact(str(note)))
    return stand_in


def _spelled(part: str) -> str:
    """Return a pattern for the spellings of a character in JSON, HTML, URLs and Python, once or within one another.

    Args:
        part: One character, or a run of backslashes, as a single one may belong to another spelling.
    """
    character = part[0]
    code = ord(character)
    data = character.encode(errors="replace")
    # Go, Java and .NET spell out in JSON what has a meaning in HTML.
    spellings = [
        r"%(?:25)*".join(["", *(f"{byte:02x}" for byte in data)]),
        rf"&(?:amp;)*#(?:0*{code}|x0*{code:x});",
        r"\\{1,16}+".join(f"x{byte:02x}" for byte in data),
        f"u{code:04x}",
        rf"u\{{0*{code:x}\}}",
    ]
    if character == "\\":
        count = len(part)
        return rf"(?:\\{{{count},{16 * count}}}+|(?:\\{{0,16}}+(?:{'|'.join(spellings)})){{{count}}})"
    if name := _NAMES_IN_HTML.get(character):
        spellings.append(f"&(?:amp;)*{name[1:]}")
    if character == " ":
        spellings.append(r"\+")
    spellings += map(re.escape, (json.dumps(character)[1:-1].lstrip("\\"), character))
    # Each once: two equal ones double the time at each character of a text that ends otherwise than the value.
    return f"{_BACKSLASHES}(?:{'|'.join(dict.fromkeys(spellings))})"


def _redacting(make: Any) -> Any:  # noqa: ANN401 - a factory of log records takes whatever `LogRecord` takes
    """Return a factory of log records whose message, arguments and error hold no secret."""

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401
        record: logging.LogRecord = make(*args, **kwargs)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit, which logging would print
            message = f"{record.msg} {record.args}"
            record.msg, record.args = message, ()
        shown = redact(message)
        if shown != message:
            record.msg, record.args = shown, ()
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            error = without_secrets(record.exc_info[1])
            record.exc_info = (type(error), error, record.exc_info[2])
        return record

    return factory


def _lines(value: object) -> Iterator[str]:
    """Yield the texts in a value that are long enough to be told from ordinary words."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _lines(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            yield from _lines(inner)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        # A key that went through a shell or a form often has its line ends spelled out.
        lines = [line.strip() for line in re.split(r"\n|\\n", str(value))]
        at_least = MIN_LENGTH if sum(map(bool, lines)) == 1 else MIN_LINE
        yield from (line for line in lines if len(line) >= at_least and not line.startswith("-----"))


def _in_base64(value: bytes) -> Iterator[str]:
    """Yield the characters of Base64 that depend on nothing but the value, at each place within a group."""
    for before in range(3):
        encoded = b64encode(bytes(before) + value).decode()
        first = (before * 8 + 5) // 6
        last = (before + len(value)) * 8 // 6
        yield encoded[first:last]


def _letters_of(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return _NO_LETTERS.sub("", text.lower())


def _unescaped(text: str) -> str:
    """Return the text with the ASCII characters that escapes stand for."""
    return _ESCAPED.sub(_stands_for, text)


def _stands_for(escape: re.Match[str]) -> str:
    number = next((each for each in escape.groups()[:5] if each), None)
    code = int(number, 16) if number else int(escape[6] or ord(" "))
    return chr(code) if code < 128 else " "  # noqa: PLR2004 - ASCII


def _without_letters(text: str, forms: list[str]) -> str:
    """Mask all that reads as one of the forms, if escapes are undone and only letters and digits count."""
    read = []
    spans = []
    for found in _LETTER.finditer(text):
        character = (found[0] if len(found[0]) == 1 else _stands_for(found)).lower()
        if _NO_LETTERS.fullmatch(character) is None:
            read.append(character)
            spans.append(found.span())
    letters = "".join(read)
    cuts = []
    for form in forms:
        at = letters.find(form)
        while at >= 0:
            cuts.append((spans[at][0], spans[at + len(form) - 1][1]))
            at = letters.find(form, at + len(form))
    shown = []
    position = 0
    for start, end in sorted(cuts):
        if start >= position:
            shown += [text[position:start], MASK]
        position = max(position, end)
    return "".join([*shown, text[position:]])

"""Known secrets, and texts, errors and log records without them.

Code that reads a secret hands it to `remember_secrets`. Wherever text leaves the process (a failure or an event in
Dagster, a line in a log, the console of a command), `redact` takes out each value that is known by then, in the
spellings of URLs, JSON, HTML and Base64, and also what looks like a credential without being known: a user or a
signature in a URL, a JSON web token. Log records need no call: from the first secret on, each new one is redacted.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "…"

MIN_LENGTH = 6
"""Characters of the shortest value that is taken out. Shorter ones are part of too many words."""

MIN_LINE = 16
"""The same for one line of a value of several lines, such as a private key."""

MAX_KNOWN = 4096
"""Values that are kept; a process that lives for months sees a new token every hour, and the oldest have expired."""

CREDENTIAL_PARAMETER = (
    r"(?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|awsaccesskeyid|googleaccessid"
    r"|signature|sig|[\w-]*(?:token|secret|passw(?:or)?d|api[_-]?key|access[_-]?key))"
)
"""Names of parameters in the query of a URL that give access to whoever has the URL."""

_LOOKS_SECRET = (
    # A user before a host; the second form is for a password with slashes, which is no port.
    (
        re.compile(r"(?<=://)[^\s/?#@:]{0,512}:(?!\d{1,5}(?:[/?#]|$))[^\s]{0,512}@|(?<=://)[^\s/?#]{1,512}@"),
        f"{MASK}@",
    ),
    (re.compile(rf"([?&;]{CREDENTIAL_PARAMETER}=)[^&;\s\"'<>]+", re.IGNORECASE), rf"\g<1>{MASK}"),
    (re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*)*"), MASK),
    # S3 repeats an expired session token in its answer.
    (re.compile(r"(<Token-\d>)[^<]+"), rf"\g<1>{MASK}"),
)


_NAMES_IN_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}

_BACKSLASHES = r"\\{0,16}+"
"""Before a character that is spelled in JSON within JSON within Python."""


@dataclass(frozen=True)
class _Secret:
    """One value, and how to find it in a text in little time."""

    value: str
    rare: str = field(init=False)
    """Its longest run of characters that all spellings leave as they are, in lower case."""
    encoded: tuple[str, ...] = field(init=False)
    """What Base64 makes of it, at each of the three places within a group that it can start at."""

    def __post_init__(self) -> None:
        """Prepare the search."""
        runs = re.findall("[A-Za-z0-9]+", self.value)
        object.__setattr__(self, "rare", max(runs, key=len, default="").lower())
        object.__setattr__(self, "encoded", tuple(dict.fromkeys(_in_base64(self.value.encode(errors="replace")))))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The value as it is, and as URLs, forms, JSON, HTML and Python spell it, in any mixture of these."""
        return re.compile("".join(map(_spelled, re.findall(r"\\+|[^\\]", self.value))), re.IGNORECASE)

    def taken_out_of(self, text: str, lower: str) -> str:
        """The text without the value; `lower` is the text in lower case."""
        for encoded in self.encoded:
            text = text.replace(encoded, MASK)
        return self.pattern.sub(MASK, text) if self.rare in lower else text


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
    """The text, with `MASK` in the place of each known secret and of what looks like one."""
    with _lock:
        known = sorted(_known.values(), key=lambda secret: len(secret.value), reverse=True)
    lower = text.lower()
    for secret in known:
        text = secret.taken_out_of(text, lower)
    for pattern, replacement in _LOOKS_SECRET:
        text = pattern.sub(replacement, text)
    return text


def without_secrets(error: BaseException) -> BaseException:
    """The error itself if nothing of it is to be hidden, else one of the same name and traceback with redacted text.

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
    """A pattern for what JSON, HTML, URLs and Python make of a character, once or within one another.

    Args:
        part: One character, or backslashes, of which no group could tell whose they are.
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
    ]
    if character == "\\":
        count = len(part)
        return rf"(?:\\{{{count},{16 * count}}}+|(?:{_BACKSLASHES}(?:{'|'.join(spellings)})){{{count}}})"
    if name := _NAMES_IN_HTML.get(character):
        spellings.append(f"&(?:amp;)*{name[1:]}")
    if character == " ":
        spellings.append(r"\+")
    spellings.append(re.escape(json.dumps(character)[1:-1].lstrip("\\")))
    return f"{_BACKSLASHES}(?:{'|'.join([*spellings, re.escape(character)])})"


def _redacting(make: Any) -> Any:  # noqa: ANN401 - a factory of log records takes whatever `LogRecord` takes
    """A factory of log records whose message, arguments and error hold no secret."""

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
    """The texts in a value that are long enough to be told from ordinary words."""
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
    """The characters of Base64 that depend on nothing but the value."""
    for before in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            encoded = encode(bytes(before) + value).decode()
            first = (before * 8 + 5) // 6
            last = (before + len(value)) * 8 // 6
            yield encoded[first:last]

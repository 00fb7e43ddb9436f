"""The cause of a failure: what the reasons of failures have in common that one thing has caused.

A reason names an object, a place in it and a number; the cause is the reason without them.
"""

from __future__ import annotations

import re

LINES = 3
"""Lines of a reason that count: the first says what happened, and the next ones begin a list."""

_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://[^/\s'\"]*)[^\s'\",;)]*")
_SECRET = re.compile(r"\bSecret \S+ of (?=Vault)")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_HTTP_ERROR = re.compile(r"[45]\d\d")
_WITH_DIGIT = re.compile(r"[^\s:;()]*\d[^\s:;()]*")


def cause_of(reason: str) -> str:
    """Return the cause: the reason without names, numbers, and what follows a host or a bucket in a URL.

    Codes of HTTP errors stay, as they tell causes apart.
    """
    lines = (_without_names(line) for line in reason.splitlines()[:LINES])
    return "\n".join(dict.fromkeys(lines))


def _without_names(line: str) -> str:
    urls: list[str] = []

    def keep(url: re.Match[str]) -> str:
        urls.append(url[1])
        return "\0"

    text = _QUOTED.sub("…", _URL.sub(keep, _SECRET.sub("", line)))
    text = _WITH_DIGIT.sub(lambda word: word[0] if _HTTP_ERROR.fullmatch(word[0]) else "…", text)
    for url in urls:
        text = text.replace("\0", f"{url}/…", 1)
    return text

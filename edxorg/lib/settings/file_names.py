"""Patterns of file names with a date in them, as operators write them: `delftx-{date}.zip`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Self

from ol_orchestrate.lib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACEHOLDERS = {"date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "site": "prod|edge"}
"""The names that can stand in braces, and the texts that they stand for."""

EXAMPLES = {"date": "2024-01-31", "site": "prod"}

PREFERENCES = "email-opt-in-"
"""The first part of edX's names of packages of e-mail preferences."""

_REQUESTED = re.compile(r"[^/_]+_[^/]+_[^/_]+\.tar\.gz\.gpg")
_FOLDER_OF_REQUEST = re.compile(r"(.*/)?rdx/[^/]+/")

_BETWEEN_PATTERNS = re.compile(r"[,\s]+(?![^{]*\})")
"""The places between patterns. A comma in braces belongs to a regular expression."""


@dataclass(frozen=True, slots=True)
class FilePattern:
    """A pattern.

    Attributes:
        text: The pattern as it was written.
        expression: The expression for the whole name, with a group `date`.
        example: A name that messages show; for a regular expression, itself.
    """

    text: str
    expression: re.Pattern[str]
    example: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern with `{date}` and perhaps `{site}`, or a regular expression with a group `date`.

        Raises:
            ValueError: It is neither.
        """
        if "/" in text:
            raise ValueError(f"{text!r} has a slash: a pattern is for the name of a file, and the URL names its folder")
        if "(?P<date>" in text:
            try:
                return cls(text, re.compile(text), text)
            except re.error as error:
                raise ValueError(f"{text!r} is no regular expression: {error}") from None
        if "{date}" not in text:
            raise ValueError(
                f"{text!r} does not say where the date stands: write {{date}} there, as in delftx-{{date}}.zip, or a "
                "regular expression with a group (?P<date>…)"
            )
        literal, *parts = re.split(r"\{([^{}]*)\}", text)
        expression, example = re.escape(literal), literal
        seen: set[str] = set()
        for placeholder, following in zip(parts[::2], parts[1::2], strict=True):
            if placeholder not in PLACEHOLDERS:
                raise ValueError(f"{text!r} has {{{placeholder}}}: only {{date}} and {{site}} stand for something")
            group = f"(?P={placeholder})" if placeholder in seen else f"(?P<{placeholder}>{PLACEHOLDERS[placeholder]})"
            seen.add(placeholder)
            expression += group + re.escape(following)
            example += EXAMPLES[placeholder] + following
        return cls(text, re.compile(expression), example)

    def date_in(self, name: str) -> date | None:
        """Return the date in a file name; `None` for a name of another kind."""
        match = self.expression.fullmatch(name)
        try:
            return date.fromisoformat(match["date"]) if match else None
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class FileNames:
    """The names of files of one kind, which fit one of these patterns."""

    patterns: tuple[FilePattern, ...]

    @classmethod
    def parse(cls, text: str | Iterable[str]) -> Self:
        """Read one pattern or several: a list, or a text with commas or spaces between them.

        Raises:
            ValueError: One cannot be used, or two fit the same name.
        """
        texts = _texts(text) if isinstance(text, str) else list(text)
        if not texts:
            raise ValueError("there is no pattern: give one, such as delftx-{date}.zip")
        names = cls(tuple(FilePattern.parse(each) for each in dict.fromkeys(texts)))
        for pattern in names.patterns:
            names.date_in(pattern.example)
        return names

    @property
    def example(self) -> str:
        """The names that messages show."""
        return " or ".join(pattern.example for pattern in self.patterns)

    def date_in(self, name: str) -> date | None:
        """Return the date in a file name; `None` for a name of another kind.

        Raises:
            AmbiguousNameError: Two patterns fit it.
        """
        fitting = [(pattern, day) for pattern in self.patterns if (day := pattern.date_in(name)) is not None]
        if len(fitting) > 1:
            raise AmbiguousNameError(name, *(pattern.text for pattern, _ in fitting))
        return fitting[0][1] if fitting else None

    def refuse_overlap(self, other: FileNames) -> None:
        """Check, as far as the examples tell, that no file's name is of this kind and of another one.

        Raises:
            AmbiguousNameError: One is.
        """
        both = FileNames(self.patterns + other.patterns)
        for pattern in both.patterns:
            both.date_in(pattern.example)

    def name_of(self, day: date) -> str | None:
        """Return the name of the file of a day, by the first pattern; `None` where that leaves it open."""
        first = self.patterns[0]
        if "(?P<date>" in first.text or "{site}" in first.text:
            return None
        return first.text.replace("{date}", day.isoformat())

    def __str__(self) -> str:
        return " ".join(pattern.text for pattern in self.patterns)


def is_of_preferences(name: str) -> bool:
    """Return True for the name of a package of e-mail preferences."""
    return name.startswith(PREFERENCES)


def is_requested_package(name: str) -> bool:
    """Return True for a name that edX gives to a package which a partner asks for: `{org}_{course}_{run}.tar.gz.gpg`.

    It has no date.
    """
    return bool(_REQUESTED.fullmatch(name))


def is_in_folder_of_request(key: str) -> bool:
    """Return True for such a package where edX puts it: `rdx/{id}/{org}_{course}_{run}.tar.gz.gpg`, in any folder."""
    folder, slash, name = key.rpartition("/")
    return is_requested_package(name) and bool(_FOLDER_OF_REQUEST.fullmatch(folder + slash))


class AmbiguousNameError(SettingsError, ValueError):
    """A file name that two patterns fit."""

    def __init__(self, name: str, first: str, second: str, *_: str) -> None:
        """Say which."""
        super().__init__(f"{name!r} fits both {first!r} and {second!r}: change one of these patterns")


def _texts(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        try:
            return [str(each) for each in json.loads(text)]
        except ValueError:
            pass  # a regular expression that begins with a set of characters
    return [each for each in _BETWEEN_PATTERNS.split(text) if each]

"""Messages in JSON from a template that an operator writes, such as `{"course": "{course_id}", "files": "{count}"}`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Values = Mapping[str, Callable[[], str | int]]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class JsonTemplate:
    """A JSON value with names in braces in its texts.

    A text that is one name in braces becomes the value itself, a number too; in a longer text, the value takes the
    place of the name.
    """

    template: Any

    @classmethod
    def parse(cls, text: str, names: Collection[str]) -> Self:
        """Read a template.

        Raises:
            ValueError: It is no JSON, or asks for a value that has another name than these.
        """
        try:
            template = json.loads(text)
            json.dumps(template, allow_nan=False)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"it is no JSON: {error}") from None
        check_placeholders(text, names)
        return cls(template)

    def fill(self, values: Values) -> bytes:
        """Return the message as compact JSON; only the values that the template names are made."""
        return json.dumps(_filled(self.template, values), separators=(",", ":"), allow_nan=False).encode()


def check_placeholders(text: str, names: Collection[str]) -> None:
    """Check that a text has no other names in braces than these.

    Raises:
        ValueError: It has one.
    """
    for name in _PLACEHOLDER.findall(text):
        if name not in names:
            raise ValueError(f"there is no value {{{name}}}: it can be {', '.join(f'{{{each}}}' for each in names)}")


def fill_url(url: str, values: Values) -> str:
    """Return a URL with values in the places of their names; each stays one part of the path."""
    return _PLACEHOLDER.sub(lambda found: quote(str(values[found[1]]()), safe=""), url)


def _filled(template: Any, values: Values) -> Any:  # noqa: ANN401 - JSON
    match template:
        case dict():
            return {name: _filled(each, values) for name, each in template.items()}
        case list():
            return [_filled(each, values) for each in template]
        case str() if whole := _PLACEHOLDER.fullmatch(template):
            return values[whole[1]]()
        case str():
            return _PLACEHOLDER.sub(lambda found: str(values[found[1]]()), template)
        case _:
            return template

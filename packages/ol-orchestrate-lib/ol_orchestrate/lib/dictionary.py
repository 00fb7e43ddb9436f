"""The form of the data dictionary: outputs, and their columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

ADDED = "added here"
"""Source of a column that is in no file of edX."""

_SOURCE = " <- "


class Format(StrEnum):
    """The form of an output's objects."""

    TSV = "TSV"
    CSV = "CSV"
    JSON_LINES = "JSON lines"
    GZIPPED_JSON_LINES = "JSON lines, gzip"
    JSON = "JSON"
    TAR = "tar.gz"


class Column(NamedTuple):
    """A column, or a field of each JSON object.

    Attributes:
        name: The name, as the objects spell it.
        type: `string`, `integer`, `number`, `boolean`, `timestamp`, `array`, `object`, or `json` for JSON of any form
            or in a text.
        meaning: A sentence for readers of the data.
        source: The origin of its values.
    """

    name: str
    type: str
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a code location: an asset, and all objects of it.

    Attributes:
        asset: The asset's name, with which the keys of its objects begin; its last part alone where the rest of the
            name is a location's own.
        row: One row of it, or one object where it has no rows.
        columns: The columns in the order of the objects; empty if it has no rows.
        format: The format of the objects.
        key: The columns that tell its rows apart within one object, as far as the source promises that.
        view: The name in SQL, if the last part of the asset's name is also that of another output.
    """

    asset: str
    row: str
    columns: tuple[Column, ...] = ()
    format: Format = Format.JSON_LINES
    key: tuple[str, ...] = ()
    view: str = ""

    @property
    def name(self) -> str:
        """The last part of the asset's name."""
        return self.asset.rpartition("/")[2]


def columns_of(text: str, source: str) -> tuple[Column, ...]:
    """Read columns from a text, one a line: name, type, meaning, and ` <- source` if that differs."""
    lines = (line.split(None, 2) for line in text.strip().splitlines())
    return tuple(_column(name, kind, rest, source) for name, kind, rest in lines)


def _column(name: str, kind: str, rest: str, source: str) -> Column:
    meaning, _, own = rest.partition(_SOURCE)
    return Column(name, kind, meaning, own or source)

"""Outputs as views of DuckDB over their current objects."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from edxorg.lib.dictionary import DICTIONARY, TRACKING_LOG
from edxorg.lib.lake.current import newest
from edxorg.lib.members import MemberKind
from edxorg.lib.object_keys import raw_data_asset
from ol_orchestrate.lib.dictionary import Format, Output
from ol_orchestrate.lib.stores import join_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ol_orchestrate.lib.stores import ObjectStore, StoredObject

_EXTENSIONS: Final = {
    Format.TSV: (".tsv",),
    Format.CSV: (".csv",),
    Format.JSON_LINES: (".json",),
    # A log that came encrypted keeps its name, and is in clear.
    Format.GZIPPED_JSON_LINES: (".gz", ".gz.gpg"),
}
"""File extensions of the objects of outputs that have rows."""

_OUTPUTS: Final = {output.view or output.name: output for output in DICTIONARY.values() if output.format in _EXTENSIONS}
"""The outputs that have rows, by the names of their views."""

_TABLES: Final = raw_data_asset(MemberKind.TABLE, "")

_JSON_TYPES: Final = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "array": "JSON",
    "object": "JSON",
    "json": "JSON",
}
"""Types of columns in JSON outputs; all others are text, and so is everything in tables and logs."""

_LOG_SITE: Final = re.compile(r"-(prod|edge)-events-")
"""The site in the name of a tracking log."""

_RAW_JSON: Final = "record"
"""The one column of a view over JSON lines whose columns are not known."""

_LONGEST: Final = 64 << 20
"""Bytes of a line that a view can read; DuckDB keeps several such buffers."""

_LONG: Final = 2 << 20
"""Bytes of a table's line that a view can read by default."""

_LONG_JSON: Final = 16 << 20
"""Bytes of a line of JSON that a view can read by default."""

_HEAD: Final = 64 << 10
"""Bytes that hold the first line of any table."""

_NO_TEXT: Final = "\x01 no such text \x01"
"""The text that stands for NULL: it occurs nowhere, since `NULL` and empty are the values that edX wrote."""


@dataclass(frozen=True, slots=True)
class View:
    """An output in SQL.

    Attributes:
        name: Name of the view.
        output: The output that it shows.
        objects: The current objects of the output.
    """

    name: str
    output: Output
    objects: tuple[StoredObject, ...]

    @property
    def size(self) -> int:
        """Bytes of the objects."""
        return sum(each.size for each in self.objects)

    def sql(self, store: ObjectStore) -> str:
        """Return the statement that makes the view, over the landing zone that the objects are in."""
        rows = _rows(self.output, self.objects, store) if self.objects else _no_rows(self.output)
        return f"CREATE OR REPLACE VIEW {_name(self.name)} AS {rows}"


def find_view(store: ObjectStore, name: str, *, site: str | None = None) -> View | None:
    """Find the view with a name over a landing zone; `None` if there is no such output or table.

    Args:
        store: The landing zone.
        name: Name of the view. Tables that the dictionary does not know have views too.
        site: Take only objects of this site, as far as their keys tell the site.
    """
    if name in _OUTPUTS:
        return _view(_OUTPUTS[name], store.list(f"{_OUTPUTS[name].asset}/"), site)
    view = _view(_unknown_table(name), store.list(f"{raw_data_asset(MemberKind.TABLE, name)}/"), site)
    if not view.objects:
        # DuckDB takes capitals for small letters.
        for table, objects in _by_table(store).items():
            if table.lower() == name.lower():
                return _view(_unknown_table(table), objects, site)
    return view if view.objects else None


def nearest_name(store: ObjectStore, name: str) -> str | None:
    """Return the name of a view that is much like a name."""
    found = get_close_matches(name.lower(), {each.lower(): None for each in (*_OUTPUTS, *_by_table(store))}, 1)
    return found[0] if found else None


def all_views(store: ObjectStore, *, site: str | None = None) -> Iterator[View]:
    """Yield the views of all outputs, and of all tables that are there; see `find_view`."""
    of_table = _by_table(store)
    for name, output in _OUTPUTS.items():
        is_table = output.asset.startswith(_TABLES)
        yield _view(output, of_table.pop(name, ()) if is_table else store.list(f"{output.asset}/"), site)
    yield from (_view(_unknown_table(name), objects, site) for name, objects in sorted(of_table.items()))


def _by_table(store: ObjectStore) -> dict[str, list[StoredObject]]:
    found: dict[str, list[StoredObject]] = {}
    for each in store.list(_TABLES):
        found.setdefault(each.key.removeprefix(_TABLES).partition("/")[0], []).append(each)
    return found


def view_names_in(sql: str) -> list[str]:
    """Return the names of outputs that are words of an SQL text: those of its views, and perhaps others."""
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    return [name for name in _OUTPUTS if name in words]


def _view(output: Output, objects: Iterable[StoredObject], site: str | None) -> View:
    extensions = _EXTENSIONS[output.format]
    current = newest(each for each in objects if each.key.endswith(extensions)).values()
    shown = (each for each in current if site is None or _site_of(each.key, output) in {site, None})
    return View(output.view or output.name, output, tuple(sorted(shown, key=lambda each: each.key)))


def _unknown_table(name: str) -> Output:
    asset = raw_data_asset(MemberKind.TABLE, name)
    return Output(asset, "A row of a table that is not in the dictionary.", format=Format.TSV)


def _site_of(key: str, output: Output) -> str | None:
    rest = key.removeprefix(f"{output.asset}/")
    first, _, _ = rest.partition("/")
    if first in {"prod", "edge"}:
        return first
    if output is TRACKING_LOG:
        named = _LOG_SITE.search(first)
        return named[1] if named else None
    _, bar, site = first.rpartition("|")
    return site if bar else None


def _no_rows(output: Output) -> str:
    if _is_raw_json(output):
        return f"SELECT NULL::JSON AS {_name(_RAW_JSON)} WHERE false"
    columns = (f"NULL::{_type(output, column.type)} AS {_name(column.name)}" for column in output.columns)
    return f"SELECT {', '.join(columns)} WHERE false"


def _rows(output: Output, objects: tuple[StoredObject, ...], store: ObjectStore) -> str:
    if output.format in {Format.TSV, Format.CSV}:
        delimiter = "\t" if output.format is Format.TSV else ","
        alike = _by_columns(objects, store, delimiter)
        return " UNION ALL BY NAME ".join(
            _csv(columns, of_columns, store.url, delimiter) for columns, of_columns in alike.items()
        )
    packed = output.format is Format.GZIPPED_JSON_LINES
    longest = min(max(each.size for each in objects), _LONGEST)
    options = {
        "format": "'newline_delimited'",
        "maximum_object_size": str(_LONGEST if packed else max(longest, _LONG_JSON)),
        "compression": "'gzip'" if packed else "'none'",
    }
    if _is_raw_json(output):
        files = _files(objects, store.url)
        return f"SELECT json AS {_name(_RAW_JSON)} FROM read_json_objects({files}, {_options(options)})"  # noqa: S608
    options["columns"] = _types((each.name, _type(output, each.type)) for each in output.columns)
    return f"SELECT * FROM read_json({_files(objects, store.url)}, {_options(options)})"  # noqa: S608 - names are quoted


def _is_raw_json(output: Output) -> bool:
    return output.format is Format.JSON_LINES and not output.columns


def _by_columns(
    objects: Sequence[StoredObject], store: ObjectStore, delimiter: str
) -> dict[tuple[str, ...], list[StoredObject]]:
    """Objects by the columns in their first lines: DuckDB itself takes longer to compare them than to read all rows."""
    files = store.filesystem()
    paths = [join_url(store.url, each.key) for each in objects]
    heads = files.cat_ranges(paths, 0, [min(each.size, _HEAD) for each in objects], on_error="raise")
    found: dict[tuple[str, ...], list[StoredObject]] = {}
    for each, head in zip(objects, heads, strict=True):
        text = io.StringIO(bytes(head).decode(errors="replace"), newline="")
        found.setdefault(_distinct(next(csv.reader(text, delimiter=delimiter), [])), []).append(each)
    return found


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names that differ by more than their case."""
    found: dict[str, str] = {}
    for name in names:
        unique = name
        while unique.lower() in found:
            unique += "_1"
        found[unique.lower()] = unique
    return tuple(found.values())


def _csv(columns: Sequence[str], objects: Sequence[StoredObject], url: str, delimiter: str) -> str:
    options = {
        "delim": _text(delimiter),
        "header": "true",
        "quote": "'\"'",
        "escape": "'\"'",
        "auto_detect": "false",
        "columns": _types((name, "VARCHAR") for name in columns),
        "nullstr": _text(_NO_TEXT),
        "allow_quoted_nulls": "false",
    }
    longest = min(max(each.size for each in objects), _LONGEST)
    if longest > _LONG:
        options["max_line_size"] = str(longest)
    return f"SELECT * FROM read_csv({_files(objects, url)}, {_options(options)})"  # noqa: S608 - names are quoted


def _files(objects: Iterable[StoredObject], url: str) -> str:
    return f"[{', '.join(_text(_path(url, each.key)) for each in objects)}]"


def _types(columns: Iterable[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{_text(name)}: {_text(kind)}' for name, kind in columns)}}}"


def _options(options: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _type(output: Output, kind: str) -> str:
    return _JSON_TYPES.get(kind, "VARCHAR") if output.format is Format.JSON_LINES else "VARCHAR"


def _path(url: str, key: str) -> str:
    """Return an object's path for DuckDB, with characters of patterns escaped."""
    path = join_url(url, key).removeprefix("file://")
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def _name(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'

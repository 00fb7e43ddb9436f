"""DuckDB over a landing zone: it reads objects through the store, with the credentials of everything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb
from fsspec import AbstractFileSystem

from edxorg.lib.lake.views import find_view, nearest_name, view_names_in
from ol_orchestrate.lib.stores import join_url, split_url

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from edxorg.lib.lake.views import View
    from ol_orchestrate.lib.stores import ObjectStore, StoredObject

_MISSING = re.compile(r"Table with name (\S+) does not exist")
_SUGGESTED = re.compile(r'\nDid you mean "[^\n]*')
_EXPLAIN = "EXPLAIN "
_EXPLAINED = re.compile(f"(LINE 1: ){_EXPLAIN}(.*)\n {{{len(_EXPLAIN)}}}")


class Lake:
    """A landing zone that can be asked in SQL."""

    def __init__(self, store: ObjectStore, *, site: str | None = None, database: str = ":memory:") -> None:
        """Connect to nothing yet.

        Args:
            store: The landing zone.
            site: Only what is of this site; see `find_view`.
            database: File in which views are kept.
        """
        self._store, self._site = store, site
        # DuckDB's own readers of S3 are an extension that it would load from the network.
        offline: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        self.connection = duckdb.connect(database, config=offline)
        self._objects: dict[str, StoredObject] = {}
        if split_url(store.url)[0] != "file":
            self.connection.register_filesystem(_Objects(store, self._objects))

    def add(self, views: Iterable[View]) -> None:
        """Make views known."""
        for view in views:
            self._objects |= {join_url(self._store.url, each.key): each for each in view.objects}
            self.connection.execute(view.sql(self._store))

    def prepare(self, sql: str) -> None:
        """Make all views known that a query uses.

        Raises:
            duckdb.Error: The query is wrong.
        """
        views = (find_view(self._store, name, site=self._site) for name in view_names_in(sql))
        self.add(view for view in views if view is not None)
        statements = [each.type for each in self.connection.extract_statements(sql)]
        # Errors show the text: the user's own, if it is a single SELECT.
        is_select = statements == [duckdb.StatementType.SELECT]
        planned = f"{_EXPLAIN}{sql}" if is_select else f"SELECT * FROM (\n{sql}\n) LIMIT 0"  # noqa: S608
        while True:
            try:
                self.connection.execute(planned)
            except duckdb.Error as error:
                text = _EXPLAINED.sub(r"\1\2\n", str(error))
                missing = _MISSING.search(text) if isinstance(error, duckdb.CatalogException) else None
                view = find_view(self._store, missing[1], site=self._site) if missing else None
                if view is None or not view.objects:
                    if missing:
                        near = nearest_name(self._store, missing[1])
                        text = _SUGGESTED.sub(f'\nDid you mean "{near}"?' if near else "", text)
                    raise type(error)(text) from None
                self.add([view])
            else:
                return


class _Objects(AbstractFileSystem):  # type: ignore[misc] # it has no types
    """Objects that were listed, so that nothing is asked for but their bytes."""

    cachable = False

    def __init__(self, store: ObjectStore, objects: dict[str, StoredObject]) -> None:
        super().__init__()
        self.protocol = split_url(store.url)[0]
        self._listed = objects
        self._files = store.filesystem()

    def glob(self, path: str, **_: object) -> list[str]:
        return [re.sub(r"\[([*?[])\]", r"\1", path)]

    def exists(self, path: str, **_: object) -> bool:
        return path in self._listed

    def info(self, path: str, **_: object) -> dict[str, object]:
        return {"name": path, "size": self._listed[path].size, "type": "file"}

    def modified(self, path: str) -> datetime:
        return self._listed[path].modified

    def open(self, path: str, mode: str = "rb", **_: object) -> Any:  # noqa: ANN401 - as fsspec has it
        return self._files.open(path, mode, size=self._listed[path].size)

"""Dagster changes its private names in any release: the library's landing wing and its alerts alone use them."""

import re
from pathlib import Path

import edxorg


def test_no_module_of_the_location_imports_private_names_of_dagster() -> None:
    package = Path(edxorg.__file__).parent
    private = re.compile(r"^ *(from|import) dagster[\w.]*\._", re.MULTILINE)
    assert [path for path in package.rglob("*.py") if private.search(path.read_text())] == []

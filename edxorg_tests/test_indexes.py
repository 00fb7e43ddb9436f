"""The docstring of each package's `__init__` is the index of its modules."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = sorted(
    index.parent
    for root in ("edxorg", "benchmarks", "packages/ol-orchestrate-lib/ol_orchestrate")
    for index in (ROOT / root).rglob("__init__.py")
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_an_index_names_the_modules_that_are_there_and_no_others(package: Path) -> None:
    index = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    modules = {each.stem for each in package.glob("*.py")} - {"__init__"}
    packages = {each.parent.name for each in package.glob("*/__init__.py")}
    named = set(re.findall(r"(?<!/)\b(\w+)\.py\b", index))
    assert named <= modules
    assert sorted((modules | packages) - named - set(re.findall(r"`(\w+)`", index))) == []

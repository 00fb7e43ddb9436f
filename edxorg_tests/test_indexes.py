"""The docstring of each package's `__init__` is the index of its modules."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
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


def test_a_modules_name_tells_it_from_those_of_other_packages() -> None:
    """A stack trace often shows no more. A subject of several layers, such as `program_reports`, is one in each."""
    layers = {"assets", "jobs", "ops", "sensors"}
    packages = defaultdict(list)
    for package in PACKAGES:
        for module in package.glob("*.py"):
            if not module.stem.startswith("__") and package != ROOT / "benchmarks":
                packages[module.stem].append(package)
    alike = {name: found for name, found in packages.items() if len(found) > 1}
    assert {name for name, found in alike.items() if not {package.name for package in found} <= layers} == set()

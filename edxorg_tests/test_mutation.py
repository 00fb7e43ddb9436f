"""The changes of code that `python -m edxorg_tests.mutation` tries, and one of them tried."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib

import pytest

from edxorg_tests.mutation.__main__ import EQUIVALENT
from edxorg_tests.mutation.mutants import mutants
from edxorg_tests.mutation.tested_by import TESTS
from edxorg_tests.support.repository import ROOT

SOURCE = '''
"""A docstring."""
from __future__ import annotations
LIMIT: int = 3

@cache
def total(values: list[int], *, word: str = "all") -> int:
    """Another."""
    found = 0
    for value in values:
        if value < 0 or not value:
            continue
        found += value
    if found > LIMIT:
        raise ValueError(f"{found} is more than the {'limit'}")
    log(f"{word}:{found}", "A sentence.")
    return found
'''


def test_each_operator_changes_what_it_is_for_and_nothing_else() -> None:
    # Python 3.12 writes the quotes in f-strings in another way.
    keys = [each.key.split(": ", 1)[1].replace('"', "'") for each in mutants(SOURCE)]
    assert keys == [
        "3 -> 4",
        "'all' -> 'xall'",
        "0 -> 1",
        "value < 0 or not value -> value < 0 and (not value)",
        "value < 0 -> value <= 0",
        "0 -> 1 #2",
        "not value -> value",
        "continue -> break",
        "found += value -> pass",
        "found > LIMIT -> found >= LIMIT",
        "raise ValueError(f'{found} is more than the {'limit'}') -> pass",
        "'limit' -> 'xlimit'",
        "log(f'{word}:{found}', 'A sentence.') -> pass",
        "':' -> 'x:'",
        "return found -> return None",
    ]


def test_a_mutant_is_the_module_with_one_change() -> None:
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant in mutants(SOURCE):
        changed = ast.unparse(mutant.tree(SOURCE)).splitlines()
        assert sum(before != after for before, after in zip(plain, changed, strict=False)) >= 1, mutant.key
        compile(mutant.tree(SOURCE), "changed", "exec")


def test_what_acts_at_import_is_told_from_what_is_in_a_function() -> None:
    inside = [mutant.function is not None for mutant in mutants(SOURCE)]
    assert inside == [False, False, *[True] * 13]


@pytest.mark.parametrize("module", TESTS)
def test_the_table_names_modules_and_tests_that_are_there(module: str) -> None:
    assert all((ROOT / path).is_file() for path in (module, *TESTS[module]))


def test_the_list_of_mutants_that_change_nothing_names_such_that_there_are() -> None:
    for module, reasons in tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).items():
        there = {each.key for each in mutants((ROOT / module).read_text(encoding="utf-8"))}
        assert sorted(reasons.keys() - there) == [], module


@pytest.mark.once
def test_tests_with_settings_of_their_own_have_the_same_examples_for_each_mutant() -> None:
    code = """
from hypothesis import settings
from edxorg_tests.mutation.trials import _session

class Seen:
    def pytest_collection(self):
        its_own = settings(max_examples=3)  # as the modules of tests make them, which are imported next
        assert (its_own.derandomize, its_own.deadline, its_own.database) == (True, None, None)
        assert len(its_own.suppress_health_check) > 1

raise SystemExit(_session(["edxorg_tests/lib/test_object_keys.py"], Seen(), "--collect-only"))
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.once
def test_tests_find_the_mutants_of_a_module_of_keys() -> None:
    module = "packages/ol-orchestrate-lib/ol_orchestrate/lib/course_content_keys.py"
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "edxorg_tests.mutation", module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert " 0 survived" in found.stdout


@pytest.mark.once
def test_a_mutant_that_no_test_finds_is_named() -> None:
    module = "edxorg/lib/object_keys.py"
    code = (
        "from edxorg_tests.mutation import __main__ as command;"
        f"command.TESTS['{module}'] = ('edxorg_tests/test_reference_pages.py',);"
        f"raise SystemExit(command.main(['{module}', '--share', '0.2']))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert (found.returncode, found.stderr) == (1, "")
    assert f"{module}:" in found.stdout
    assert "survived: raw_data_asset: return FORUM -> return None" in found.stdout


@pytest.mark.once
def test_a_mutant_is_not_taken_for_found_because_a_test_uses_a_store() -> None:
    module = "edxorg/lib/archive/marks.py"
    key = next(iter(tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))[module]))
    code = f"""
from edxorg_tests.mutation.__main__ import _chosen
from edxorg_tests.mutation.tested_by import TESTS
from edxorg_tests.mutation.trials import trials

changes = [each for each in _chosen({module!r}, 1) if each.mutant.key == {key!r}]
raise SystemExit([found for _, found in trials(TESTS[{module!r}], changes)] != [False])
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert (found.returncode, found.stderr) == (0, "")

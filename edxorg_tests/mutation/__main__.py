"""Report the mutants of modules that no test has found; `all` for all modules."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from edxorg_tests.mutation.mutants import mutants
from edxorg_tests.mutation.tested_by import TESTS
from edxorg_tests.mutation.trials import Change, trials
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBRARY = "packages/ol-orchestrate-lib/"

EQUIVALENT = ROOT / "edxorg_tests/mutation/equivalent.toml"
"""Mutants that no test can find, with the reason, by module."""


def main(arguments: Sequence[str]) -> int:
    """Return 0 if each mutant of these modules is found, or known to change nothing."""
    parser = argparse.ArgumentParser(prog="python -m edxorg_tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="+", metavar="MODULE", help=f"all, or of {', '.join(TESTS)}")
    parser.add_argument(
        "--share", type=float, default=1, help="tries a part of the mutants, always the same, such as 0.1"
    )
    options = parser.parse_args(arguments)
    names = list(TESTS) if options.modules == ["all"] else options.modules
    output = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # which tests print to
    known = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))
    survived = 0
    # Modules that have the same tests are tried together.
    for tests in dict.fromkeys(TESTS[name] for name in names):
        chosen = {name: _chosen(name, options.share) for name in names if TESTS[name] == tests}
        counts = {name: Counter[str]() for name in chosen}
        for change, failed in trials(tests, [change for changes in chosen.values() for change in changes]):
            name, key = change.path, change.mutant.key
            outcome = "found" if failed else "equivalent" if key in known.get(name, {}) else "survived"
            counts[name][outcome] += 1
            if outcome == "survived":
                output.write(f"{name}:{change.mutant.line} survived: {key}\n")
        for name, counted in counts.items():
            output.write(
                f"{name}: {counted.total()} mutants, {counted['found']} found, {counted['equivalent']} equivalent, "
                f"{counted['survived']} survived\n"
            )
            survived += counted["survived"]
    return int(survived > 0)


def _chosen(name: str, share: float) -> list[Change]:
    module = name.removeprefix(LIBRARY).removesuffix(".py").replace("/", ".")
    return [
        Change(name, module, number, mutant)
        for number, mutant in enumerate(mutants((ROOT / name).read_text(encoding="utf-8")))
        if zlib.crc32(mutant.key.encode()) % 1000 < share * 1000
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

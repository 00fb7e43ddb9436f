"""Report the mutants of modules that no test has found; `all` for all modules."""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
import zlib
from typing import TYPE_CHECKING, TextIO

from edxorg_tests.mutation.mutants import mutants
from edxorg_tests.mutation.tested_by import TESTS
from edxorg_tests.mutation.trials import trials
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
    return max([_try(name, options.share, known.get(name, {}), output) for name in names])


def _try(name: str, share: float, known: dict[str, str], output: TextIO) -> int:
    all_of_them = mutants((ROOT / name).read_text(encoding="utf-8"))
    chosen = {
        number: each for number, each in enumerate(all_of_them) if zlib.crc32(each.key.encode()) % 1000 < share * 1000
    }
    module = name.removeprefix(LIBRARY).removesuffix(".py").replace("/", ".")
    started = time.monotonic()
    found = equivalent = survived = 0
    for number, failed in trials(module, TESTS[name], chosen):
        mutant = chosen[number]
        if failed:
            found += 1
        elif mutant.key in known:
            equivalent += 1
        else:
            survived += 1
            output.write(f"{name}:{mutant.line} survived: {mutant.key}\n")
    gone = known.keys() - {each.key for each in all_of_them}
    output.writelines(f"{name}: {EQUIVALENT.name} names a mutant that there is not: {key}\n" for key in sorted(gone))
    output.write(
        f"{name}: {len(chosen)} of {len(all_of_them)} mutants, {found} found, {equivalent} equivalent, "
        f"{survived} survived, in {time.monotonic() - started:.0f} s\n"
    )
    return 1 if survived or gone else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

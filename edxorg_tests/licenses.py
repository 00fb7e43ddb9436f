"""Writes `docs/reference/licenses.md`: the licenses of all packages that an installation of the location brings."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from edxorg_tests.support.repository import ROOT

PAGE = Path("docs/reference/licenses.md")

PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Zlib",
    }
)
"""The licenses that each package may have; `BSD` is one of two that its package does not tell apart."""

KNOWN = PERMISSIVE | {"MPL-2.0"}

COPYLEFT = {
    "certifi": "The certificates of authorities that clients of HTTP trust.",
    "orjson": "Writes and reads JSON; its part under the MPL is compiled into it.",
    "tqdm": "Shows the progress of Dagster's own migrations.",
}
"""The packages under the Mozilla Public License, and their use here."""

_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause OR Apache-2.0": "BSD-3-Clause OR Apache-2.0",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}
"""The names of SPDX for those that packages of before PEP 639 give."""

_HEAD = """\
# Licenses

The licenses of all packages that an installation of `edxorg` with its extras brings on Linux, by the lock file and by
what the packages say of themselves. Written by `just pages`; a test compares it.

Each license is permissive, or the package is named here with its use. The Mozilla Public License 2.0 is a copyleft of
single files: whoever changes a file of these packages publishes that file. They are installed as they are, and no file
of theirs is in this repository.

| package under MPL-2.0 | use |
| --- | --- |
"""


def dependencies() -> list[str]:
    """Return the names of all packages that users install, on each Python that is supported."""
    command = ["uv", "export", "--quiet", "--frozen", "--no-default-groups", "--all-extras", "--no-emit-local"]
    exported = subprocess.run(  # noqa: S603
        [*command, "--no-hashes", "--no-annotate", "--no-header"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    requirements = [Requirement(line) for line in exported.stdout.splitlines()]
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    pythons = [{**linux, "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"} for minor in (11, 14)]
    return sorted(
        {
            each.name
            for each in requirements
            if each.marker is None or any(each.marker.evaluate(python) for python in pythons)
        }
    )


def license_of(package: str) -> str:
    """Return the license that an installed package says it has, as an expression of SPDX."""
    about = metadata.metadata(package)
    expressions: list[str] = about.get_all("License-Expression", [])
    if expressions:
        return expressions[0]
    said: str = about.get_all("License", [""])[0]
    if said and set(_names(_SPDX.get(said, said))) <= KNOWN:  # older packages may have their license's text there
        return _SPDX.get(said, said)
    classifiers = [each.split(" :: ")[-1] for each in about.get_all("Classifier", []) if each.startswith("License ::")]
    return " OR ".join(sorted(_SPDX.get(each, each) for each in classifiers)) or "not said"


def refused(licenses: dict[str, str]) -> list[str]:
    """Return the packages whose license nobody has accepted; each alternative of a choice has to be acceptable."""
    return [
        package
        for package, license_ in licenses.items()
        if not set(_names(license_)) <= (KNOWN if package in COPYLEFT else PERMISSIVE)
    ]


def page() -> str:
    """Return the text of the page."""
    uses = "".join(f"| `{package}` | {use} |\n" for package, use in COPYLEFT.items())
    rows = "".join(f"| `{package}` | {license_of(package)} |\n" for package in dependencies())
    return f"{_HEAD}{uses}\n| package | license |\n| --- | --- |\n{rows}"


def _names(expression: str) -> list[str]:
    return [name for name in re.split(r"\s+(?:AND|OR)\s+|[()\s]*[()][()\s]*", expression) if name]


if __name__ == "__main__":
    (ROOT / PAGE).write_text(page(), encoding="utf-8")

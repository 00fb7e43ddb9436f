"""The library serves locations of any source: nothing in it is named after one, except names of the contract."""

from pathlib import Path

import ol_orchestrate.landing

PACKAGE = Path(ol_orchestrate.landing.__file__).parents[1]
CONTRACT = {"assets/openedx_course_archives.py", "partitions/__init__.py", "partitions/edxorg.py"}


def test_only_modules_of_the_contract_name_edxorg() -> None:
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    naming = {name for name, path in modules.items() if "edxorg" in f"{name} {path.read_text()}".lower()}
    assert naming == CONTRACT

"""The same university has the same bytes in every process, and shares no code with what reads them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.samples.files import write_university
from edxorg.samples.hazards import HAZARDS
from edxorg.samples.university import University

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg_tests.support.shell import Shell

SMALL = "University(seed={seed}, courses=5, learners=30, days=8, hazards=frozenset(HAZARDS))"
SCRIPT = f"""
import sys
from pathlib import Path
from edxorg.samples.files import write_university
from edxorg.samples.hazards import HAZARDS
from edxorg.samples.university import University
write_university(Path(sys.argv[1]), {SMALL.format(seed=4)})
"""
IMPORTS = """
import pkgutil, sys
from importlib import import_module
import edxorg.samples
for module in pkgutil.iter_modules(edxorg.samples.__path__):
    import_module(f"edxorg.samples.{module.name}")
print(*sorted(n for n in sys.modules if n.startswith(("edxorg", "ol_orchestrate")) and "samples" not in n))
"""


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write(folder: Path, seed: int) -> dict[str, str]:
    university = University(seed=seed, courses=5, learners=30, days=8, hazards=frozenset(HAZARDS))
    write_university(folder, university)
    return digests(folder)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of what this process writes for one seed."""
    return write(tmp_path_factory.mktemp("here"), seed=4)


def test_another_process_with_other_hashes_writes_the_same_bytes(here: dict[str, str], tmp_path: Path) -> None:
    # Python draws another seed for its hashes in each process, unless it is told one.
    environment = os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], check=True, env=environment)  # noqa: S603 - our own
    assert digests(tmp_path) == here


def test_another_seed_writes_other_bytes(here: dict[str, str], tmp_path: Path) -> None:
    other = write(tmp_path, seed=5)
    assert {name for name in here.keys() & other.keys() if here[name] == other[name]} == set()


def test_the_generator_imports_nothing_of_what_reads() -> None:
    output = subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True).stdout  # noqa: S603
    assert output.split() == ["edxorg"]


def test_the_command_writes_a_university_and_its_truth(edxorg: Shell, tmp_path: Path) -> None:
    out = tmp_path / "univ"
    code, printed, _ = edxorg(
        *("sample", "university", "--out", out, "--days", "2", "--courses", "1", "--learners", "5", "--org", "DelftX"),
        *("--first-day", "2025-02-03", "--hazard", "blank-lines"),
    )
    assert code == 0
    assert "1 archive with" in printed
    truth = json.loads((out / "truth.json").read_text())
    assert list(truth["archives"]) == ["delftx-2025-02-05.zip"]
    assert list(truth["courses"]) == ["DelftX-1.100x-1T2025|prod"]
    assert "delftx-prod-events-2025-02-03.log.gz" in truth["logs"]
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    kinds = ("archives", "logs", "program_reports", "catalogue")
    assert written == {"truth.json"} | {name for kind in kinds for name in truth[kind]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hazard", "ragged,nope"], "'nope' is no hazard: choose from ragged, "),
        (["--org", "M/x"], "'M/x' is no organization: use letters, digits and underscores"),
        (["--first-day", "0001-01-01"], "is before 2012"),
        (["--days", "0"], "0 is not in the range"),
    ],
)
def test_a_mistake_is_told_in_one_line(edxorg: Shell, tmp_path: Path, arguments: list[str], said: str) -> None:
    code, _, errors = edxorg("sample", "university", "--out", tmp_path / "univ", *arguments)
    assert code == 2
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "univ").exists()


def test_files_of_another_institution_are_ingested_by_its_name_alone(
    edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "delft"
    code, _, said = edxorg(
        "sample", "university", "--out", out, "--days", "1", "--courses", "1", "--learners", "3", "--org", "DelftX"
    )
    assert (code, said) == (0, f"Made the folder {out}\n")
    truth = json.loads((out / "truth.json").read_text())
    (archive,) = truth["archives"]
    monkeypatch.setenv("EDXORG_INSTITUTION", "delftx")
    code, counts, _ = edxorg("ingest", "archive", out / archive, "--landing-zone", tmp_path / "lake", "--json")
    assert (code, json.loads(counts)["rows"] > 0) == (0, True)
    for log in truth["logs"]:
        code, counts, _ = edxorg("inspect", out / log, "--json")
        assert (code, json.loads(counts)["url"]) == (0, f"file://{out / log}")


def test_a_sample_is_of_the_day_and_the_organization_that_it_is_asked_for(edxorg: Shell, tmp_path: Path) -> None:
    log = tmp_path / "a" / "delftx-prod-events-2025-03-09.log.gz"
    code, _, said = edxorg("sample", "tracking-log", "--out", log, "--size", "40KB", "--org", "DelftX")
    assert (code, said) == (0, f"Made the folder {log.parent}\n")
    with gzip.open(log, "rt") as lines:
        events = [event for line in lines if (event := loads_or_none(line))]
    assert {event["context"]["org_id"] for event in events} <= {"DelftX", ""}
    times = [str(event["time"]) for event in events]
    assert sum(time.startswith("2025-03-09") for time in times) / len(times) > 0.9
    archive = tmp_path / "a" / "delftx-2025-03-09.zip"
    code, _, said = edxorg("sample", "archive", "--out", archive, "--size", "1MB", "--org", "DelftX")
    assert (code, said) == (0, "")
    with zipfile.ZipFile(archive) as members:
        assert any(name.startswith("DelftX-1.100x-1T2025-") for name in members.namelist())


@pytest.mark.parametrize("kind", ["archive", "package", "tracking-log"])
def test_a_name_without_a_date_is_told_and_an_impossible_one_refused(edxorg: Shell, tmp_path: Path, kind: str) -> None:
    code, _, said = edxorg("sample", kind, "--out", tmp_path / "x.gz", "--size", "40KB")
    assert (code, said.count("\n")) == (0, 1)
    assert re.match(r"x\.gz has no date in its name: it is of 2024-\d\d-\d\d, and `edxorg ingest` needs", said)
    code, _, said = edxorg("sample", kind, "--out", tmp_path / "new" / "x-2024-02-30.gz", "--size", "40KB")
    assert (code, said.count("\n")) == (2, 1)
    assert "2024-02-30 in 'x-2024-02-30.gz' is no day from 2013 to 2100" in said
    assert not (tmp_path / "new").exists()


def loads_or_none(line: str) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event


def test_a_university_is_not_written_among_the_files_of_another(edxorg: Shell, tmp_path: Path) -> None:
    arguments = ("sample", "university", "--out", tmp_path, "--courses", "1", "--learners", "2")
    assert edxorg(*arguments, "--days", "2")[0] == 0
    code, _, errors = edxorg(*arguments, "--days", "1")
    assert code == 2
    assert "holds another university, whose mitx-2024-01-19.tar.gz would stay: choose another folder" in errors
    assert edxorg(*arguments, "--days", "2")[0] == 0

"""Brings hostile inputs in, and judges what came of each."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from uuid import uuid4

from benchmarks.measure import measured
from edxorg_tests.hostile.cases import COURSE, GOOD, GOOD_LOG, GOOD_MEMBERS, Answer, Case, Road, packed, tar_member
from edxorg_tests.support.archives import landed
from edxorg_tests.support.landed_keys import problem_of_object
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_BYTES: Final = 512 << 20
"""Resident memory of all processes together, pages that they share counted for each."""

MOST_SECONDS: Final = 120.0
"""For one input; a machine with other work to do takes a few times as long."""

MOST_SECONDS_TO_START: Final = 300.0

_BRINGING: Final = "edxorg_tests.hostile.bringing"

TOKEN: Final = f"hostile-{uuid4().hex[:8]}"
"""The name of each file that a path wants to write elsewhere."""

csv.field_size_limit(1 << 30)


@dataclass
class Found:
    """What came of the inputs of one kind."""

    inputs: int = 0
    refused: int = 0
    """Inputs that ended in a clear error."""
    set_aside: int = 0
    """Inputs that ended in rejects, or in members that are counted and named."""
    sound: int = 0
    """Changed inputs that were delivered as they are."""
    slowest: float = 0.0
    peak: int = 0
    faults: list[str] = field(default_factory=list)


class Trial:
    """A folder with a landing zone, and a process that brings files in; a context manager."""

    def __init__(self, private_key: bytes) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hostile-"))
        for name in ("in", "work", "home", "keys", "healthy", "outside"):
            (self.folder / name).mkdir()
        (self.folder / "keys" / "private.asc").write_bytes(private_key)
        (self.folder / "outside" / "untouched").write_text("as it was")
        healthy = packed(b"".join(tar_member(*member) for member in GOOD_MEMBERS) + bytes(1024))
        (self.folder / "healthy" / "mitx-2024-02-07.tar.gz").write_bytes(healthy)
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = b""
        self._healthy: dict[Road, dict[str, bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self.folder)

    def run(self, cases: Iterable[Case], found: Found, told: Callable[[Case, float], None] = lambda *_: None) -> None:
        """Bring inputs in with one process, and note what is wrong."""
        with measured(own=False) as measurement:
            for case in cases:
                path = case.write(self.folder / "in")
                self._process = self._process or self._start()
                before = self._outside()
                started = time.monotonic()
                answer = self._ask(case, path)
                seconds = time.monotonic() - started
                faults = list(self._faults(case, path, answer, before))
                if measurement.peak_rss > MOST_BYTES:
                    faults.append(f"{measurement.peak_rss >> 20} MB are too much memory")
                    measurement.peak_rss, found.peak = 0, max(found.peak, measurement.peak_rss)
                found.faults += [f"{case.kind}, {case.title}: {fault}" for fault in faults]
                found.inputs += 1
                found.slowest = max(found.slowest, seconds)
                if answer.errors:
                    found.refused += 1
                elif answer.set_aside:
                    found.set_aside += 1
                else:
                    found.sound += 1
                told(case, seconds)
                path.unlink(missing_ok=True)
                self._empty()
        found.peak = max(found.peak, measurement.peak_rss)

    def _faults(self, case: Case, path: Path, answer: Answer, before: dict[str, object]) -> Iterator[str]:
        if answer.unexpected is not None:
            yield answer.unexpected
        named = path.name if case.road in {Road.ARCHIVE, Road.LOG} else COURSE
        yield from (f"an error that does not name {named}: {error}" for error in answer.errors if named not in error)
        if not (answer.errors or answer.set_aside or case.may_be_sound):
            yield "delivered as if nothing were wrong"
        objects = landed(self.folder / "lake")
        yield from self._faults_of_objects(case, answer, objects)
        outside = self._outside()
        yield from (f"written outside: {each}" for each in outside if outside[each] != before.get(each))
        yield from (f"deleted outside: {each}" for each in before if each not in outside)
        if left := [each.name for each in (self.folder / "work").glob("*/**/*")]:
            yield f"left in the folder for temporary files: {left}"

    def _faults_of_objects(self, case: Case, answer: Answer, objects: dict[str, bytes]) -> Iterator[str]:
        healthy = self._healthy.get(case.road, {})
        changed = [key for key, content in healthy.items() if _stable(objects.get(key, b"")) != content]
        if changed:
            yield f"the healthy data beside it did not land as it is: {changed}"
        others = {key: content for key, content in objects.items() if key not in healthy}
        if case.road is Road.ARCHIVE:
            yield from filter(None, (problem_of_object(*each) for each in others.items()))
            if answer.is_refused and (kept := [key for key in others if not key.startswith("edxorg/rejects/")]):
                yield f"a refused archive left {kept}"
            if answer.rows is not None and not answer.errors:
                yield from _lost_rows(answer.rows, objects)
        elif case.road is Road.LOG:
            expected = {f"edxorg/raw_data/tracking_logs/normalized_{case.name}"}
            yield from (f"{key!a} is no key of a log" for key in others if case.name not in key)
            if expected <= set(others):
                yield from _lost_lines(case, others)
        else:
            for key, content in others.items():
                if f"/prod/{COURSE}/" not in key and f"/{COURSE}|prod/" not in key:
                    yield f"{key!a} is no key of the course"
                if key.endswith(".json"):
                    _ = [json.loads(line) for line in content.splitlines()]

    def learn_healthy(self, case: Case) -> None:
        """Note what lands of healthy data alone."""
        answer = self._ask(case, case.write(self.folder / "in"))
        if answer.unexpected or answer.errors or answer.set_aside:
            raise AssertionError(answer)
        objects = landed(self.folder / "lake")
        own = GOOD_LOG[0] if case.road is Road.LOG else GOOD
        self._healthy[case.road] = {key: _stable(content) for key, content in objects.items() if own in key}
        if not self._healthy[case.road]:
            raise AssertionError(objects)
        self._empty()

    def _outside(self) -> dict[str, object]:
        """All files that no input may change."""
        found: dict[str, object] = {}
        for root in ("outside", "healthy", "keys"):
            for path in sorted((self.folder / root).rglob("*")):
                found[f"{root}/{path.name}"] = (path.is_symlink(), path.lstat().st_mtime_ns, path.lstat().st_size)
        for folder in (
            self.folder,
            self.folder.parent,
            Path("/"),
            Path("/etc"),
            Path("/var"),
            Path.home(),
            ROOT,
            self.folder / "in",
        ):
            names = [each.name for each in folder.iterdir()]
            found |= {f"{folder}/{name}": name for name in names if folder == self.folder or TOKEN in name}
        for name in ("lake", "archives"):
            found.pop(f"{self.folder}/{name}", None)
        return found

    def _empty(self) -> None:
        for name in ("lake", "archives"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _ask(self, case: Case, path: Path) -> Answer:
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps([case.road, str(path), case.is_alone]).encode() + b"\n")
        process.stdin.flush()
        line = self._next_line(process, MOST_SECONDS)
        if line is None:
            self._end()
            return Answer(
                unexpected=f"no answer within {MOST_SECONDS:.0f} s, or the process died ({process.returncode})"
            )
        return Answer(**json.loads(line))

    def _next_line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        """Return what the process says next, or `None` if that is nothing."""
        assert process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._answered:
            if not select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                return None
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                return None
            self._answered += piece
        line, _, self._answered = self._answered.partition(b"\n")
        return line

    def _start(self) -> subprocess.Popen[bytes]:
        self._answered = b""
        work = str(self.folder / "work")
        with (self.folder / "home" / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", _BRINGING, str(self.folder)],
                cwd=self.folder / "home",
                env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": work, "HOME": str(self.folder / "home")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        if self._next_line(self._process, MOST_SECONDS_TO_START) is None:
            raise AssertionError(f"{_BRINGING} does not start: {(self.folder / 'home' / 'log').read_text()}")
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(self.folder / "work")
        (self.folder / "work").mkdir()


def _stable(content: bytes) -> bytes:
    """The content of an object without the time of its run."""
    return re.sub(rb'"retrieved_at": "[^"]*"', b"", content)


def _lost_rows(rows: tuple[int, int], objects: dict[str, bytes]) -> Iterator[str]:
    """Compare the counts with the rows that a reader finds."""
    tables = [content.decode() for key, content in objects.items() if key.endswith(".tsv")]
    read = [len(list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True))) - 1 for text in tables]
    rejected = sum(content.count(b"\n") for key, content in objects.items() if key.endswith(".ndjson"))
    if tuple(rows) != (sum(read), rejected):
        yield f"{rows} rows were counted, and {sum(read)} and {rejected} landed"


def _lost_lines(case: Case, objects: dict[str, bytes]) -> Iterator[str]:
    """Compare the lines of a log with those that landed, were rejected, or are blank."""
    assert isinstance(case.content, bytes)
    try:
        lines = gzip.decompress(case.content).removesuffix(b"\n").split(b"\n")
    except (OSError, EOFError):
        return
    blank = sum(not line.strip(b" \t\r") for line in lines)
    found = [
        gzip.decompress(content).count(b"\n") for key, content in objects.items() if not key.endswith(".record.gz")
    ]
    if sum(found) + blank != len(lines):
        yield f"{len(lines)} lines became {found}, and {blank} are blank"

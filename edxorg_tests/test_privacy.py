"""Rows of learners go to the landing zone and nowhere else; and what is on disk meanwhile is for one user alone."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import shlex
import tempfile
import threading
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, ClassVar

import pytest

from edxorg_tests.secrets import COLD, LAKE, Trials, trials_in
from edxorg_tests.support.archives import TABLE, encrypted, table_name, tar_bytes, write_zip
from edxorg_tests.support.course_files import COURSE, course_xml, structure
from edxorg_tests.support.leaks import leaks, spellings, texts_of
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg_tests.support.shell import Shell
    from ol_orchestrate.testing.openpgp_keys import GnuPG

MARKED = (
    *("plain", "escaped", "quoted", "ambiguous", "too_short", "no_utf8", "neighbor", "too_long", "all_rejected"),
    *("no_header", "twice_in_header", "post", "broken_post", "preference", "unknown_member", "broken_structure"),
    *("no_structure", "signatory", "broken_markup", "broken_policy", "username", "nested", "prefix", "broken_event"),
    *("time", "twice_in_event", "surrogate", "alone"),
)

SET_ASIDE = {"no_header", "twice_in_header", "unknown_member"}
"""What does not land."""

OTHER = "MITx-7.00x-2012_Fall"


def mark(name: str) -> str:
    return f"{name.replace('_', '-')}-{secrets.token_hex(10)}@learner.example"


class Rows(Trials):
    """Trials whose files hold marked rows of learners, of each kind that is read, and of each that is set aside."""

    rows: ClassVar = {name: mark(name) for name in MARKED}

    def files(self, week: int) -> dict[str, bytes]:
        told = {name: value.encode() for name, value in self.rows.items()}
        day = date(2020, 1, 1) + timedelta(weeks=week)
        head = b"id\temail\tstate\n"
        good = b"1\ta@b.example\t{}\n"
        quoted = b"".join(b'%d\t"%b"\t"{""a"": ""b\tc\nd""}"\n' % (number, told["quoted"]) for number in range(20))
        broken_xml = {
            "policies/2012_Fall/policy.json": b'{"course/2012_Fall": {"tags": ["%b"' % told["broken_policy"],
            "html/broken.xml": b"<html><%b></html>" % told["broken_markup"],
        }
        signed = {"signatories": [{"name": self.rows["signatory"], "id": 1}], "id": 2}
        policy = {"course/2012_Fall": {"certificates": {"certificates": [signed]}}}
        whole_xml = {"policies/2012_Fall/policy.json": json.dumps(policy).encode()}
        members = {
            table_name("plain"): head + b"1\t%b\t{}\n" % told["plain"],
            table_name("escaped"): head + b"1\t%b\ta\\\nb\\tc\n" % told["escaped"],
            table_name("quoted"): head + quoted,
            table_name("mixed"): head + good * 99 + b'1\t"%b ""x"" "\t"y""\n' % told["ambiguous"] + quoted[:90],
            table_name("short"): head + good + b"2\t%b\n" % told["too_short"] + b"3\t%b\t{}\n" % told["neighbor"],
            table_name("bytes"): head + good + b"2\t%b\t\xff\n" % told["no_utf8"],
            table_name("long"): head + good + b"2\t%b\t" % told["too_long"] + b"x" * (17 << 20) + b"\n",
            table_name("rejected"): head + b"1\t%b\n" % told["all_rejected"] * 9,
            table_name("headless"): b"12\t%b\tx\n" % told["no_header"] * 3,
            table_name("doubled"): b"%b\t%b\n1\t2\n" % (told["twice_in_header"], told["twice_in_header"]),
            f"{COURSE}-prod.mongo": b'{"_id": {"$oid": "1"}, "body": "%b"}\n{"_id": "%b\n'
            % (told["post"], told["broken_post"]),
            "mitx-email_opt_in-prod-analytics.csv": b"email\n%b\n" % told["preference"],
            "notes.docx": told["unknown_member"],
            f"{COURSE}-course_structure-prod-analytics.json": structure()[:-9] + told["broken_structure"],
            f"{OTHER}-course_structure-prod-analytics.json": b'["%b"]' % told["no_structure"],
            f"{COURSE}-course-prod-analytics.xml.tar.gz": course_xml(f"Week {week}", broken_xml),
            f"{OTHER}-course-prod-analytics.xml.tar.gz": course_xml(f"Week {week}", whole_xml),
        }
        events = [
            b'{"username": "%b", "event": {"x": "%b"}, "time": "%b"}'
            % (told["username"], told["nested"], str(day).encode()),
            b'%b | {"username": "a"}' % told["prefix"],
            b'{"username": "%b' % told["broken_event"],
            b'{"username": "b", "time": "%b"}' % told["time"],
            b'{"username": "%b", "username": "%b"}' % (told["twice_in_event"], told["twice_in_event"]),
            b'{"username": "%b\\ud800"}' % told["surrogate"],
        ]
        package = encrypted([*members.items()][:3], self.marked.gnupg, "edx@example.org")
        return {
            f"{COLD}/mitx-{day}.zip": write_zip(self.keys / "package", package).read_bytes(),
            f"{COLD}/mitx-{day}.tar.gz": gzip.compress(tar_bytes(members), 1, mtime=0),
            f"{COLD}/mitx-edx-events-{day}.log.gz": gzip.compress(b"\n".join(events), mtime=0),
            f"{COLD}/mitx-edx-events-{day + timedelta(1)}.log.gz": gzip.compress(told["alone"] * 3, mtime=0),
        }


@pytest.mark.once
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Dagster's snapshots, and of apprise
def test_rows_of_learners_are_in_the_landing_zone_alone(tmp_path: Path) -> None:
    with trials_in(tmp_path, Rows) as trials:
        trials.day("archives", "logs", "structure", "content")
        trials.day("structure", "content", partition=f"{OTHER}|prod")
        trials.commands("status", "inspect", "archive", "log", "report")
    rows = Rows.rows
    objects = trials.services.s3.objects.items()
    lake = {path: content for path, (_, _, content) in objects if path.startswith(f"/{LAKE}/")}
    reports = [(path, content.decode()) for path, content in lake.items() if "/edxorg/reports/" in path]
    assert reports
    assert {name for name, _ in trials.services.sent} == {"alerts", "errors"}
    assert leaks(rows, [*trials.left_behind(), *((path, path) for path in lake), *reports]) == []
    landed = "\n".join(text for path, content in lake.items() for _, text in texts_of(path, content))
    assert {name for name, value in rows.items() if not any(form in landed for form in spellings(value))} == SET_ASIDE


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for temporary files, near to the root: the path of GnuPG's socket has about a hundred characters."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_what_is_on_disk_meanwhile_is_for_one_user_alone_and_gone_afterwards(
    edxorg: Shell,
    gnupg: GnuPG,
    tmp_path: Path,
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = short_folder
    modes: dict[Path, int] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.01):
            for path in temporary.glob("**/*"):
                with suppress(OSError):  # it has gone meanwhile
                    modes[path] = path.lstat().st_mode

    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "key").write_bytes(gnupg.private_key("ada@example.org"))
    monkeypatch.setenv("EDXORG_GPG_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("EDXORG_ARCHIVE_NAME", "mitx-{date}.zip")
    members = [(f"{COURSE}-course-prod-analytics.xml.tar.gz", course_xml()), (table_name(), TABLE * 10_000)]
    archive = write_zip(tmp_path / "mitx-2024-01-31.zip", encrypted(members, gnupg))
    looking = threading.Thread(target=look)
    before = os.umask(0)
    looking.start()
    try:
        code, printed = edxorg.printed("ingest", "archive", archive, "--landing-zone", tmp_path / "lake")
    finally:
        os.umask(before)
        ended.set()
        looking.join()
    assert code == 0, printed
    assert any(path.name.startswith("keys-") for path in modes)
    assert [path for path in modes if path.parent == temporary and not path.is_dir()] == []
    landed = {
        path: path.lstat().st_mode for path in (tmp_path / "home", tmp_path / "lake", *tmp_path.glob("lake/**/*"))
    }
    in_folders = {path: mode for path, mode in modes.items() if S_ISDIR(mode)}
    assert {path: oct(mode) for path, mode in (landed | in_folders).items() if mode & 0o077} == {}
    assert [path for folder in temporary.iterdir() for path in folder.iterdir()] == []


def test_the_examples_of_the_page_find_a_learners_rows(
    edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    commands = [line.removeprefix("$ edxorg ") for line in page.splitlines() if line.startswith("$ edxorg ")]
    monkeypatch.chdir(tmp_path)
    for command in commands:
        words = shlex.split(command)
        is_query = words[0] == "query"
        arguments = (
            words if is_query else [path for each in words for path in sorted(map(str, tmp_path.glob(each))) or [each]]
        )
        code, out, err = edxorg(*arguments, *(["--format", "json"] if is_query else []))
        assert code == 0, f"{command}: {out}{err}"
        assert not is_query or json.loads(out), command
    assert len(commands) > 10

"""The marks of archive runs: their objects, and what their times say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.archive.marks import FoundMark, RunMark, marks_in
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.stores import ObjectStore, open_store
from ol_orchestrate.lib.stores.path import StorePath

if TYPE_CHECKING:
    from pathlib import Path

STARTED = datetime(2024, 1, 31, 12, tzinfo=UTC)
KEY = "edxorg/unfinished/run.0.json"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(f"file://{tmp_path}/lake")


def test_a_mark_tells_an_operator_which_run_left_it(store: ObjectStore) -> None:
    left = RunMark("run", 1, "archive.zip", "etag", STARTED).leave_in(store)
    key = "edxorg/unfinished/run.1.json"
    assert json.loads(StorePath.of(store, key).read_bytes()) == {
        "run": "run",
        "archive": "archive.zip",
        "archive_version": "etag",
        "started": "2024-01-31T12:00:00+00:00",
    }
    assert marks_in(store) == [FoundMark("run", key, left)]


def test_a_mark_says_nothing_of_an_archive_that_has_no_name(store: ObjectStore) -> None:
    RunMark("run").leave_in(store)
    content = json.loads(StorePath.of(store, KEY).read_bytes())
    assert (content["archive"], content["archive_version"]) == ("", "")


def test_a_mark_that_is_there_keeps_its_time(store: ObjectStore) -> None:
    mark = RunMark("run", started=STARTED)
    first = mark.leave_in(store)
    content = StorePath.of(store, KEY).read_bytes()
    assert RunMark("run", archive="another").leave_in(store) == first
    assert StorePath.of(store, KEY).read_bytes() == content


def test_a_mark_that_is_gone_at_once_ends_the_run(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(store), "find", lambda *_: None)
    with pytest.raises(ServiceError, match=rf"lake/{KEY}: this mark was written, and is gone"):
        RunMark("run").leave_in(store)


def test_workers_that_begin_together_have_ten_minutes() -> None:
    assert FoundMark("run", KEY, STARTED).began == STARTED - timedelta(minutes=10)


@pytest.mark.parametrize(("since_a_week", "is_old"), [(timedelta(hours=-1), False), (timedelta(hours=1), True)])
def test_a_mark_is_old_after_a_week(since_a_week: timedelta, *, is_old: bool) -> None:
    left = datetime.now(UTC) - timedelta(days=7) - since_a_week
    assert FoundMark("run", KEY, left).is_old is is_old

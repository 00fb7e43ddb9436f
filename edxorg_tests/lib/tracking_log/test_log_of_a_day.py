from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from edxorg.samples.sample_log import write_sample_log

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg.samples.hazards import LogTruth
    from edxorg_tests.support.tracking_logs import Normalize

EVENTS = 30_000


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LogTruth]:
    path = tmp_path_factory.mktemp("sample") / "day.log.gz"
    return path, write_sample_log(path, events=EVENTS, seed=11)


def test_the_summary_is_what_a_reader_finds(written: tuple[Path, LogTruth], normalize: Normalize) -> None:
    path, summary = written
    report = normalize(packed=path.read_bytes()).report
    assert summary.events == EVENTS
    assert report.lines_in == summary.lines
    assert report.blank == summary.blank > 0
    assert report.syslog_prefixes == summary.syslog_prefixes > 0
    assert report.rejected == summary.rejected
    assert set(summary.rejected) == {"no_json_object", "unreadable_time"}
    assert report.bytes_in == summary.bytes_compressed == path.stat().st_size
    assert report.bytes_unpacked == summary.bytes_unpacked


def test_events_have_the_size_and_the_variety_of_real_ones(written: tuple[Path, LogTruth]) -> None:
    path, summary = written
    assert 1_000 < summary.bytes_unpacked / EVENTS < 1_200
    assert 90 < summary.bytes_compressed / EVENTS < 140
    lines = gzip.decompress(path.read_bytes()).splitlines()
    events = [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]
    assert {type(event["event"]) for event in events} == {str, dict, list}
    assert "" in {event["event"] for event in events if isinstance(event["event"], str)}
    assert {event["event_source"] for event in events} == {"browser", "server", "mobile"}
    assert {type(event["time"]) for event in events} == {str, int}
    zones = {event["time"][19:].lstrip(".0123456789") for event in events if isinstance(event["time"], str)}
    assert zones == {"", "Z", "+00:00", "-05:00"}
    assert "label" not in set().union(*events[: EVENTS // 2])
    assert "label" in set().union(*events)


def test_the_seed_decides(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        summary = write_sample_log(tmp_path / name, events=2_500, seed=seed)
        assert summary.events == 2_500
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[int] = []
    write_sample_log(tmp_path / "log", events=2_500, seed=1, progress=lambda summary: seen.append(summary.events))
    assert seen == [1_000, 2_000, 2_500]

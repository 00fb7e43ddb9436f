"""Normalized logs, sampled and real, as the readers that users have see them."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import pandas as pd  # no stubs are installed
import polars as pl
import pytest

from edxorg.samples.sample_log import write_sample_log
from edxorg_tests.support.tracking_logs import Normalize, rejects, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "day.log.gz"
    write_sample_log(path, events=12_000, seed=5)
    return path


class TestSampleLog:
    @pytest.mark.parametrize("reader", ["duckdb", "polars", "pandas"])
    def test_readers_see_the_values(self, reader: str, sample: Path, normalize: Normalize, tmp_path: Path) -> None:
        log = normalize(packed=sample.read_bytes(), block=100_000)
        expected = rows(log)
        assert log.output is not None
        path = tmp_path / "normalized.ndjson.gz"
        path.write_bytes(log.output.reader().read())
        assert path.read_bytes().count(b"\x1f\x8b\x08") > 1  # members, or a value that looks like one
        assert getattr(self, reader)(path, log.report.columns) == [list(row.values()) for row in expected]

    @staticmethod
    def duckdb(path: Path, columns: list[str]) -> list[list[str | None]]:
        types = dict.fromkeys(columns, "VARCHAR")
        query = "SELECT * FROM read_ndjson($path, columns = $types)"
        return [list(row) for row in duckdb.execute(query, {"path": str(path), "types": types}).fetchall()]

    @staticmethod
    def polars(path: Path, columns: list[str]) -> list[list[str | None]]:
        frame = pl.read_ndjson(path, schema=dict.fromkeys(columns, pl.String))
        return [list(row) for row in frame.rows()]

    @staticmethod
    def pandas(path: Path, columns: list[str]) -> list[list[str | None]]:
        frame = pd.read_json(path, lines=True, dtype=False, convert_dates=False, compression="gzip")
        assert list(frame.columns) == columns
        return [[None if pd.isna(value) else value for value in row] for row in frame.itertuples(index=False)]

    def test_the_same_bytes_out_however_it_streams_in(self, sample: Path, normalize: Normalize) -> None:
        packed = sample.read_bytes()
        outputs = set()
        for block in (1_000, 100_000, len(packed)):
            log = normalize(packed=packed, block=block)
            assert log.output is not None
            assert log.rejects is not None
            outputs.add((log.output.sha256, log.rejects.sha256, log.version))
        assert len(outputs) == 1

    def test_usual_lines_need_no_exact_path(self, sample: Path, normalize: Normalize) -> None:
        assert normalize(packed=sample.read_bytes()).report.exact_path_lines == 0


class TestRealLogs:
    @pytest.mark.parametrize(
        "name",
        [
            "event_export_tracking",
            "lms_courseware_link_clicked_acceptance_tracking",
            "problem_response_tracking",
            "student_engagement_acceptance_tracking",
            "video_timeline",
        ],
    )
    def test_an_independent_reader_agrees(
        self, name: str, normalize: Normalize, real_data: Callable[[str], Path]
    ) -> None:
        content = real_data(f"tracking-logs/{name}.log").read_bytes()
        log = normalize(packed=gzip.compress(content))
        delivered = iter(rows(log))
        rejected = {reject["line"]: reject for reject in rejects(log)}
        for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
            event = independent_event(line)
            if event is not None:
                row = next(delivered)
                assert list(row) == log.report.columns
                assert {key: value for key, value in row.items() if value is not None} == event
            elif line.strip():
                assert rejected.pop(number)["raw"].encode() == line
        assert not rejected
        assert next(delivered, None) is None
        assert log.report.lines_out > 10


def independent_event(line: bytes) -> dict[str, str] | None:
    """The event by Python's own reader: values that are no strings as their text in the line, and none that is null."""
    text = re.sub(r"^[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S+ (?={)", "", line.decode())
    try:
        pairs = json.loads(text, object_pairs_hook=list)
        event = json.loads(text)
    except ValueError:
        return None
    if not isinstance(event, dict) or len(event) != len(pairs):
        return None
    decoder = json.JSONDecoder()
    event = {key: value for key, value in event.items() if value is not None}
    for key, value in event.items():
        if not isinstance(value, str):
            candidates = [decoder.raw_decode(text, m.end()) for m in re.finditer(f'"{re.escape(key)}"\\s*:\\s*', text)]
            starts = [m.end() for m in re.finditer(f'"{re.escape(key)}"\\s*:\\s*', text)]
            event[key] = next(
                text[start:end] for start, (found, end) in zip(starts, candidates, strict=True) if found == value
            )
    try:
        moment = datetime.fromisoformat(event["time"])
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    event["time"] = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return event

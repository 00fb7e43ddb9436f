"""`edxorg query` over landing zones of all kinds, as a user calls it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import time
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import pytest
from rich.console import Console

from edxorg.commands import console
from edxorg.lib.dictionary import DICTIONARY
from edxorg_tests.support.archives import table_name, write_archive
from edxorg_tests.support.location import ArchiveLocation
from edxorg_tests.support.shell import Shell
from edxorg_tests.support.tables import convert as converted
from edxorg_tests.support.tables import csv_minimal, exporter, mysqlpipe
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ol_orchestrate.lib.stores import ObjectStore
    from ol_orchestrate.testing.servers import GCSServer, S3Server

TABLES = "edxorg/raw_data/db_table"
ENROLLMENTS = f"{TABLES}/student_courseenrollment"


class Lake:
    """A landing zone, and the command over it."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self.store: ObjectStore = open_store(url)
        self._shell = Shell(monkeypatch, capsys)

    def write(self, key: str, text: str) -> None:
        data = text.encode()
        self.store.write(key, gzip.compress(data) if key.endswith(".gz") else data)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        return self._shell.printed("query", "--landing-zone", self.url, *arguments)

    def rows(self, sql: str, *arguments: str) -> list[dict[str, Any]]:
        code, printed = self(sql, "--format", "json", *arguments)
        assert code == 0, printed
        found: list[dict[str, Any]] = json.loads(printed)
        return found


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lake:
    made = Lake(f"file://{tmp_path}/the lake's [folder]", monkeypatch, capsys)
    made.write("edxorg/reports/mitx-2024-01-31.tar.gz.html", "")
    return made


@pytest.fixture(params=["folder", "s3", "gcs"])
def any_lake(
    request: pytest.FixtureRequest, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lake:
    if request.param == "folder":
        return lake
    server: S3Server | GCSServer = request.getfixturevalue("moto_server" if request.param == "s3" else "gcs_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    scheme, bucket = ("s3", "s3_bucket") if request.param == "s3" else ("gs", "gcs_bucket")
    return Lake(f"{scheme}://{request.getfixturevalue(bucket)}/lake", monkeypatch, capsys)


def test_raw_records_of_the_catalogue_are_one_column_of_json(lake: Lake) -> None:
    titles = "SELECT record->>'title' AS title FROM api_courses_raw ORDER BY ALL"
    assert lake.rows(titles) == []
    lake.write("edxorg/api_data/courses_raw/a.json", '{"title":"A","x":1.10}\n{"title":"B","other":[{}]}\n')
    assert lake.rows(titles) == [{"title": "A"}, {"title": "B"}]
    assert lake.rows("SELECT record::TEXT AS text FROM api_courses_raw LIMIT 1") == [{"text": '{"title":"A","x":1.10}'}]


def test_the_current_version_of_each_course_is_shown(any_lake: Lake) -> None:
    update, revert = (f"{ENROLLMENTS}/prod/MITx-{number}-1T2024" for number in (1, 2))
    any_lake.write(f"{update}/a.tsv", "id\tmode\n1\taudit\n")
    any_lake.write(f"{revert}/b.tsv", "id\tmode\n2\taudit\n3\taudit\n")
    any_lake.write(f"{ENROLLMENTS}/edge/MITx-1-1T2024/c.tsv", "id\tmode\n4\thonor\n")
    any_lake.write("edxorg/raw_data/tracking_logs/normalized_a.log.gz", '{"username":"x","event":"{\\"a\\":1}"}\n')
    any_lake.write("edxorg/raw_data/tracking_logs/normalized_b.log.gz", '{"username":null,"other":"y"}\n')
    any_lake.write(
        "edxorg/processed_data/course_blocks/MITx-1-1T2024|prod/d.json", '{"block_id":"b","block_index":7}\n'
    )
    time.sleep(1.1)  # moto's clock has seconds
    any_lake.write(f"{update}/e.tsv", "id\tmode\n1\tverified\n")
    any_lake.write(f"{revert}/f.tsv", "id\tmode\n2\tverified\n")
    time.sleep(1.1)
    any_lake.write(f"{revert}/b.tsv", "id\tmode\n2\taudit\n3\taudit\n")
    modes = "SELECT id, mode FROM student_courseenrollment ORDER BY id"
    assert [(row["id"], row["mode"]) for row in any_lake.rows(modes)] == [
        ("1", "verified"),
        ("2", "audit"),
        ("3", "audit"),
        ("4", "honor"),
    ]
    assert [row["id"] for row in any_lake.rows(modes, "--site", "edge")] == ["4"]
    logs = any_lake.rows("SELECT username, event->>'a' AS a FROM tracking_logs ORDER BY username")
    assert logs == [{"username": "x", "a": "1"}, {"username": None, "a": None}]
    assert any_lake.rows("SELECT block_index + 1 AS next FROM course_blocks") == [{"next": 8}]


def test_updates_reverts_and_archives_published_again_show_what_is_current(any_lake: Lake, tmp_path: Path) -> None:
    first, second, third = (f"mitx-2024-01-{day}.tar.gz" for day in ("10", "17", "24"))
    weeks = [
        (first, "audit", "audit"),
        (second, "honor", "honor"),  # an update
        (third, "audit", "audit"),  # a revert
        (second, "no-id", "audit"),  # published again, and older than what is current
        (third, "masters", "masters"),  # published again
        (third, "audit", "audit"),  # and once more, as it was
    ]
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        location = ArchiveLocation(tmp_path, instance)
        location.settings = location.settings.model_copy(update={"landing_zone_url": any_lake.url})
        for archive, mode, current in weeks:
            table = table_name("student_courseenrollment")
            write_archive(location.archives / archive, {table: f"id\tmode\n1\t{mode}\n".encode()})
            assert location.run(archive).success
            assert any_lake.rows("SELECT id, mode FROM student_courseenrollment") == [{"id": "1", "mode": current}]


def test_a_log_is_of_the_site_in_its_name(lake: Lake) -> None:
    for name in ("delftx-edge-events-2024-01-31.log.gz.gpg", "delftx-prod-events-2024-01-31.log.gz", "other.log.gz"):
        record = gzip.compress(json.dumps({"username": name[:8]}).encode())
        lake.store.write(f"edxorg/raw_data/tracking_logs/normalized_{name}", record)
    found = lake.rows("SELECT username FROM tracking_logs ORDER BY ALL", "--site", "prod")
    assert [row["username"] for row in found] == ["delftx-p", "other.lo"]


def test_values_of_logs_are_those_that_landed(lake: Lake) -> None:
    odd = ["\t", "\n", "\r\n", '"', "\\", "\\N", "NULL", "null", "", " ", "\x1b[31m", "é\u2028", ",", "{", "'", None]
    events = [{"username": str(number), "page": value} for number, value in enumerate(odd)]
    lake.write("edxorg/raw_data/tracking_logs/normalized_a.log.gz", "".join(f"{json.dumps(each)}\n" for each in events))
    assert lake.rows("SELECT username, page FROM tracking_logs ORDER BY username::INT") == events


@pytest.mark.parametrize("write", [exporter, mysqlpipe, csv_minimal])
def test_values_are_those_that_landed(lake: Lake, write: Callable[[list[list[str | None]]], bytes]) -> None:
    odd = ["\t", "\n", "\r\n", '"', '""', "\\", "\\N", "NULL", "", " ", "\x00", "\x1b[31m", "é\u2028", ",", "#", "'"]
    table: list[list[str | None]] = [["id", "meta", "bio"]]
    table += [[str(number), f"x{odd[number]}y", odd[-number]] for number in range(len(odd))]
    output = converted(write(table)).output
    assert output is not None
    lake.store.write(f"{TABLES}/auth_userprofile/prod/MITx-1-1T2024/a.tsv", output)
    expected = list(csv.DictReader(io.StringIO(output.decode(), newline=""), delimiter="\t"))
    found = lake.rows("SELECT * FROM auth_userprofile")
    assert sorted(found, key=lambda row: row["row_hash"]) == sorted(expected, key=lambda row: row["row_hash"])
    assert len(found) > 5


def test_courses_whose_tables_have_other_columns_are_shown_together(lake: Lake) -> None:
    lake.write(f"{TABLES}/teams/prod/MITx-1-1T2024/a.tsv", "id\tname\n1\ta\n")
    lake.write(f"{TABLES}/teams/prod/MITx-2-1T2024/b.tsv", "name\tid\tId\n" + f"{'b' * 3_000_000}\t2\t9\n")
    found = lake.rows("SELECT id, length(name) AS length, Id_1 AS other FROM teams ORDER BY id")
    assert found == [{"id": "1", "length": 1, "other": None}, {"id": "2", "length": 3_000_000, "other": "9"}]


def test_a_table_that_is_not_in_the_dictionary_has_a_view_and_an_output_without_objects_has_no_rows(lake: Lake) -> None:
    lake.write(f"{TABLES}/brand_new/prod/MITx-1-1T2024/a.tsv", "id\n1\n")
    assert lake.rows("SELECT b.id FROM brand_new b LEFT JOIN teams t ON t.id = b.id") == [{"id": "1"}]
    code, printed = lake("--list")
    assert code == 0
    assert "brand_new" in printed
    for output in DICTIONARY.values():
        assert (output.view or output.name) in printed or output.format.value in {"JSON", "tar.gz"}
    assert "account" in printed
    assert "its last version with rows" in " ".join(printed.split())


def test_a_name_in_capitals_is_the_same_table(lake: Lake) -> None:
    lake.write(f"{TABLES}/My_new_table/prod/MITx-1-1T2024/a.tsv", "id\n1\n")
    assert lake.rows("SELECT id FROM MY_NEW_TABLE") == [{"id": "1"}]


@pytest.mark.parametrize(
    ("name", "near"), [("student_courseenrolment", "student_courseenrollment"), ("My_new_tabel", "my_new_table")]
)
def test_the_nearest_view_is_suggested(lake: Lake, name: str, near: str) -> None:
    lake.write(f"{TABLES}/my_new_table/prod/MITx-1-1T2024/a.tsv", "id\n1\n")
    code, printed = lake(f"SELECT * FROM {name}")  # noqa: S608 - a name of the test
    assert code == 2
    assert re.findall('Did you mean "(.*)"', printed) == [near]


@pytest.mark.parametrize(
    ("sql", "place"),
    [("SELECT nope\nFROM teams", "LINE 1: SELECT nope"), ("SELECT 1,\n  nope FROM teams", "LINE 2:   nope")],
)
def test_an_error_shows_the_place_in_the_text_of_the_user(lake: Lake, sql: str, place: str) -> None:
    code, printed = lake(sql)
    assert code == 2
    shown, mark = printed[printed.index("LINE") :].splitlines()[:2]
    assert shown.startswith(place)
    assert mark.index("^") == shown.index("nope")


def test_a_landing_zone_without_anything_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Lake(f"file://{tmp_path}/empty", monkeypatch, capsys)
    code, printed = empty("SELECT count(*) FROM teams")
    assert code == 2
    assert f"{empty.url}: there is no such folder" in printed
    (tmp_path / "empty").mkdir()
    code, printed = empty("SELECT count(*) FROM teams")
    assert code == 0
    assert f"{empty.url}: nothing has landed there" in printed


def test_views_serve_in_other_tools(lake: Lake, tmp_path: Path) -> None:
    lake.write(f"{ENROLLMENTS}/prod/MITx-1-1T2024/a.tsv", "id\tmode\n1\taudit\n")
    code, statements = lake("--sql")
    assert code == 0
    assert lake("--save", str(tmp_path / "lake.duckdb"))[0] == 0
    with duckdb.connect() as made, duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as saved:
        made.execute(statements)
        for connection in (made, saved):
            assert connection.execute("SELECT * FROM student_courseenrollment").fetchall() == [("1", "audit")]
            assert connection.execute("SELECT count(*) FROM course_blocks").fetchall() == [(0,)]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_an_answer_goes_to_a_file_in_the_format_of_its_name(lake: Lake, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"answer's.{form}"
    sql = "SELECT 1 AS n, 'a,\"b' AS text, NULL AS nothing -- the end"
    assert lake(sql, "--out", str(out)) == (0, "")
    read = {"csv": "read_csv", "json": "read_json", "parquet": "read_parquet"}[form]
    answer = f"SELECT * FROM {read}(?)"  # noqa: S608 - a function's name
    assert duckdb.execute(answer, [str(out)]).fetchall() == [(1, 'a,"b', None)]
    code, _ = lake("SELECT error('halfway')", "--out", str(out))
    assert code == 1
    assert len(duckdb.execute(answer, [str(out)]).fetchall()) == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_no_name_of_a_column_changes_an_answer(lake: Lake, tmp_path: Path, form: str) -> None:
    names = ["answer", "unnamed_subquery", "x", "*", 'a."b', "twice"]
    columns = ", ".join(
        f"{number} AS {json.dumps(name).replace(chr(92), chr(34))}" for number, name in enumerate(names)
    )
    out = tmp_path / f"out.{form}"
    assert lake(f"SELECT {columns}, 6 AS twice", "--out", str(out), "--format", form)[0] == 0
    if form == "table":
        assert re.findall(r"\b\d\b", out.read_text().replace("int32", "")) == [*"0123456"]
        return
    read = {"csv": "read_csv", "json": "read_json", "parquet": "read_parquet"}[form]
    answer = duckdb.execute(f"SELECT * FROM {read}(?)", [str(out)])  # noqa: S608 - a function's name
    assert [column[0] for column in answer.description or ()] == [*names, "twice_1"]
    assert answer.fetchall() == [tuple(range(7))]


def test_a_file_that_cannot_be_written_is_a_mistake(lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "x.csv"
    code, printed = lake("SELECT 1", "--out", str(out))
    assert code == 2
    assert f"{out}: No such file or directory: choose a path that can be written to" in printed


def test_an_answer_without_rows_is_an_empty_array(lake: Lake) -> None:
    assert lake.rows("SELECT * FROM teams") == []


@pytest.mark.parametrize("terminal", [True, False])
def test_the_list_of_views_folds_no_name(lake: Lake, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    lake.write(f"{TABLES}/assessment_assessmentfeedback_assessments/prod/MITx-1-1T2024/a.tsv", "id\n1\n")
    monkeypatch.setattr(console, "out", Console(force_terminal=terminal, width=50))
    _, printed = lake("--list")
    (line,) = [each for each in printed.splitlines() if each.startswith("assessment_assessmentfeedback_assessments")]
    assert line.startswith("assessment_assessmentfeedback_assessments: 1 object, 0.0 MB. ")


WIDE = "SELECT repeat('x', 90) AS first, 1 AS second, repeat('y', 90) AS third FROM range(30)"


def test_nothing_is_cut_off_in_a_pipe(lake: Lake) -> None:
    code, printed = lake(WIDE)
    assert (code, "…" in printed) == (0, False)
    assert 90 * "x" in printed
    assert 90 * "y" in printed


def test_a_table_fits_the_terminal_and_becomes_records_on_a_narrow_one(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "out", Console(force_terminal=True, width=100))
    _, printed = lake(WIDE)
    assert max(map(len, printed.splitlines())) <= 100
    monkeypatch.setattr(console, "out", Console(force_terminal=True, width=50))
    _, printed = lake(WIDE)
    lines = printed.splitlines()
    assert lines[:4] == ["row 1", f"  first: {90 * 'x'}", "  second: 1", f"  third: {90 * 'y'}"]
    assert lines[-1] == "These are the first 20 rows: --format csv gives all"


def test_a_table_on_a_terminal_obeys_no_escape_in_the_data(lake: Lake) -> None:
    code, printed = lake("SELECT chr(27) || '[31m' AS red")
    assert code == 0
    assert "\x1b" not in printed
    assert "[31m" in printed


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--list"),
        (["SELECT 1", "--list"], "--list"),
        (["SELECT 1", "--format", "parquet"], "--out"),
        (["SELEC 1"], "SELEC"),
        (["SELECT * FROM nowhere"], "--list"),
        (["SELECT nothing FROM teams"], "nothing"),
    ],
)
def test_a_mistake_is_told_as_one(lake: Lake, arguments: list[str], word: str) -> None:
    code, printed = lake(*arguments)
    assert code == 2
    assert word in printed

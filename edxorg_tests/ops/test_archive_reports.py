"""The report of an archive: what is recorded, what it says, and how it is written again."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import dagster as dg

from edxorg.assets.edxorg_archive import raw_data_archives
from edxorg.lib.archive.ingest_report import IngestReport, MemberOutcome, MemberResult
from edxorg.lib.archive_report import page, summarize, text
from edxorg.lib.members import MemberKind, identify
from edxorg.lib.settings import Settings
from edxorg.ops.archive_reports import ArchiveReports
from edxorg_tests.support.archives import table_name, write_archive
from edxorg_tests.support.location import ArchiveLocation
from ol_orchestrate.lib.stores import SourceInfo
from ol_orchestrate.lib.versions import TableStats

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg_tests.support.shell import Shell

FIRST, SECOND, THIRD = "mitx-2024-01-24.tar.gz", "mitx-2024-01-31.tar.gz", "mitx-2024-02-07.tar.gz"

RAW_ARCHIVE = dg.AssetKey(["edxorg", "raw_data_archive"])


def rows(count: int) -> bytes:
    return b"id\tname\n" + b"".join(b"%d\tsecret-name\n" % number for number in range(count))


class Run:
    """The archive job over folders, with the instance of a command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, instance: dg.DagsterInstance, name: str, members: dict[str, bytes] | None = None
    ) -> dict[str, Any]:
        if members is not None:
            write_archive(self.folder / "archives" / name, members)
        result = ArchiveLocation(self.folder, instance).run(name)
        (event,) = [each for each in result.all_events if each.event_type_value == "STEP_OUTPUT"]
        return {name: value.value for name, value in event.step_output_data.metadata.items()}


def observations(instance: dg.DagsterInstance) -> list[dg.AssetObservation]:
    records = instance.fetch_observations(RAW_ARCHIVE, limit=10).records
    return [each.asset_observation for each in records if each.asset_observation]


class Checked(HTMLParser):
    """Refuses what a page must not have, and keeps its text."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "img", "iframe", "object", "a"}
        assert not {"src", "href", "srcset", "onload"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def shown(html: str) -> str:
    checked = Checked()
    checked.feed(html)
    assert "url(" not in html
    assert "@import" not in html
    return " ".join(checked.words)


def test_the_numbers_of_two_weeks(edxorg: Shell, tmp_path: Path) -> None:
    run, zone = Run(tmp_path), tmp_path / "lake" / "edxorg" / "reports"
    first = {
        table_name(course="MITx-1-1T2024"): rows(9),
        table_name("teams", course="MITx-1-1T2024"): rows(5),
        table_name(course="MITx-2-1T2024"): rows(3),
    }
    second = {
        table_name(course="MITx-1-1T2024"): rows(4) + b"broken\n",
        table_name("teams", course="MITx-1-1T2024"): rows(5),
        table_name(course="MITx-3-1T2024"): rows(2),
        f"{table_name('auth_userprofile', course='MITx-3-1T2024')}.failed": b"Traceback",
        "odd.csv": b"1",
    }
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run(instance, FIRST, first)
        metadata = run(instance, SECOND, second)
        of_second, of_first = observations(instance)
        assert run(instance, SECOND)["report"] == metadata["report"]
        assert len(observations(instance)) == 2, "nothing is told twice"
    numbers: dict[str, Any] = {name: value.value for name, value in of_second.metadata.items()}
    assert of_first.metadata["rows"].value == 17
    assert (numbers["rows"], numbers["courses"], numbers["members"], numbers["rejected"]) == (10, 2, 5, 2)
    assert (numbers["delivered"], numbers["unchanged"], numbers["missing_at_source"], numbers["unrecognised"]) == (
        2,
        1,
        1,
        1,
    )
    assert "| rows | 10 | 17 | -7 |" in numbers["report"]
    assert metadata["report"] == numbers["report"]
    assert metadata["whole report"] == numbers["whole report"] == f"{zone}/{SECOND}.html"
    html = (zone / f"{SECOND}.html").read_text()
    words = shown(html)
    for word in ("MITx-2-1T2024|prod", "MITx-3-1T2024|prod", "9 rows before, 3 now", "odd.csv", "too_few_fields"):
        assert word in words, word
    assert "secret-name" not in html
    assert numbers["rows"] == sum(table["rows"] for table in numbers["summary"]["tables"].values())
    assert numbers["rows"] == sum(course["rows"] for course in numbers["summary"]["courses"].values())
    (zone / f"{SECOND}.html").unlink()
    assert edxorg("report")[:2] == (0, f"file://{zone}/{SECOND}.html\n"), "it goes to where the archive landed"
    code, out, _ = edxorg("report", "--landing-zone", f"{tmp_path}/other")
    assert (code, out) == (0, f"file://{tmp_path}/other/edxorg/reports/{SECOND}.html\n")
    code, _, _ = edxorg("report", SECOND, "--out", tmp_path / "again.html")
    assert code == 0
    assert (zone / f"{SECOND}.html").read_text() == (tmp_path / "again.html").read_text() == html


def test_nothing_is_told_of_a_damaged_archive(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        archive = write_archive(tmp_path / "archives" / FIRST, {table_name(): rows(3)})
        data = bytearray(archive.read_bytes())
        data[-6] ^= 1
        archive.write_bytes(data)
        location = ArchiveLocation(tmp_path, instance)
        assert not location.run(FIRST).success
        assert observations(instance) == []
        assert ArchiveReports(instance, raw_data_archives(location.settings)).latest() is None
    assert not (tmp_path / "lake" / "edxorg" / "reports").exists()


def test_sums_stay_right_when_members_are_counted_anew() -> None:
    report = IngestReport()
    results = []
    for number in range(3):
        member = identify(table_name(course=f"MITx-{number}-1T2024"))
        report.note(member)
        results.append(MemberResult(member, MemberOutcome.DELIVERED, size=10, stats=TableStats(number, "c")))
        report.add(results[-1], 100, is_new=True)
    report.change(results[2], MemberOutcome.SUPERSEDED)
    report.change(results[1], MemberOutcome.UNCHANGED)
    totals = summarize(report, FIRST, info()).archive
    assert (totals.rows, totals.bytes, totals.courses) == (1, 20, 3)
    assert totals.rows == sum(table.rows for table in report.tables.values())


def info() -> SourceInfo:
    return SourceInfo("s3://x/y", 1, "v", datetime(2024, 1, 1, tzinfo=UTC), None)


def test_names_in_an_archive_are_no_markup() -> None:
    report = IngestReport(problem="<script>alert(1)</script>")
    for name in ("<script>alert(2)</script>|![x](http://evil)", "`a`.csv"):
        member = identify(name)
        report.note(member)
        report.add_unread(member, 1)
    summary = summarize(report, "<b>.tar.gz", info())
    words = shown(page(summary))
    assert "<script>alert(1)</script>" in words
    assert "<script>alert(2)</script>" in words
    assert "](http" not in text(summary)


def test_a_year_of_archives_is_plotted_and_no_more() -> None:
    summary = None
    for week in range(60):
        report = IngestReport(members=week)
        summary = summarize(report, f"mitx-{week}.tar.gz", info(), before=summary)
    assert summary is not None
    assert [each.members for each in summary.weeks] == list(range(8, 60))
    assert len(re.findall("<rect", page(summary))) == 5 * 52


def test_an_archive_without_a_report_is_a_mistake(edxorg: Shell) -> None:
    code, _, errors = edxorg("report")
    assert code == 2
    assert "edxorg ingest archive" in errors


def test_findings_are_counted_whole_where_not_all_are_named() -> None:
    report = IngestReport(rows_rejected=Counter({"too_few_fields": 3, "too_many_fields": 2}))
    for number in range(500):
        report.add_unread(identify(f"odd-{number}.csv"), 1)
        report.shrunken.add(f"table-{number}")
    summary = summarize(report, FIRST, info())
    markdown, html = text(summary), page(summary)
    for title, count in (("Unrecognised", 500), ("Tables with less than half their rows", 500), ("Rows set aside", 5)):
        assert f"| {title} ({count}) |" in markdown
        assert f"{title} <small>({count})</small>" in html
    assert markdown.count("| and 450 more |") == 2
    assert html.count("<li>and 300 more") == 2


def test_canceled_runs_hide_no_report() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        archives = raw_data_archives(Settings())
        summary = summarize(IngestReport(members=3), FIRST, info())
        told = {"summary": dg.MetadataValue.json(summary.model_dump())}
        for metadata in (told, *[{}] * 11):
            instance.report_runless_asset_event(dg.AssetObservation(archives.key(), partition=FIRST, metadata=metadata))
        assert ArchiveReports(instance, archives).of(FIRST) == summary


def test_an_archive_that_was_not_read_whole_is_compared_with_nothing(tmp_path: Path) -> None:
    members = {table_name(course=f"MITx-{number}-1T2024"): rows(9) for number in range(3)}
    with dg.DagsterInstance.ephemeral() as instance:
        run = Run(tmp_path)
        run(instance, FIRST, members)
        cut = write_archive(tmp_path / "archives" / SECOND, dict(list(members.items())[:1]))
        with gzip.open(cut) as whole:
            tar = whole.read()
        cut.write_bytes(gzip.compress(tar[:1024]))
        location = ArchiveLocation(tmp_path, instance)
        assert not location.run(SECOND).success
        run(instance, THIRD, members)
        reports = ArchiveReports(instance, raw_data_archives(location.settings))
        part, third = reports.of(SECOND), reports.of(THIRD)
    assert part is not None
    assert part.problem
    assert part.vanished_courses.total == 0
    assert "not read whole" in text(part)
    assert "not read whole" in shown(page(part))
    assert page(part).count('class="part"') == 5
    assert third is not None
    assert third.before is not None
    assert (third.before.archive, third.new_courses.total) == (FIRST, 0)
    assert [week.archive for week in third.weeks] == [FIRST, THIRD]
    assert 'class="part"' not in page(third)


def test_tables_that_vanish_are_told(tmp_path: Path) -> None:
    first, second = "MITx-1-1T2024", "MITx-2-1T2024"
    members = {table_name(name, course=course): rows(9) for course in (first, second) for name in ("teams", "odd_one")}
    members[table_name(course=first)] = members[table_name(course=second)] = rows(9)
    with dg.DagsterInstance.ephemeral() as instance:
        run = Run(tmp_path)
        run(instance, FIRST, members)
        del members[table_name("odd_one", course=first)], members[table_name("odd_one", course=second)]
        del members[table_name("teams", course=second)]
        del members[table_name(course=first)]
        members[f"{table_name(course=first)}.failed"] = b"Traceback"
        told = run(instance, SECOND, members)["report"]
        later = run(instance, THIRD, members)["report"]
    html = (tmp_path / "lake" / "edxorg" / "reports" / f"{SECOND}.html").read_text()
    for title, thing in (
        ("Tables that are not in it any more", "odd_one"),
        ("Courses without tables that they had before", f"{second}|prod: teams"),
    ):
        assert f"| {title} (1) |\n| --- |\n| {thing.replace('|', '&#124;')} |" in told
        assert f"{title} <small>(1)</small></summary><ul><li>{thing}</ul>" in html
        assert title not in later


def lines_of(html: str, heading: str) -> dict[str, list[str]]:
    """The cells of the table below a heading, by the text of the first."""
    table = html.partition(f"<h2>{heading}</h2>")[2].partition("</table>")[0]
    rows_of_cells = [re.sub("<(?!td)[^>]*>", "", row).split("<td")[1:] for row in table.split("<tr>")[2:]]
    return {cells[0][1:]: [cell.partition(">")[2] for cell in cells[1:]] for cells in rows_of_cells}


def test_the_lines_of_a_page_add_up_to_its_totals() -> None:
    report, course = IngestReport(), "MITx-1-1T2024"
    forum = identify(f"{course}-prod.mongo")
    for member, size, stats, rejected in (
        (identify(table_name(course=course)), 1_000_000, TableStats(9, "c"), {"too_few_fields": 2}),
        (forum, 2_000_000, TableStats(), {}),
        (identify("MITx-email_opt_in-prod-analytics.csv"), 4_000_000, TableStats(), {}),
    ):
        report.note(member)
        report.add(
            MemberResult(member, MemberOutcome.DELIVERED, size=size, stats=stats, rejected=rejected), 1, is_new=True
        )
    posts = replace(forum, kind=MemberKind.FORUM_POSTS)
    of_posts = MemberResult(
        posts, MemberOutcome.DELIVERED, size=8_000_000, stats=TableStats(5), rejected={"no_post": 1}
    )
    report.add(of_posts, 1, is_new=True)
    odd = identify("odd.csv")
    report.note(odd)
    report.add_unread(odd, 1)
    summary = summarize(report, FIRST, info())
    totals = summary.archive
    assert (totals.members, totals.rows, totals.bytes, totals.rejected) == (4, 9, 7_000_000, 3)
    tables, courses = lines_of(page(summary), "Tables"), lines_of(page(summary), "Courses")
    derived = tables.pop("forum_posts (derived)")
    assert derived[:4] == ["5", "new", "8.0", "1"]
    assert sum(int(cells[0]) for cells in tables.values()) == totals.rows
    assert sum(float(cells[2]) for cells in tables.values()) == totals.bytes / 1e6
    assert sum(int(cells[3]) for cells in [derived, *tables.values()]) == totals.rejected
    assert sum(int(cells[4]) for cells in tables.values()) == report.outcomes[MemberOutcome.DELIVERED]
    assert courses["of no course"] == ["2", "0", "4.0"]
    assert [sum(float(cells[place]) for cells in courses.values()) for place in range(3)] == [
        totals.members,
        totals.rows,
        totals.bytes / 1e6,
    ]


def test_packages_of_preferences_and_archives_are_not_compared_with_each_other(tmp_path: Path) -> None:
    archives = raw_data_archives(Settings(institution="delftx"))
    first, preferences, second = (
        f"{kind}delftx-2024-01-{day}.zip" for kind, day in (("", 24), ("email-opt-in-", 28), ("", 31))
    )
    with dg.DagsterInstance.ephemeral() as instance:
        Run(tmp_path)(instance, FIRST, {table_name(): rows(9)})
        (observed,) = observations(instance)
        for name in (first, preferences):
            recorded: Any = observed.metadata["summary"].value
            summary = recorded | {"weeks": [recorded["weeks"][-1] | {"archive": name}]}
            instance.report_runless_asset_event(
                dg.AssetObservation(RAW_ARCHIVE, partition=name, metadata={"summary": dg.MetadataValue.json(summary)})
            )
        reports = ArchiveReports(instance, archives)
        before = reports.before(second)
        assert reports.before(preferences) is None
    assert before is not None
    assert before.archive.archive == first

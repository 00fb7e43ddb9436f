"""The account of an archive: what counts for what, and what an operator has to look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from edxorg.lib.archive.ingest_report import (
    CourseCounts,
    IngestReport,
    MemberOutcome,
    MemberResult,
    NamedItems,
    TableCounts,
)
from edxorg.lib.members import Member, MemberKind, identify
from edxorg_tests.support.archives import table_name
from ol_orchestrate.lib.errors import AccessRefusedError, BadInputError, ServiceError
from ol_orchestrate.lib.versions import NO_STATS, TableStats

COURSE = "MITx-6.00x-2012_Fall|prod"
AUTH_USER = identify(table_name())
MISSING = identify(table_name() + ".failed")
FORUM = identify("MITx-6.00x-2012_Fall-prod.mongo")
POSTS = replace(FORUM, kind=MemberKind.FORUM_POSTS)
PREFERENCES = identify("MITx-email_opt_in-prod-analytics.csv")
DELIVERED, UNCHANGED, SUPERSEDED = MemberOutcome.DELIVERED, MemberOutcome.UNCHANGED, MemberOutcome.SUPERSEDED
EMPTY, FAILED = MemberOutcome.EMPTY, MemberOutcome.FAILED


def result(
    member: Member = AUTH_USER,
    outcome: MemberOutcome = DELIVERED,
    rows: int | None = 10,
    **more: Any,  # noqa: ANN401
) -> MemberResult:
    return MemberResult(member, outcome, size=100, stats=TableStats(rows), **more)


def report_of(*results: MemberResult, is_new: bool = False) -> IngestReport:
    report = IngestReport()
    for each in results:
        report.add(each, 7, is_new=is_new)
    return report


def test_a_result_says_nothing_that_it_was_not_told() -> None:
    plain = MemberResult(AUTH_USER, DELIVERED)
    assert (plain.version, plain.object_key, plain.size, plain.problem, plain.made_from) == (None, None, 0, None, None)
    flags = (plain.record, plain.wrote, plain.settle, plain.is_transient, plain.awaits_operator, plain.unwritable)
    assert flags == (False,) * 6
    assert (plain.stats, plain.before, plain.column_changes, plain.new_rejects) == (NO_STATS, NO_STATS, "", ())


@pytest.mark.parametrize(
    ("error", "is_transient", "awaits_operator"),
    [(ServiceError("x"), True, False), (AccessRefusedError("x"), False, True), (BadInputError("x"), False, False)],
)
def test_an_error_says_who_can_mend_it(error: Any, is_transient: bool, awaits_operator: bool) -> None:  # noqa: ANN401, FBT001
    failed = MemberResult.failed(AUTH_USER, error)
    assert (failed.member, failed.outcome, failed.problem) == (AUTH_USER, FAILED, "x")
    assert (failed.is_transient, failed.awaits_operator) == (is_transient, awaits_operator)


def test_two_hundred_things_are_named_and_all_counted() -> None:
    items = NamedItems()
    for number in range(203):
        items.add(str(number))
    assert (items.total, items.first) == (203, [str(number) for number in range(200)])


class TestNames:
    def test_members_count_by_course_and_with_their_outputs(self) -> None:
        report = IngestReport()
        for member in (AUTH_USER, AUTH_USER, MISSING, FORUM, PREFERENCES):
            report.note(member)
        report.note(Member("x", MemberKind.MISSING_AT_SOURCE, course=FORUM.course))
        assert report.members == 6
        assert report.courses == {COURSE: CourseCounts(5, outputs={"auth_user", "forum"})}
        assert report.ambiguous == {}

    def test_courses_with_two_readings_are_named_once(self) -> None:
        report = IngestReport()
        for member in (replace(AUTH_USER, ambiguous=True), replace(FORUM, ambiguous=True)):
            report.note(member)
        report.note(Member("x", MemberKind.UNRECOGNISED, ambiguous=True))
        assert list(report.ambiguous) == ["MITx-6.00x-2012_Fall"]

    def test_members_that_are_not_read_are_counted_and_listed(self) -> None:
        report = IngestReport()
        odd = Member("odd.csv", MemberKind.UNRECOGNISED, reason="its name is odd")
        for member in (MISSING, odd, replace(odd, reason=None), Member("._x", MemberKind.IGNORED, reason="of a Mac")):
            report.add_unread(member, 9)
        assert report.outcomes == {
            MemberOutcome.MISSING_AT_SOURCE: 1,
            MemberOutcome.UNRECOGNISED: 2,
            MemberOutcome.IGNORED: 1,
        }
        assert report.listed == {
            MemberOutcome.MISSING_AT_SOURCE: [(MISSING.label, 9, MISSING.reason)],
            MemberOutcome.UNRECOGNISED: [("odd.csv", 9, "its name is odd"), ("odd.csv", 9, "")],
        }

    def test_two_hundred_of_a_kind_are_listed(self) -> None:
        report = IngestReport()
        for _ in range(203):
            report.add_unread(MISSING, 1)
            report.add_unread(Member("x", MemberKind.UNRECOGNISED), 1)
        assert {len(listed) for listed in report.listed.values()} == {200}
        assert report.outcomes[MemberOutcome.MISSING_AT_SOURCE] == 203


class TestAdd:
    @pytest.mark.parametrize("outcome", [DELIVERED, UNCHANGED, SUPERSEDED, EMPTY, FAILED])
    def test_what_landed_counts_for_table_and_course(self, outcome: MemberOutcome) -> None:
        report = report_of(result(outcome=outcome, rejected={"a": 2}), result(outcome=outcome, rows=None))
        landed = outcome in {DELIVERED, UNCHANGED}
        assert report.outcomes == {outcome: 2}
        assert report.rows_delivered == (10 if outcome is DELIVERED else 0)
        assert report.rows_rejected == {"a": 2}
        rows, size = (10, 200) if landed else (0, 0)
        assert report.tables == {"auth_user": TableCounts(Counter({outcome: 2}), rows, size, Counter(a=2))}
        courses = {COURSE: CourseCounts(rows=rows, bytes=size, empty={"auth_user"} if outcome is EMPTY else set())}
        assert report.courses == (courses if landed or outcome is EMPTY else {})
        assert report.failed == (2 if outcome is FAILED else 0)

    @pytest.mark.parametrize("outcome", [DELIVERED, EMPTY])
    def test_what_belongs_to_no_course_counts_for_none(self, outcome: MemberOutcome) -> None:
        assert report_of(result(PREFERENCES, outcome)).courses == {}

    @pytest.mark.parametrize("outcome", [DELIVERED, UNCHANGED, EMPTY, FAILED])
    def test_rows_of_a_forum_are_no_member(self, outcome: MemberOutcome) -> None:
        report = report_of(result(POSTS, outcome, rejected={"a": 1}))
        assert (report.outcomes, report.rows_delivered, report.rows_rejected) == ({}, 0, {"a": 1})
        assert report.failed == report.failed_outputs == (outcome is FAILED)
        assert report.tables["forum_posts"].outcomes == {outcome: 1}
        assert report.courses == ({COURSE: CourseCounts(empty={"forum_posts"})} if outcome is EMPTY else {})

    def test_failures_are_listed_and_counted_by_who_can_mend_them(self) -> None:
        report = report_of(
            result(outcome=FAILED, problem="late", is_transient=True),
            result(outcome=FAILED, problem="denied", awaits_operator=True),
            result(outcome=FAILED, problem="denied too", awaits_operator=True),
            result(POSTS, FAILED),
            result(is_transient=True),
        )
        assert report.listed == {
            FAILED: [
                *[(AUTH_USER.label, 7, problem) for problem in ("late", "denied", "denied too")],
                (POSTS.label, 7, ""),
            ]
        }
        assert (report.failed, report.failed_for_now, report.failed_until_mended) == (4, 1, 2)

    def test_new_tables_with_rejects_are_named(self) -> None:
        assert report_of(result(rejected={"a": 1_000, "b": 2}), is_new=True).new_with_rejects.first == [
            f"{AUTH_USER.label}: 1,002"
        ]
        assert report_of(result(), is_new=True).new_with_rejects.total == 0
        assert report_of(result(rejected={"a": 1})).new_with_rejects.total == 0


class TestComparison:
    @pytest.mark.parametrize(
        ("before", "now", "shrunken"),
        [
            (2_001, 1_000, ["2,001 rows before, 1,000 now"]),
            (2_000, 1_000, []),
            (10, 0, ["10 rows before, 0 now"]),
            (7, 3, ["7 rows before, 3 now"]),
            (6, 3, []),
            (1, 2, []),
            (None, 1, []),
            (5, None, []),
        ],
    )
    @pytest.mark.parametrize("outcome", [DELIVERED, UNCHANGED, SUPERSEDED, EMPTY, FAILED])
    def test_less_than_half_the_rows_is_told(
        self, before: int | None, now: int | None, shrunken: list[str], outcome: MemberOutcome
    ) -> None:
        report = report_of(result(outcome=outcome, rows=now, before=TableStats(before)))
        is_compared = outcome in {DELIVERED, UNCHANGED, EMPTY}
        assert report.shrunken.first == [f"{AUTH_USER.label}: {each}" for each in shrunken if is_compared]
        assert report.shrunken.total == len(report.shrunken.first)

    @pytest.mark.parametrize(("changes", "shown"), [("", ""), ("with b", ": with b")])
    def test_other_columns_are_told(self, changes: str, shown: str) -> None:
        other = MemberResult(
            AUTH_USER, DELIVERED, stats=TableStats(1, "x"), before=TableStats(1, "y"), column_changes=changes
        )
        assert report_of(other).other_columns.first == [f"{AUTH_USER.label}{shown}"]
        assert report_of(replace(other, before=TableStats(1, "x"))).other_columns.total == 0

    def test_what_was_empty_before_already_is_not_told_again(self) -> None:
        empty = result(outcome=EMPTY, rows=0, before=TableStats(5))
        for place, expected in (((COURSE, "auth_user"), 0), ((COURSE, "other"), 1), (("", "auth_user"), 1)):
            report = IngestReport(empty_before={place})
            report.add(empty, 7, is_new=False)
            assert report.shrunken.total == expected
        report = IngestReport(empty_before={(COURSE, "auth_user")})
        report.add(replace(empty, outcome=DELIVERED), 7, is_new=False)
        assert report.shrunken.total == 1
        nowhere = replace(AUTH_USER, course=None)
        report = IngestReport(empty_before={("", "auth_user")})
        report.add(replace(empty, member=nowhere), 7, is_new=False)
        assert report.shrunken.total == 0


class TestChange:
    @pytest.mark.parametrize("before", [DELIVERED, UNCHANGED, SUPERSEDED, EMPTY])
    @pytest.mark.parametrize("after", [UNCHANGED, SUPERSEDED, FAILED])
    @pytest.mark.parametrize("rows", [10, None])
    def test_a_member_has_its_final_outcome(
        self, before: MemberOutcome, after: MemberOutcome, rows: int | None
    ) -> None:
        """As if it had been added with it, among others."""
        others = [result(rows=1), result(FORUM, UNCHANGED)]
        changed = result(outcome=before, rows=rows)
        report = report_of(*others, changed)
        report.change(changed, after)
        expected = report_of(*others, replace(changed, outcome=after))
        assert report.outcomes == expected.outcomes
        assert report.rows_delivered == expected.rows_delivered == 1
        if before in {DELIVERED, UNCHANGED}:
            assert report.courses == expected.courses
        if before in {DELIVERED, UNCHANGED} or after is not UNCHANGED:
            assert report.tables == expected.tables
        assert report.tables["auth_user"].outcomes == expected.tables["auth_user"].outcomes
        assert report.failed == expected.failed
        assert FAILED not in report.listed

    def test_nothing_is_taken_from_a_course_that_has_none(self) -> None:
        changed = result(PREFERENCES)
        report = report_of(changed)
        report.change(changed, FAILED)
        assert (report.courses, report.rows_delivered, report.outcomes) == ({}, 0, {FAILED: 1})

    @pytest.mark.parametrize("after", [FAILED, SUPERSEDED])
    def test_rows_of_a_forum_are_no_member(self, after: MemberOutcome) -> None:
        changed = result(POSTS)
        report = report_of(result(FORUM), changed)
        report.change(changed, after)
        assert report.outcomes == {DELIVERED: 1}
        assert (report.failed, report.rows_delivered) == (int(after is FAILED), 10)
        assert report.tables["forum_posts"] == TableCounts(Counter({after: 1}), 0, 0)
        assert report.courses == {COURSE: CourseCounts(rows=10, bytes=100)}

    @pytest.mark.parametrize(
        ("problem", "for_now", "until_mended"), [(ServiceError("late"), 1, 0), (AccessRefusedError("denied"), 0, 1)]
    )
    def test_a_failure_is_listed_with_its_reason(
        self, problem: ServiceError | AccessRefusedError, for_now: int, until_mended: int
    ) -> None:
        changed = result()
        report = report_of(changed)
        report.change(changed, FAILED, problem=problem)
        assert report.listed == {FAILED: [(AUTH_USER.label, 100, str(problem))]}
        assert (report.failed_for_now, report.failed_until_mended) == (for_now, until_mended)


class TestSums:
    def test_all_outcomes_are_written_out_and_a_difference_shows(self) -> None:
        report = report_of(*[result()] * 1_001, result(outcome=FAILED))
        report.members = 1_002
        sums = (
            "1,001 delivered + 0 unchanged + 0 superseded + 0 empty + 0 missing at the source + 0 unrecognised + "
            "0 ignored + 1 failed"
        )
        assert report.sum_of_outcomes() == f"1,002 members = {sums}"
        report.outcomes[MemberOutcome.LEFT_OUT] += 1
        assert report.sum_of_outcomes() == f"1,002 members ≠ {sums} + 1 left out on request"

    def test_counts_of_tables_add_up(self) -> None:
        one = TableCounts(Counter({DELIVERED: 1}), 2, 3, Counter(a=4))
        two = TableCounts(Counter({DELIVERED: 10, FAILED: 1}), 20, 30, Counter(a=40, b=1))
        assert one + two == TableCounts(Counter({DELIVERED: 11, FAILED: 1}), 22, 33, Counter(a=44, b=1))
        assert (one.must_be_looked_at, two.must_be_looked_at, TableCounts().must_be_looked_at) == (True, True, False)
        assert TableCounts(Counter({FAILED: 1})).must_be_looked_at
        assert not TableCounts(Counter({DELIVERED: 1}), 1, 1).must_be_looked_at
        assert two.as_json() == {"delivered": 10, "failed": 1, "rows": 20, "bytes": 30, "rejected": {"a": 40, "b": 1}}

    def test_programs_get_all_counts(self) -> None:
        report = IngestReport()
        outcomes = ["delivered", "unchanged", "superseded", "empty", "missing_at_source", "unrecognised", "ignored"]
        nothing: dict[str, object] = {
            **dict.fromkeys(["members", *outcomes, "failed", "left_out", "rows"], 0),
            "rows_rejected": {},
            "ambiguous": [],
            "claimed_twice": [],
            "unchecked_signers": {},
            "listed": {},
            "tables": {},
            "problem": None,
            "warning": None,
        }
        assert report.as_json() == nothing
        assert (report.failed, report.failed_for_now, report.failed_until_mended, report.failed_outputs) == (0,) * 4
        report.add(result(rejected={"a": 2}), 7, is_new=False)
        report.add(result(FORUM, FAILED, problem="bad"), 8, is_new=False)
        report.claimed_twice.add("x")
        report.unchecked_signers["key"] += 1
        report.ambiguous["course"] = None
        report.problem, report.warning, report.members = "p", "w", 2
        assert report.as_json() == nothing | {
            "members": 2,
            "delivered": 1,
            "failed": 1,
            "rows": 10,
            "rows_rejected": {"a": 2},
            "ambiguous": ["course"],
            "claimed_twice": ["x"],
            "unchecked_signers": {"key": 1},
            "listed": {"failed": [{"member": FORUM.label, "size": 8, "reason": "bad"}]},
            "tables": {
                "auth_user": {"delivered": 1, "rows": 10, "bytes": 100, "rejected": {"a": 2}},
                "forum": {"failed": 1, "rows": 0, "bytes": 0, "rejected": {}},
            },
            "problem": "p",
            "warning": "w",
        }

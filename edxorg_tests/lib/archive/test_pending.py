"""Results that wait to be recorded, by place, in the order of the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.pending import PendingRecords, Place
from edxorg.lib.members import Member, MemberKind
from edxorg.lib.object_keys import EMAIL_OPT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS, GRADES = "edxorg/raw_data/db_table/auth_user", "edxorg/raw_data/db_table/grades"
A, B = Place(USERS, "MITx-A-2020|prod"), Place(USERS, "MITx-B-2020|prod")
GRADES_OF_A = Place(GRADES, A.partition)
ORGANIZATION = Place(EMAIL_OPT_IN, "MITx")


def result(path: str) -> MemberResult:
    return MemberResult(Member(path, MemberKind.TABLE), MemberOutcome.DELIVERED)


@pytest.fixture
def pending() -> Iterator[PendingRecords]:
    with PendingRecords() as opened:
        yield opened


def test_a_place_keeps_its_last_result_and_stands_where_that_came(pending: PendingRecords) -> None:
    for place, path in ((A, "first"), (B, "second"), (A, "third")):
        pending.put(place, result(path))
    assert pending.places() == [B, A]
    assert len(pending) == 2
    assert pending.get(A) == result("third")
    assert pending.get(GRADES_OF_A) is None
    assert list(pending.ever_put()) == [(result("first"), False), (result("second"), True), (result("third"), True)]


def test_what_is_dropped_was_put_all_the_same(pending: PendingRecords) -> None:
    for place in (A, B):
        pending.put(place, result(place.partition))
    pending.drop(A)
    pending.drop(GRADES_OF_A)
    assert pending.places() == [B]
    pending.clear()
    assert pending.places() == []
    assert list(pending.ever_put()) == [(result(A.partition), False), (result(B.partition), False)]


def test_courses_and_organizations_are_told_apart(pending: PendingRecords) -> None:
    for place in (B, A, ORGANIZATION, GRADES_OF_A):
        pending.put(place, result(place.asset))
    assert list(pending.courses()) == [B.partition, A.partition]
    assert list(pending.organizations()) == [ORGANIZATION.partition]


def test_results_are_read_by_asset(pending: PendingRecords) -> None:
    for place in (B, GRADES_OF_A, A):
        pending.put(place, result(place.partition))
    assert {asset: list(results) for asset, results in pending.by_asset().items()} == {
        USERS: [result(B.partition), result(A.partition)],
        GRADES: [result(A.partition)],
    }


def test_nothing_is_kept_behind_the_end() -> None:
    with PendingRecords() as pending:
        pending.put(A, result("a"))
    with pytest.raises(ValueError, match="closed file"):
        pending.get(A)

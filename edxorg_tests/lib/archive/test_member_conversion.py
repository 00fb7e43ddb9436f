"""One member: what its bytes become, and how a run knows that they were converted before."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

import pytest

from edxorg.lib import code_versions
from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.archive.member_conversion import Converted, Source, convert, outputs_of, result_of
from edxorg.lib.members import MemberKind, identify
from edxorg.lib.object_keys import raw_data_key, rejected_record_key, rejected_rows_key
from edxorg.lib.tables import Dialect, Escapes, RowHash, TableOptions
from edxorg_tests.support.archives import POST, TABLE, table_name
from edxorg_tests.support.temporary_files import files_of_spools
from edxorg_tests.support.tracking_logs import MIB
from ol_orchestrate.lib.versions import NO_STATS, TableStats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edxorg.lib.members import Member
    from ol_orchestrate.lib.spool import Spool

AUTH_USER = identify(table_name())
FORUM = identify("MITx-6.00x-2012_Fall-prod.mongo")
STRUCTURE = identify("MITx-6.00x-2012_Fall-course_structure-prod-analytics.json")
PREFERENCES = identify("MITx-email_opt_in-prod-analytics.csv")
OPTIONS = TableOptions()


def converted(member: Member, *blocks: bytes, options: TableOptions = OPTIONS) -> list[Converted]:
    return convert(member, Source.begin(member, blocks, options))


def made_from(member: Member, *blocks: bytes, options: TableOptions = OPTIONS) -> str | None:
    source = Source.begin(member, blocks, options)
    assert b"".join(source.blocks) == b"".join(blocks)
    return source.made_from


def content(stored: Spool | None) -> bytes:
    assert stored is not None
    return stored.reader().read()


class TestMadeFrom:
    def test_it_is_a_hash_of_the_bytes_however_they_come(self) -> None:
        found = made_from(AUTH_USER, TABLE)
        assert found is not None
        assert len(found) == 40
        assert found == made_from(AUTH_USER, TABLE[:5], b"", TABLE[5:])
        assert found != made_from(AUTH_USER, TABLE + b"x")
        assert found != made_from(AUTH_USER, TABLE[1:])

    @pytest.mark.parametrize(
        "other",
        [
            TableOptions(escapes=Escapes.DECODE),
            TableOptions(dialect=Dialect.PLAIN),
            TableOptions(row_hash=RowHash.CONCATENATED),
        ],
    )
    def test_it_depends_on_how_rows_are_written(self, other: TableOptions) -> None:
        assert made_from(AUTH_USER, TABLE) != made_from(AUTH_USER, TABLE, options=other)

    def test_it_depends_on_the_course_and_the_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = {made_from(AUTH_USER, TABLE), made_from(FORUM, TABLE)}
        before.add(made_from(identify(table_name(course="MITx-7.00x-2012_Fall")), TABLE))
        assert len(before) == 3
        monkeypatch.setattr(code_versions, "OF_TABLES", "next")
        monkeypatch.setattr(code_versions, "OF_FORUM_POSTS", "next")
        assert not before & {made_from(AUTH_USER, TABLE), made_from(FORUM, TABLE)}

    def test_the_same_forum_of_another_course_is_the_same(self) -> None:
        assert made_from(FORUM, POST) == made_from(identify("MITx-7.00x-2012_Fall-edge.mongo"), POST) is not None

    @pytest.mark.parametrize("member", [STRUCTURE, PREFERENCES])
    def test_members_that_are_not_converted_have_none(self, member: Member) -> None:
        assert made_from(member, b"{}") is None

    @pytest.mark.parametrize("member", [AUTH_USER, FORUM])
    def test_up_to_eight_mebibytes_are_held_for_it(self, member: Member) -> None:
        blocks = [b"x" * MIB] * 8
        assert made_from(member, *blocks) is not None
        read = 0

        def counted() -> Iterator[bytes]:
            nonlocal read
            for block in [*blocks, b"y", b"z", b"z"]:
                read += 1
                yield block

        source = Source.begin(member, counted(), OPTIONS)
        assert (source.made_from, read) == (None, 9)
        assert list(source.blocks) == [*blocks, b"y", b"z", b"z"]


class TestObjects:
    def test_a_table_becomes_rows(self) -> None:
        (table,) = converted(AUTH_USER, TABLE)
        rows = content(table.content)
        assert rows.startswith(b"id\tname\textracted_course_key\t")
        assert (rows.count(b"\n"), rows.count(b"MITx-6.00x-2012_Fall\t")) == (3, 2)
        assert (table.rejects, table.records, table.problem) == (None, (), None)
        assert table.made_from == made_from(AUTH_USER, TABLE)
        assert list(table.rejected_objects()) == []

    def test_a_table_with_rejects_is_converted_each_time(self) -> None:
        long = b"3\t" + b"x" * (17 * MIB)
        (table,) = converted(AUTH_USER, TABLE * 20, b"4\tBarbara\tLiskov\n", long + b"\n")
        assert table.made_from is None
        assert table.rejects is not None
        assert [sha256(content(each)).hexdigest() for each in table.records] == [sha256(long).hexdigest()]
        assert [(content(each)[:2], key) for each, key in table.rejected_objects()] == [
            (b"3\t", rejected_record_key(AUTH_USER, table.records[0].sha256)),
            (content(table.rejects)[:2], rejected_rows_key(AUTH_USER, table.rejects.sha256)),
        ]
        table.close()
        (small,) = converted(AUTH_USER, TABLE * 20, b"4\tBarbara\tLiskov\n")
        assert small.rejects is not None
        assert small.made_from is None

    def test_a_forum_stays_and_becomes_rows(self) -> None:
        forum, posts = converted(FORUM, POST, POST)
        assert (forum.member, posts.member) == (FORUM, replace(FORUM, kind=MemberKind.FORUM_POSTS))
        assert content(forum.content) == POST * 2
        assert [json.loads(row)["_id"] for row in content(posts.content).splitlines()] == ["p1", "p1"]
        assert (forum.forum, posts.rejects) == (None, None)
        assert forum.made_from == posts.made_from == made_from(FORUM, POST * 2)

    def test_a_forum_with_rejects_is_converted_each_time(self) -> None:
        forum, posts = converted(FORUM, POST + b"no post\n")
        assert (forum.made_from, posts.made_from) == (None, None)
        assert json.loads(content(posts.rejects))["line"] == 2

    @pytest.mark.parametrize("member", [STRUCTURE, PREFERENCES])
    def test_others_stay_as_they_are(self, member: Member) -> None:
        (same,) = converted(member, b"{", b"", b"}")
        assert content(same.content) == b"{}"
        assert same == Converted(member, same.content)
        (nothing,) = converted(member, b"")
        assert nothing.content is None

    def test_a_forum_has_two_outputs_and_all_others_one(self) -> None:
        assert [each.kind for each in outputs_of(FORUM)] == [MemberKind.FORUM, MemberKind.FORUM_POSTS]
        assert all(outputs_of(member) == [member] for member in (AUTH_USER, STRUCTURE, PREFERENCES))


class TestFiles:
    @pytest.fixture(autouse=True)
    def files(self, monkeypatch: pytest.MonkeyPatch) -> list[BinaryIO]:
        return files_of_spools(monkeypatch)

    BLOCKS = (TABLE * 20, b"4\tBarbara\tLiskov\n", b"3\t" + b"x" * (17 * MIB) + b"\n")

    def test_closing_gives_them_back(self, files: list[BinaryIO]) -> None:
        (table,) = converted(AUTH_USER, *self.BLOCKS)
        assert sum(not file.closed for file in files) == 3
        table.close()
        assert all(file.closed for file in files)
        (empty,) = converted(AUTH_USER, b"")
        empty.close()

    def test_all_of_a_member_is_read_and_an_error_at_its_end_gives_them_back(self, files: list[BinaryIO]) -> None:
        def blocks(*parts: bytes) -> Iterable[bytes]:
            yield from parts
            raise OSError("damaged")

        for parts in ([b"id\tid\n1\t2\n" + b"x" * MIB], [b"id\tname\n" + b"1\n" * MIB * 8]):
            with pytest.raises(OSError, match="damaged"):
                convert(AUTH_USER, Source(iter(blocks(*parts)), OPTIONS, None))
        with pytest.raises(OSError, match="damaged"):
            convert(AUTH_USER, Source(iter(blocks(*self.BLOCKS)), OPTIONS, None))
        assert all(file.closed for file in files)


class TestResults:
    def test_of_a_table(self) -> None:
        (table,) = converted(AUTH_USER, TABLE)
        assert table.content is not None
        version = table.content.sha256
        result = result_of(table)
        assert (result.member, result.outcome, result.version) == (AUTH_USER, MemberOutcome.DELIVERED, version)
        assert (result.object_key, result.size) == (raw_data_key(AUTH_USER, version), table.content.size)
        assert result.stats == TableStats.from_columns(2, ["id", "name"])
        assert (result.rejected, result.rejects_key, result.problem) == ({}, None, None)
        assert result.made_from == table.made_from is not None
        counts = dict.fromkeys(["quoted_records", "records_with_other_quotes", "ambiguous", "large_rows"], 0)
        assert result.facts == {"dialect": result.facts["dialect"], **counts}
        assert result.facts["dialect"] in set(Dialect)

    def test_of_a_table_with_rejects(self) -> None:
        (table,) = converted(AUTH_USER, TABLE * 20, b"4\tBarbara\tLiskov\n")
        result = result_of(table)
        assert table.rejects is not None
        assert result.outcome == MemberOutcome.DELIVERED
        assert sum(result.rejected.values()) > 0
        assert all(isinstance(reason, str) for reason in result.rejected)
        assert result.rejects_key == rejected_rows_key(AUTH_USER, table.rejects.sha256)

    @pytest.mark.parametrize(("blocks", "columns"), [(b"id\tname\n", ["id", "name"]), (b"", None)])
    def test_of_a_table_without_rows(self, blocks: bytes, columns: list[str] | None) -> None:
        result = result_of(converted(AUTH_USER, blocks)[0])
        assert (result.outcome, result.version, result.object_key) == (MemberOutcome.EMPTY, None, None)
        assert (result.size, result.stats) == (0, TableStats.from_columns(0, columns))
        if columns is None:
            assert result.facts["dialect"] == "none"

    def test_of_a_table_that_fails(self) -> None:
        (table,) = converted(AUTH_USER, b"id\tid\n1\t2\n")
        result = result_of(table)
        assert (result.outcome, result.version, result.size) == (MemberOutcome.FAILED, None, 0)
        assert result.problem == table.problem
        assert "columns 1 and 2 have the same name" in str(result.problem)
        assert result.stats == TableStats(0)

    def test_of_a_forum(self) -> None:
        forum, posts = map(result_of, converted(FORUM, POST + b"no post\n" + POST))
        assert (forum.outcome, forum.size, forum.stats) == (MemberOutcome.DELIVERED, 2 * len(POST) + 8, NO_STATS)
        assert forum.version == sha256(POST + b"no post\n" + POST).hexdigest()
        assert (forum.rejected, forum.facts) == ({}, {})
        assert (posts.outcome, posts.stats) == (MemberOutcome.DELIVERED, TableStats(2))
        assert posts.rejected == {"invalid_json": 1}
        assert posts.rejects_key is not None

    def test_of_a_member_without_bytes(self) -> None:
        result = result_of(converted(STRUCTURE, b"")[0])
        assert (result.outcome, result.size, result.stats, result.facts) == (MemberOutcome.EMPTY, 0, NO_STATS, {})

    def test_a_problem_keeps_content_from_counting(self) -> None:
        (table,) = converted(AUTH_USER, TABLE)
        result = result_of(replace(table, problem="odd"))
        assert (result.outcome, result.version, result.object_key, result.size) == (MemberOutcome.FAILED, None, None, 0)
        assert result.stats.rows == 0

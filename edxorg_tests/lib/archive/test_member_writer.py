"""One member in a worker: what is written, in which order, and what the worker reports."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib.archive import member_writer as module
from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.marks import RunMark, marks_in
from edxorg.lib.archive.member_conversion import Converted, outputs_of
from edxorg.lib.archive.member_writer import BROKEN_OFF, IngestOptions, MemberWriter, deliver_batch, deliver_stream
from edxorg.lib.members import identify
from edxorg.lib.object_keys import raw_data_key, rejected_rows_key
from edxorg.lib.tables import Dialect, Escapes, RowHash
from edxorg.lib.workers import TruncatedStreamError
from edxorg_tests.support.archives import POST, TABLE, age, landed, table_name
from ol_orchestrate.lib.errors import AccessRefusedError, ServiceError
from ol_orchestrate.lib.stores import StoreAccess, open_store, shared_store
from ol_orchestrate.lib.stores.folder_store import FolderStore
from ol_orchestrate.lib.versions import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edxorg.lib.members import Member

TODAY, LAST_WEEK = date(2024, 1, 31), date(2024, 1, 24)
AUTH_USER = identify(table_name())
FORUM = identify("MITx-6.00x-2012_Fall-prod.mongo")
STRUCTURE = identify("MITx-6.00x-2012_Fall-course_structure-prod-analytics.json")
BAD = TABLE * 20 + b"4\tBarbara\tLiskov\n"
DELIVERED, UNCHANGED, SUPERSEDED = MemberOutcome.DELIVERED, MemberOutcome.UNCHANGED, MemberOutcome.SUPERSEDED
EMPTY, FAILED = MemberOutcome.EMPTY, MemberOutcome.FAILED
MARK = RunMark("run")


class Writing:
    """Workers over one landing zone, each for one member."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack

    def worker(self, **options: Any) -> MemberWriter:  # noqa: ANN401
        url = f"file://{self.folder}"
        store = self.stack.enter_context(shared_store(url, StoreAccess(), parts=1))
        worker = MemberWriter(IngestOptions(url, archive_date=TODAY, mark=MARK, **options), store)
        self.stack.callback(worker.threads.shutdown)
        return worker

    def __call__(
        self,
        content: bytes = TABLE,
        member: Member = AUTH_USER,
        recorded: Recorded | list[Recorded | None] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> list[MemberResult]:
        known = recorded if isinstance(recorded, list) else [recorded]
        return self.worker(**options).deliver(member, known, [content], None).result()

    def one(self, *arguments: Any, **options: Any) -> MemberResult:  # noqa: ANN401
        (result,) = self(*arguments, **options)
        return result

    @property
    def objects(self) -> dict[str, bytes]:
        return {key: content for key, content in landed(self.folder).items() if not key.startswith("edxorg/unfin")}

    @property
    def has_mark(self) -> bool:
        return (self.folder / MARK.key).exists()

    def remove_mark(self) -> None:
        (self.folder / MARK.key).unlink()

    def age(self, key: str, hours: float) -> None:
        age(self.folder / key, hours)


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Writing]:
    with ExitStack() as stack:
        yield Writing(tmp_path / "lake", stack)


def recorded(result: MemberResult, day: date = LAST_WEEK, made_from: str | None = None) -> Recorded:
    assert result.version is not None
    return Recorded(result.version, day, stats=result.stats, made_from=made_from)


class TestOptions:
    def test_a_dialect_is_forced_by_table_or_path(self) -> None:
        patterns = {"auth_*": Dialect.PLAIN, "*/other/*": Dialect.QUOTED, "*": Dialect.ESCAPED}
        options = IngestOptions(None, dialect=patterns, known_columns={"auth_user": frozenset({"id"})})
        assert options.table_options(AUTH_USER).dialect is Dialect.PLAIN
        assert options.table_options(identify(f"x/other/{table_name('t')}")).dialect is Dialect.QUOTED
        assert options.table_options(AUTH_USER).known_columns == {"id"}
        assert options.table_options(identify(table_name("t"))).known_columns == frozenset()
        assert IngestOptions(None, dialect={"t": Dialect.PLAIN}).table_options(AUTH_USER).dialect is None

    def test_members_without_a_table_have_its_options_too(self) -> None:
        options = IngestOptions(
            None, dialect={"x": Dialect.QUOTED, "": Dialect.PLAIN}, known_columns={"x": frozenset({"a"})}
        )
        assert options.table_options(FORUM).dialect is Dialect.PLAIN
        assert options.table_options(FORUM).known_columns == frozenset()

    def test_all_options_of_tables_come_from_the_run(self) -> None:
        options = IngestOptions(None, escapes=Escapes.DECODE, row_hash=RowHash.CONCATENATED).table_options(AUTH_USER)
        assert (options.escapes, options.row_hash) == (Escapes.DECODE, RowHash.CONCATENATED)
        assert not IngestOptions(None).supersede
        assert {"id", "username"} <= IngestOptions(None).table_options(AUTH_USER).known_columns


class TestWrites:
    def test_a_new_member_is_written_and_to_be_recorded(self, writing: Writing) -> None:
        result = writing.one()
        assert result.version is not None
        assert writing.objects.keys() == {raw_data_key(AUTH_USER, result.version)}
        assert sha256(writing.objects[str(result.object_key)]).hexdigest() == result.version
        assert (result.outcome, result.record, result.wrote, result.settle) == (DELIVERED, True, True, False)
        assert (result.unwritable, result.new_rejects) == (False, ())
        assert writing.has_mark

    def test_a_forum_is_written_with_its_rows(self, writing: Writing) -> None:
        forum, posts = writing(POST, FORUM, [None, None])
        assert writing.objects.keys() == {forum.object_key, posts.object_key}
        again = writing(POST, FORUM, [recorded(forum), recorded(posts)])
        assert [each.outcome for each in again] == [UNCHANGED, UNCHANGED]

    def test_nothing_is_written_without_a_landing_zone(self, tmp_path: Path) -> None:
        worker = MemberWriter(IngestOptions(None))
        (result,) = worker.deliver(AUTH_USER, [None], [TABLE], None).result()
        assert (result.outcome, result.record, result.wrote, result.stats.rows) == (DELIVERED, False, False, 2)
        before = recorded(result, made_from=result.made_from)
        (again,) = worker.deliver(AUTH_USER, [before], [TABLE], None).result()
        assert (again.outcome, again.version, again.stats) == (UNCHANGED, result.version, result.stats)
        with pytest.raises(ValueError, match="nothing is written without a landing zone"):
            worker.begin()
        assert list(tmp_path.iterdir()) == []
        worker.threads.shutdown()

    @pytest.mark.parametrize("is_known", [True, False])
    def test_what_is_recorded_and_there_is_left_alone(
        self, writing: Writing, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
    ) -> None:
        first = writing.one()
        writing.remove_mark()
        if is_known:
            monkeypatch.setattr(module, "convert", None)
        again = writing.one(recorded=recorded(first, made_from=first.made_from if is_known else None))
        assert (again.outcome, again.record, again.wrote, again.settle) == (UNCHANGED, False, False, False)
        assert (again.version, again.object_key, again.size) == (first.version, first.object_key, first.size)
        assert again.stats == first.stats
        assert not writing.has_mark

    @pytest.mark.parametrize("is_known", [True, False])
    @pytest.mark.parametrize("damage", ["gone", "empty"])
    def test_what_is_recorded_and_gone_is_written_again(self, writing: Writing, damage: str, *, is_known: bool) -> None:
        first = writing.one()
        before = writing.objects
        path = writing.folder / str(first.object_key)
        path.unlink()
        if damage == "empty":
            path.write_bytes(b"")
        again = writing.one(recorded=recorded(first, made_from=first.made_from if is_known else None))
        assert (again.outcome, again.record, again.wrote) == (DELIVERED, True, True)
        assert writing.objects == before

    def test_a_forum_of_which_one_object_is_gone_is_made_again(self, writing: Writing) -> None:
        forum, posts = writing(POST, FORUM, [None, None])
        before = writing.objects
        (writing.folder / str(posts.object_key)).unlink()
        known: list[Recorded | None] = [recorded(each, made_from=each.made_from) for each in (forum, posts)]
        again = writing(POST, FORUM, known)
        assert [each.wrote for each in again] == [False, True]
        assert writing.objects == before
        assert [each.outcome for each in writing(POST, FORUM, [known[0], None])] == [UNCHANGED, DELIVERED]

    def test_another_content_is_converted(self, writing: Writing) -> None:
        first = writing.one()
        known = recorded(first, made_from=first.made_from)
        second = writing.one(TABLE + b"3\tBarbara\n", recorded=known)
        assert (second.outcome, second.stats.rows, second.wrote) == (DELIVERED, 3, True)
        assert len(writing.objects) == 2
        structure = writing.one(b"{}", STRUCTURE)
        other = writing.one(b"[]", STRUCTURE, recorded(structure))
        assert (other.outcome, other.version) == (DELIVERED, sha256(b"[]").hexdigest())

    @pytest.mark.parametrize("is_known", [True, False])
    def test_what_is_there_beside_a_newer_object_is_to_be_settled(self, writing: Writing, *, is_known: bool) -> None:
        first = writing.one()
        second = writing.one(TABLE + b"3\tBarbara\n")
        writing.age(str(first.object_key), 2)
        again = writing.one(recorded=recorded(first, made_from=first.made_from if is_known else None))
        assert (again.outcome, again.settle) == (UNCHANGED, True)
        writing.age(str(second.object_key), 3)
        again = writing.one(recorded=recorded(first, made_from=first.made_from if is_known else None))
        assert (again.outcome, again.settle) == (UNCHANGED, False)

    @pytest.mark.parametrize(("ago", "settle"), [(3, False), (-3, True)])
    def test_a_new_object_is_to_be_settled_beside_one_that_is_not_older_than_the_run(
        self, writing: Writing, ago: int, *, settle: bool
    ) -> None:
        first = writing.one()
        writing.age(str(first.object_key), ago)
        second = writing.one(TABLE + b"3\tBarbara\n", recorded=recorded(first))
        assert (second.wrote, second.settle) == (True, settle)


class TestSuperseded:
    @pytest.mark.parametrize("is_known", [True, False])
    def test_an_earlier_archive_changes_nothing(self, writing: Writing, *, is_known: bool) -> None:
        first = writing.one()
        before = writing.objects
        writing.remove_mark()
        later = recorded(first, TODAY + timedelta(days=1), first.made_from if is_known else None)
        again = writing.one(recorded=later)
        assert (again.outcome, again.record, again.wrote) == (SUPERSEDED, False, False)
        other = writing.one(BAD, recorded=later)
        assert (other.outcome, other.record, other.wrote, other.new_rejects) == (SUPERSEDED, False, False, ())
        assert writing.one(b"id\tname\n", recorded=later).outcome is SUPERSEDED
        assert writing.one(b"", recorded=later).outcome is SUPERSEDED
        assert writing.objects == before
        assert not writing.has_mark
        if is_known:
            assert (again.object_key, again.size) == (None, 0)

    def test_it_does_if_it_is_to(self, writing: Writing) -> None:
        later = recorded(writing.one(), TODAY + timedelta(days=1))
        assert writing.one(BAD, recorded=later, supersede=True).outcome is DELIVERED
        assert writing.one(b"", recorded=later, supersede=True).outcome is EMPTY

    def test_a_current_version_that_is_not_the_newest_is_to_be_settled(self, writing: Writing) -> None:
        first = writing.one()
        writing.one(TABLE + b"3\tBarbara\n")
        writing.age(str(first.object_key), 2)
        later = recorded(first, TODAY + timedelta(days=1))
        assert writing.one(TABLE + b"3\tBarbara\n", recorded=later).settle
        known = recorded(first, TODAY + timedelta(days=1), first.made_from)
        assert writing.one(recorded=known).settle


class TestRejects:
    def test_they_are_written_first_and_told_if_they_are_new(
        self, writing: Writing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[str] = []
        write = FolderStore.write

        def write_and_remember(store: FolderStore, key: str, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
            written.append(key)
            write(store, key, *arguments, **options)

        monkeypatch.setattr(FolderStore, "write", write_and_remember)
        result = writing.one(BAD)
        assert result.rejects_key is not None
        assert written == [MARK.key, result.rejects_key, result.object_key]
        assert result.new_rejects == (result.rejects_key,)
        written.clear()
        again = writing.one(BAD, recorded=recorded(result))
        assert (written, again.new_rejects, again.outcome) == ([], (), UNCHANGED)
        (writing.folder / result.rejects_key).write_bytes(b"cut")
        again = writing.one(BAD, recorded=recorded(result))
        assert (written, again.new_rejects) == ([result.rejects_key], ())

    def test_a_table_that_fails_has_them_too(self, writing: Writing) -> None:
        result = writing.one(b"id\tname\n" + b"1\tb\tc\n" * 3)
        assert (result.outcome, result.record, result.wrote) == (FAILED, False, False)
        assert list(writing.objects) == [result.rejects_key]
        assert result.new_rejects == (result.rejects_key,)
        assert result.rejects_key == rejected_rows_key(AUTH_USER, sha256(*writing.objects.values()).hexdigest())
        assert not result.unwritable

    def test_a_table_without_rows_is_empty_and_not_written(self, writing: Writing) -> None:
        result = writing.one(b"id\tname\n")
        assert (result.outcome, result.record, writing.objects, writing.has_mark) == (EMPTY, False, {}, False)


class TestColumns:
    OTHER = b"id\tname\temail\n1\tAda\ta\n"

    @pytest.mark.parametrize("is_known", [True, False])
    def test_those_that_came_or_went_are_named(self, writing: Writing, *, is_known: bool) -> None:
        first = writing.one()
        second = writing.one(self.OTHER, recorded=recorded(first))
        assert second.column_changes == "email came"
        current = Recorded(
            str(second.version), TODAY, second.stats, first.stats, second.made_from if is_known else None
        )
        assert writing.one(self.OTHER, recorded=current).column_changes == "email came"

    def test_none_are_named_where_nothing_changed_or_is_known(
        self, writing: Writing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = writing.one()
        monkeypatch.setattr(module, "column_changes", lambda *_: "changes")
        assert writing.one(TABLE + b"3\tBarbara\n", recorded=recorded(first)).column_changes == ""
        assert writing.one(self.OTHER).column_changes == ""
        assert writing.one(b"", recorded=recorded(first)).column_changes == ""

    def test_a_store_that_cannot_be_read_names_none(self, writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
        first = writing.one()

        def refuse(*_: object) -> str:
            raise ServiceError("no answer")

        monkeypatch.setattr(module, "column_changes", refuse)
        second = writing.one(self.OTHER, recorded=recorded(first))
        assert (second.outcome, second.wrote, second.column_changes) == (DELIVERED, True, "")


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "is_transient", "awaits_operator"),
        [(ServiceError("no answer"), True, False), (AccessRefusedError("no entry"), False, True)],
    )
    @pytest.mark.parametrize("is_known", [True, False])
    def test_a_store_that_fails_fails_the_member(
        self,
        writing: Writing,
        error: Exception,
        is_transient: bool,  # noqa: FBT001
        awaits_operator: bool,  # noqa: FBT001
        monkeypatch: pytest.MonkeyPatch,
        *,
        is_known: bool,
    ) -> None:
        first = writing.one()

        asked = 0

        def refuse(*_: object, **__: object) -> None:
            nonlocal asked
            asked += 1
            raise error

        monkeypatch.setattr(FolderStore, "list_folder", refuse)
        known = recorded(first, made_from=first.made_from if is_known else None)
        result = writing.one(recorded=known)
        assert (result.outcome, result.problem, result.unwritable) == (FAILED, str(error), True)
        assert (result.is_transient, result.awaits_operator) == (is_transient, awaits_operator)
        assert asked == 1

    @pytest.mark.parametrize(("error", "asked"), [(ServiceError("x"), 2), (AccessRefusedError("x"), 1)])
    def test_a_refusal_of_the_mark_is_final(
        self, writing: Writing, error: Exception, asked: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = writing.worker()
        calls = 0

        def refuse(*_: object) -> None:
            nonlocal calls
            calls += 1
            raise error

        monkeypatch.setattr(RunMark, "leave_in", refuse)
        for _ in range(2):
            with pytest.raises(type(error), match="x"):
                worker.begin()
        assert calls == asked

    def test_the_mark_is_left_once(self, writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
        worker = writing.worker()
        first = worker.begin()
        (left,) = marks_in(open_store(f"file://{writing.folder}"))
        assert first == left.left
        monkeypatch.setattr(RunMark, "leave_in", None)
        assert worker.begin() == first

    BEFORE, AFTER = 0, 9 << 20

    @pytest.mark.parametrize(
        ("error", "size", "problem", "is_transient"),
        [
            (OSError(28, "No space left"), AFTER, "its temporary file cannot be written", True),
            (AccessRefusedError("no entry"), AFTER, "no entry", False),
            *[
                (error, size, problem, False)
                for size in (BEFORE, AFTER)
                for error, problem in (
                    (TruncatedStreamError(), BROKEN_OFF),
                    (RuntimeError("Ada Lovelace"), "its conversion ended in an unexpected RuntimeError (edxorg_tests."),
                )
            ],
        ],
    )
    def test_an_error_before_or_while_it_is_converted_fails_the_member(
        self,
        writing: Writing,
        error: Exception,
        size: int,
        problem: str,
        is_transient: bool,  # noqa: FBT001
    ) -> None:
        def content() -> Iterator[bytes]:
            yield b"id\tname\n" + b"1\tx\n" * (size // 4)
            raise error

        (result,) = writing.worker().deliver(AUTH_USER, [None], content(), None).result()
        assert (result.outcome, result.is_transient, result.unwritable) == (FAILED, is_transient, False)
        assert str(result.problem).startswith(problem)
        assert "Ada" not in str(result.problem)
        assert writing.objects == {}

    def test_an_encrypted_member_without_its_suffix_is_refused(self, writing: Writing) -> None:
        message = b"-----BEGIN PGP MESSAGE-----\n"
        result = writing.one(message + b"\n")
        assert (result.outcome, result.problem) == (
            FAILED,
            "it is an OpenPGP message, and its name does not end in .gpg",
        )
        (nothing,) = writing.worker().deliver(AUTH_USER, [None], [], None).result()
        assert nothing.outcome is EMPTY

    def test_an_encrypted_member_is_decrypted(self, writing: Writing) -> None:
        class Decryptor:
            def decrypt(self, blocks: Any) -> Iterator[bytes]:  # noqa: ANN401
                yield b"".join(blocks).replace(b"secret", b"")

        worker = writing.worker()
        decryptor: Any = Decryptor()
        encrypted = identify(table_name() + ".gpg")
        (result,) = worker.deliver(encrypted, [None], [b"secret", TABLE], decryptor).result()
        assert result.stats.rows == 2
        (plain,) = worker.deliver(AUTH_USER, [None], [TABLE + b"3\tsecret\n"], decryptor).result()
        assert b"secret" in writing.objects[str(plain.object_key)]


def test_tasks_answer_when_all_is_written(writing: Writing) -> None:
    worker = writing.worker()
    other = identify(table_name("other"))
    batch = deliver_batch(worker, [(AUTH_USER, [None], TABLE), (FORUM, [None, None], POST)], None).result()
    assert [each.member for each in batch] == [AUTH_USER, *outputs_of(FORUM)]
    (streamed,) = deliver_stream(worker, iter([TABLE[:9], TABLE[9:]]), other, [None], None).result()
    assert {each.object_key for each in [*batch, streamed]} == writing.objects.keys()


def test_temporary_files_are_closed(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Converted] = []
    close = Converted.close

    def close_and_remember(converted: Converted) -> None:
        closed.append(converted)
        close(converted)

    monkeypatch.setattr(Converted, "close", close_and_remember)
    writing.one()
    worker = MemberWriter(IngestOptions(None))
    worker.deliver(AUTH_USER, [None], [TABLE], None).result()
    worker.threads.shutdown()
    assert len(closed) == 2

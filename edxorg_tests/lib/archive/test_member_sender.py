"""Members on their way to workers: which go together, which block by block, and what comes back of them."""

from __future__ import annotations

import tarfile
from concurrent.futures import Future
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.member_sender import MemberSender
from edxorg.lib.archive.member_writer import BROKEN_OFF, IngestOptions, MemberWriter
from edxorg.lib.members import identify
from edxorg_tests.support.archives import TABLE, table_name
from edxorg_tests.support.delivery_model import InThisProcess
from edxorg_tests.support.tracking_logs import MIB
from ol_orchestrate.lib.archives import ArchiveEntry, ArchiveError, EntryError
from ol_orchestrate.lib.errors import SourceChangedError
from ol_orchestrate.lib.openpgp import LazyKeyRing, no_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Pool(InThisProcess):
    """Remembers what it is given."""

    def __init__(self) -> None:
        super().__init__(MemberWriter, IngestOptions(None))
        self.given: list[list[str]] = []
        self.decryptors: list[object] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **_: object) -> Future[Any]:  # noqa: ANN401
        is_batch = isinstance(args[0], list)
        self.given.append([member.table for member, _, _ in args[0]] if is_batch else [args[1].table, "by blocks"])
        self.decryptors.append(args[-1])
        return super().submit(function, *args)


class Ring(LazyKeyRing):
    """Has a decryptor that nobody uses."""

    def __init__(self) -> None:
        super().__init__(no_keys)
        self.asked = 0

    def decryptor(self) -> Any:  # noqa: ANN401
        self.asked += 1
        return None


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool() as pool:
        yield pool


class Sending:
    def __init__(self, pool: Pool) -> None:
        self.results: list[MemberResult] = []
        self.ring = Ring()
        self.sender = MemberSender(pool, self.ring, self.results.append)

    def send(self, table: str, *blocks: bytes, error: Exception | None = None, size: int | None = None) -> None:
        def content() -> Iterator[bytes]:
            yield from blocks
            if error is not None:
                raise error

        name = table_name(table)
        length = sum(map(len, blocks)) if size is None else size
        self.sender.send(ArchiveEntry(name, tarfile.REGTYPE, length, content()), identify(name), [None])

    def tables(self) -> list[tuple[str | None, MemberOutcome]]:
        return [(result.member.table, result.outcome) for result in self.results]


@pytest.fixture
def sending(pool: Pool) -> Sending:
    return Sending(pool)


DELIVERED, FAILED = MemberOutcome.DELIVERED, MemberOutcome.FAILED


class Answer(Future[Any]):
    """An answer that nobody waits for."""

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401
        assert self.done()
        return super().result(timeout)


def names(numbers: Sequence[int]) -> list[str]:
    return [f"t{number}" for number in numbers]


def test_sixty_four_small_members_go_together(sending: Sending, pool: Pool) -> None:
    for name in names(range(63)):
        sending.send(name, TABLE[:3], TABLE[3:])
    assert (pool.given, sending.results) == ([], [])
    for name in names(range(63, 66)):
        sending.send(name, TABLE)
    assert pool.given == [names(range(64))]
    assert sending.tables() == [(name, DELIVERED) for name in names(range(64))]
    sending.sender.finish()
    assert pool.given == [names(range(64)), names(range(64, 66))]
    assert sending.tables() == [(name, DELIVERED) for name in names(range(66))]
    assert all(result.stats.rows == 2 for result in sending.results)
    assert len({result.version for result in sending.results}) == 1
    sending.sender.finish()
    assert len(pool.given) == 2


def test_a_mebibyte_of_small_members_goes_together(sending: Sending, pool: Pool) -> None:
    half = TABLE + b"3\tx\n" * ((MIB // 2 - len(TABLE)) // 4)
    half += b"\n" * (MIB // 2 - len(half))
    sending.send("a", half)
    sending.send("b", half[:-1])
    assert pool.given == []
    sending.send("c", b"i")
    assert pool.given == [["a", "b", "c"]]
    sending.send("d", half)
    sending.send("e", half[:-1])
    assert pool.given == [["a", "b", "c"]]
    sending.send("f", b"i")
    assert pool.given == [["a", "b", "c"], ["d", "e", "f"]]


def test_members_of_over_a_mebibyte_go_block_by_block_after_those_before_them(sending: Sending, pool: Pool) -> None:
    large = TABLE + b"3\t" + b"x" * MIB + b"\n"
    sending.send("a", TABLE)
    sending.send("b", large[: MIB // 2], large[MIB // 2 :])
    sending.send("c", large[:MIB], size=MIB)
    sending.send("d", TABLE)
    sending.sender.finish()
    assert pool.given == [["a"], ["b", "by blocks"], ["c"], ["d"]]
    assert [result.member.table for result in sending.results] == ["a", "b", "c", "d"]
    assert [result.stats.rows for result in sending.results][:2] == [2, 3]


def test_answers_are_accounted_for_in_order_and_only_the_end_waits(sending: Sending, pool: Pool) -> None:
    answers = [Answer(), Answer()]
    waiting = iter(answers)
    pool.submit = lambda *_, **__: next(waiting)  # type: ignore[method-assign]
    for name in names(range(128)):
        sending.send(name, TABLE)
    first, second = (MemberResult(identify(table_name(name)), DELIVERED) for name in ("a", "b"))
    answers[1].set_result([second])
    sending.send("z", TABLE)
    assert sending.results == []
    answers[0].set_result([first])
    sending.send("z", TABLE)
    assert sending.results == [first, second]


def test_the_end_waits_for_all_answers(sending: Sending, pool: Pool) -> None:
    answer: Future[Any] = Future()
    pool.submit = lambda *_, **__: answer  # type: ignore[method-assign]
    sending.send("a", TABLE)
    result = MemberResult(identify(table_name("a")), DELIVERED)
    Timer(0.05, answer.set_result, [[result]]).start()
    sending.sender.finish()
    assert sending.results == [result]


class TestErrors:
    def test_a_small_member_that_cannot_be_read_fails_alone(self, sending: Sending) -> None:
        sending.send("a", TABLE)
        sending.send("b", TABLE[:5], error=EntryError("its checksum is wrong"))
        sending.send("c", TABLE)
        sending.sender.finish()
        assert sorted(sending.tables()) == [("a", DELIVERED), ("b", FAILED), ("c", DELIVERED)]
        (failed,) = (result for result in sending.results if result.outcome is FAILED)
        assert (failed.problem, failed.is_transient) == ("its checksum is wrong", False)

    def test_a_large_member_that_cannot_be_read_fails_alone(self, sending: Sending) -> None:
        sending.send("a", TABLE)
        sending.send("b", TABLE, error=EntryError("its checksum is wrong"), size=2 * MIB)
        sending.send("c", TABLE)
        sending.sender.finish()
        assert sending.tables() == [("a", DELIVERED), ("b", FAILED), ("c", DELIVERED)]
        assert sending.results[1].problem == "its checksum is wrong"

    @pytest.mark.parametrize("error", [ArchiveError("cut"), SourceChangedError("changed")])
    @pytest.mark.parametrize("size", [5, 2 * MIB])
    def test_an_archive_that_breaks_off_ends_the_reading_and_fails_the_member(
        self, sending: Sending, error: Exception, size: int
    ) -> None:
        sending.send("a", TABLE)
        with pytest.raises(type(error), match=str(error)):
            sending.send("b", TABLE, error=error, size=size)
        sending.sender.finish()
        assert sorted(sending.tables()) == [("a", DELIVERED), ("b", FAILED)]
        (failed,) = (result for result in sending.results if result.outcome is FAILED)
        assert failed.problem == BROKEN_OFF


@pytest.mark.parametrize("size", [5, 2 * MIB])
def test_keys_are_asked_for_if_anything_is_encrypted(sending: Sending, pool: Pool, size: int) -> None:
    sending.send("a", TABLE, size=size)
    sending.sender.finish()
    assert sending.ring.asked == 0
    name = table_name("b") + ".gpg"
    plain = ArchiveEntry(table_name("c"), tarfile.REGTYPE, 5, iter([TABLE]))
    sending.sender.send(plain, identify(plain.name), [None])
    sending.sender.send(ArchiveEntry(name, tarfile.REGTYPE, size, iter([TABLE])), identify(name), [None])
    sending.sender.finish()
    assert sending.ring.asked == 1
    assert pool.decryptors[0] is None

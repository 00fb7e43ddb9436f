"""One wrong bit of an archive changes no recorded version, and loses no member in silence."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from edxorg.commands import console
from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.archive.ingestion import UNVERIFIED, ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.object_keys import raw_data_key
from edxorg.lib.workers import TruncatedStreamError
from edxorg_tests.support.archives import TABLE, table_name, tar_bytes
from edxorg_tests.support.delivery_model import InThisProcess
from ol_orchestrate.lib.stores import VerifiedReader, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from edxorg.lib.archive.ingest_report import MemberResult
    from edxorg.lib.archive.ingestion import Ingested
    from ol_orchestrate.testing.servers import S3Server

POSTS = '{"_id": "1", "title": "é"}\n'.encode()
MEMBERS = {f"a/{table_name()}": TABLE, "é/MITx-6.00x-2012_Fall-prod.mongo": POSTS, "b/README": b"read me"}


def zip_of(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


class Stream:
    """A member that is read whole before it is delivered."""

    def __init__(self, deliver: Callable[[Iterator[bytes]], Future[Any]]) -> None:
        self._deliver = deliver
        self._blocks: list[bytes] = []

    def send(self, block: bytes) -> None:
        self._blocks.append(block)

    def finish(self) -> Future[Any]:
        return self._deliver(iter(self._blocks))

    def abort(self) -> Future[Any]:
        return self._deliver(self._broken_off())

    def _broken_off(self) -> Iterator[bytes]:
        yield from self._blocks
        raise TruncatedStreamError


class Collecting(InThisProcess):
    """Keeps what workers return, as without a landing zone nothing is recorded."""

    results: ClassVar[list[MemberResult]] = []

    def submit(self, function: Callable[..., Any], /, *args: object, **_: object) -> Future[Any]:
        future = super().submit(function, *args)
        self.results.extend(future.result())
        return future

    def stream(self, function: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - stands for a `BlockStream`
        return Stream(lambda blocks: self.submit(function, blocks, *args))


def ingest(path: Path) -> tuple[Ingested, dict[tuple[str, str | None], str | None]]:
    """Read an archive without a landing zone, and return what there would be to record."""
    Collecting.results.clear()
    source = open_store(f"file://{path.parent}").read(path.name)
    with PendingRecords() as to_record:
        done = ingest_archive(source, IngestOptions(None), NothingRecorded(), to_record, pool_class=Collecting)
    assert sum(done.report.outcomes.values()) == done.report.members, done.report.sum_of_outcomes()
    failed = {path for path, _, _ in done.report.listed.get(MemberOutcome.FAILED, [])}
    delivered = [] if done.is_refused else [each for each in Collecting.results if each.member.label not in failed]
    return done, {(raw_data_key(each.member, ""), each.member.partition): each.version for each in delivered}


def test_each_flipped_bit_of_a_zip_is_noticed_and_loses_no_member_in_silence(tmp_path: Path) -> None:
    sound, path = zip_of(MEMBERS), tmp_path / "a.zip"
    path.write_bytes(sound)
    whole, expected = ingest(path)
    assert (len(expected), whole.problem, whole.report.failed) == (3, None, 0)
    lost = 0
    for bit in range(8 * len(sound)):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        done, found = ingest(path)
        where = f"bit {bit % 8} of byte {bit // 8}"
        assert found.items() <= expected.items(), where
        if found != expected:
            lost += 1
            assert done.problem is not None or done.report.outcomes[MemberOutcome.FAILED], where
    assert lost > len(sound)


def test_a_link_with_the_name_of_a_table_fails_and_other_links_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in (table_name(), "latest"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
            archive.addfile(link)
    done, found = ingest(path)
    assert (done.report.outcomes, found) == ({MemberOutcome.FAILED: 1, MemberOutcome.IGNORED: 1}, {})
    [(name, _, why)] = done.report.listed[MemberOutcome.FAILED]
    assert (name, "it is a link" in why) == (table_name(), True)


@pytest.mark.parametrize(("name", "warned"), [("a.tar", True), ("a", True), ("a.tar.gz", False), ("a.zip", False)])
def test_a_tar_in_clear_of_a_store_without_checksums_is_delivered_with_a_warning(
    name: str, *, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tar_bytes({table_name(): TABLE})
    content = gzip.compress(content) if name.endswith("gz") else content
    (tmp_path / name).write_bytes(zip_of(MEMBERS) if name.endswith("zip") else content)
    done, found = ingest(tmp_path / name)
    assert found
    assert (UNVERIFIED in str(done.report.warning)) is warned
    console.show_report(done.report)
    assert ("Warning: file://" in capsys.readouterr().out) is warned
    assert done.report.as_json()["warning"] == done.report.warning


def test_a_tar_in_clear_that_changes_on_its_way_from_a_bucket_is_refused(
    s3_bucket: str, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    sound = tar_bytes({table_name(): TABLE})
    store = open_store(f"s3://{s3_bucket}/archives")
    store.write("a.tar", sound)
    info = store.read("a.tar").info
    flipped = bytearray(sound)
    flipped[sound.index(TABLE) + len(TABLE) - 2] ^= 1

    def read(content: bytes) -> Ingested:
        source = VerifiedReader(info, lambda position: iter([content[position:]]))
        with PendingRecords() as to_record:
            return ingest_archive(source, IngestOptions(None), NothingRecorded(), to_record, pool_class=Collecting)

    assert (read(sound).problem, read(sound).report.warning) == (None, None)
    refused = read(bytes(flipped))
    assert refused.is_refused
    assert "the bytes that arrived are not those of version" in str(refused.problem)

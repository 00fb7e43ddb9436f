"""Packages as edX ships them give what the same package gives as MIT repacks it."""

from __future__ import annotations

import gzip
import importlib
import json
import zipfile
from itertools import chain
from typing import TYPE_CHECKING

import dagster as dg
import hvac
import pytest
from rich.console import Console

from edxorg.commands import console
from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.archive.ingestion import Ingested, ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.private_keys import private_keys
from edxorg.lib.settings import Settings
from edxorg.samples.sample_archive import write_sample_archive
from edxorg_tests.support.archives import (
    TABLE,
    encrypted,
    landed,
    members_of,
    table_name,
    tar_bytes,
    write_archive,
    write_zip,
)
from edxorg_tests.support.shell import Shell
from ol_orchestrate.asset_keys import asset_key
from ol_orchestrate.landing.records import latest_tags
from ol_orchestrate.lib import disk_copy
from ol_orchestrate.lib.errors import NoRoomError
from ol_orchestrate.lib.openpgp import PrivateKeys, no_keys
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ol_orchestrate.lib.stores import ObjectStore, StoreAccess
    from ol_orchestrate.testing.openpgp_keys import GnuPG
    from ol_orchestrate.testing.servers import OpenBaoServer, S3Server


ADA, EVE = "ada@example.org", "eve@example.org"
UNPROTECTED = ("--rfc2440", "--disable-mdc", "--cipher-algo", "CAST5")
PACKED = ("--compress-algo", "zlib", "--compress-level", "9")


def ingest(
    archive: Path, landing_zone: Path, keys: Callable[[], PrivateKeys] = no_keys, courses: tuple[str, ...] = ()
) -> tuple[Ingested, list[MemberResult]]:
    source = open_store(f"file://{archive.parent}").read(archive.name)
    options = IngestOptions(f"file://{landing_zone}", courses=courses)
    with PendingRecords() as to_record:
        ingested = ingest_archive(source, options, NothingRecorded(), to_record, keys=keys, workers=1)
        results = list(chain(*to_record.by_asset().values()))
        ingested.finish([])
    return ingested, results


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "mitx-2024-01-31.tar.gz"
    write_sample_archive(path, courses=2, seed=1, rows_per_course=200)
    return path


@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_a_package_gives_the_same_in_every_format(ending: str, package: Path, tmp_path: Path) -> None:
    expected, expected_results = ingest(package, tmp_path / "expected")
    repacked = tmp_path / f"delftx-2024-01-31.{ending}"
    if ending == "zip":
        write_zip(repacked, members_of(package))
    else:
        repacked.write_bytes(tar_bytes(members_of(package)))
    ingested, results = ingest(repacked, tmp_path / "lake")
    assert ingested.problem is None
    if ending == "tar":
        assert ingested.report.warning is not None
        assert "not verified" in ingested.report.warning
        ingested.report.warning = None
    assert ingested.report.as_json() == expected.report.as_json()
    assert results == expected_results
    assert landed(tmp_path / "lake") == landed(tmp_path / "expected")


LARGE = TABLE + b"".join(b"%d\tname\n" % number for number in range(3, 150_000))
"""A table that is sent to a worker as a stream."""


@pytest.mark.parametrize("broken", [TABLE, LARGE], ids=["small", "streamed"])
def test_nothing_of_a_member_with_a_wrong_checksum_lands_and_others_do(broken: bytes, tmp_path: Path) -> None:
    archive = write_zip(
        tmp_path / "a.zip", [(table_name("teams"), broken), (table_name("auth_user"), TABLE), ("readme", b"1")]
    )
    data = bytearray(archive.read_bytes())
    for header in (14, data.index(b"PK\1\2") + 16):
        data[header] ^= 1
    archive.write_bytes(data)
    ingested, _ = ingest(archive, tmp_path / "lake")
    assert {key.split("/")[3] for key in landed(tmp_path / "lake")} == {"auth_user"}
    [(path, _, problem)] = ingested.report.listed[MemberOutcome.FAILED]
    assert (path, "CRC-32" in problem) == (table_name("teams"), True)
    assert ingested.report.outcomes == {"delivered": 1, "failed": 1, "unrecognised": 1}


@pytest.mark.parametrize("courses", [(), ("MITx-6.00x-*",)], ids=["unrecognised", "left-out"])
def test_a_member_that_only_the_directory_of_a_zip_calls_otherwise_fails(
    courses: tuple[str, ...], tmp_path: Path
) -> None:
    archive = write_zip(tmp_path / "a.zip", [(table_name("teams"), TABLE), (table_name(), TABLE)])
    data = bytearray(archive.read_bytes())
    name = data.index(table_name("teams").encode(), data.index(b"PK\1\2"))
    data[name + (len("MITx-") if courses else len(table_name("teams")) - 1)] ^= 1
    archive.write_bytes(data)
    ingested, _ = ingest(archive, tmp_path / "lake", courses=courses)
    assert ingested.report.outcomes == {"delivered": 1, "failed": 1}


def test_names_that_lead_out_of_a_zip_are_set_aside(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", [(f"../{table_name()}", TABLE), (f"/{table_name()}", TABLE)])
    ingested, _ = ingest(archive, tmp_path / "lake")
    assert ingested.report.outcomes == {"unrecognised": 2}
    assert landed(tmp_path / "lake") == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_two_members_with_one_name_is_recorded(tmp_path: Path) -> None:
    other = TABLE + b"3\tAlan\n"
    archive = write_zip(tmp_path / "a.zip", [(table_name(), TABLE), (table_name(), other)])
    ingested, [result] = ingest(archive, tmp_path / "lake")
    assert result.stats.rows == 3
    assert ingested.report.claimed_twice.total == 1


@pytest.mark.parametrize(("name", "is_sound"), [("email-opt-in-a-2024-01-31.zip", True), ("a-2024-01-31.zip", False)])
def test_only_a_package_of_email_preferences_may_be_empty(name: str, *, is_sound: bool, tmp_path: Path) -> None:
    ingested, _ = ingest(write_zip(tmp_path / name, {}), tmp_path / "lake")
    assert (ingested.report.members, ingested.problem is None) == (0, is_sound)


class TestEncrypted:
    @pytest.fixture
    def keys(self, gnupg: GnuPG) -> Callable[[], PrivateKeys]:
        return lambda: PrivateKeys(gnupg.private_key(ADA))

    @pytest.mark.parametrize("ending", ["zip", "tar.gz.gpg", "zip.gpg"])
    def test_a_package_gives_what_it_gives_in_clear(
        self, ending: str, package: Path, tmp_path: Path, gnupg: GnuPG, keys: Callable[[], PrivateKeys]
    ) -> None:
        expected, expected_results = ingest(package, tmp_path / "expected")
        repacked = tmp_path / f"delftx-2024-01-31.{ending}"
        if ending == "zip":
            write_zip(repacked, encrypted(members_of(package), gnupg))
        elif ending == "zip.gpg":
            clear = write_zip(tmp_path / "clear.zip", members_of(package))
            repacked.write_bytes(gnupg.message(clear.read_bytes(), ADA))
        else:
            repacked.write_bytes(gnupg.message(package.read_bytes(), ADA))
        ingested, results = ingest(repacked, tmp_path / "lake", keys)
        assert ingested.problem is None
        assert ingested.report.outcomes == expected.report.outcomes
        assert ingested.report.tables == expected.report.tables
        assert {each.version for each in results} == {each.version for each in expected_results}
        assert landed(tmp_path / "lake") == landed(tmp_path / "expected")

    @pytest.mark.parametrize("content", [TABLE, LARGE, b"\0no header\n"], ids=["small", "streamed", "unreadable"])
    @pytest.mark.parametrize(
        ("spoil", "problem"),
        [
            (lambda message, _: message[:-1] + bytes([message[-1] ^ 1]), "damaged or breaks off"),
            (lambda message, _: message[:-30], "damaged or breaks off"),
            (lambda message, gnupg: gnupg.message(message, ADA), "holds another OpenPGP message"),
            (lambda _, gnupg: gnupg.message(TABLE, EVE), "there is no private key for it"),
            (lambda _, __: TABLE, "no OpenPGP message"),
            (lambda _, gnupg: gnupg.message(TABLE, ADA, *UNPROTECTED), "no integrity protection"),
            (lambda _, gnupg: gnupg.changed_after_signing(TABLE, ADA, ADA), "its signature"),
        ],
        ids=["flipped", "cut", "nested", "for-someone-else", "in-clear", "unprotected", "signed-wrongly"],
    )
    def test_nothing_of_a_broken_message_lands_and_other_members_do(
        self,
        content: bytes,
        spoil: Callable[[bytes, GnuPG], bytes],
        problem: str,
        tmp_path: Path,
        gnupg: GnuPG,
        keys: Callable[[], PrivateKeys],
    ) -> None:
        message = spoil(gnupg.message(content, ADA, "--compress-algo", "none"), gnupg)
        members = [(f"{table_name('teams')}.gpg", message), (table_name(), TABLE)]
        ingested, _ = ingest(write_zip(tmp_path / "a.zip", members), tmp_path / "lake", keys)
        assert ingested.report.outcomes == {"delivered": 1, "failed": 1}
        [(_, _, why)] = ingested.report.listed[MemberOutcome.FAILED]
        assert problem in why
        assert {key.split("/")[3] for key in landed(tmp_path / "lake")} == {"auth_user"}

    def test_a_bomb_in_a_message_fails_alone(
        self, tmp_path: Path, gnupg: GnuPG, keys: Callable[[], PrivateKeys]
    ) -> None:
        bomb = gnupg.message(b"id\tname\n" + b"1\tAda\n" * 15_000_000, ADA, *PACKED)
        members = [(f"{table_name('teams')}.gpg", bomb), (table_name(), TABLE)]
        ingested, _ = ingest(write_zip(tmp_path / "a.zip", members), tmp_path / "lake", keys)
        [(_, _, why)] = ingested.report.listed[MemberOutcome.FAILED]
        assert "250 times as large" in why
        assert {key.split("/")[3] for key in landed(tmp_path / "lake")} == {"auth_user"}

    def test_a_key_with_a_wrong_passphrase_fails_its_messages(self, tmp_path: Path, gnupg: GnuPG) -> None:
        right = "open sesame"
        gnupg.make_key("locked@example.org", passphrase=right)
        exported = gnupg.private_key("locked@example.org", right)
        members = [(f"{table_name()}.gpg", gnupg.message(TABLE, "locked@example.org"))]
        archive = write_zip(tmp_path / "a.zip", members)
        ingested, _ = ingest(archive, tmp_path / "lake", lambda: PrivateKeys(exported, "wrong"))
        [(_, _, why)] = ingested.report.listed[MemberOutcome.FAILED]
        assert "passphrase is wrong or missing" in why
        ingested, _ = ingest(archive, tmp_path / "lake", lambda: PrivateKeys(exported, right))
        assert ingested.report.outcomes == {"delivered": 1}

    def test_a_message_is_read_to_its_end_where_its_table_is_given_up_before(
        self, tmp_path: Path, gnupg: GnuPG, keys: Callable[[], PrivateKeys]
    ) -> None:
        content = b"\0no header\n" + bytes(10 << 20)  # more than is held before it is converted
        message = gnupg.message(content, ADA, "--compress-algo", "none")[:-30]
        archive = write_zip(tmp_path / "a.zip", {f"{table_name()}.gpg": message})
        ingested, _ = ingest(archive, tmp_path / "lake", keys)
        [(_, _, why)] = ingested.report.listed[MemberOutcome.FAILED]
        assert "damaged or breaks off" in why

    def test_signature_that_cannot_be_checked_is_counted_and_a_wrong_one_fails_its_member(
        self, tmp_path: Path, gnupg: GnuPG
    ) -> None:
        known = gnupg.private_key(ADA) + gnupg.public_key(EVE)
        members = {
            f"{table_name()}.gpg": gnupg.message(TABLE, ADA, "--sign", "--local-user", EVE),
            f"{table_name('teams')}.gpg": gnupg.changed_after_signing(TABLE, EVE, ADA),
        }
        archive = write_zip(tmp_path / "a.zip", members)
        ingested, _ = ingest(archive, tmp_path / "lake", lambda: PrivateKeys(known))
        assert ingested.report.outcomes == {"delivered": 1, "failed": 1}
        [(path, _, why)] = ingested.report.listed[MemberOutcome.FAILED]
        assert (path, "signature" in why) == (f"{table_name('teams')}.gpg", True)
        assert {key.split("/")[3] for key in landed(tmp_path / "lake")} == {"auth_user"}
        ingested, _ = ingest(archive, tmp_path / "other", lambda: PrivateKeys(gnupg.private_key(ADA)))
        assert ingested.report.unchecked_signers == {gnupg.fingerprint(EVE)[-16:]: 2}

    def test_without_a_key_encrypted_members_fail_and_others_are_delivered(self, tmp_path: Path, gnupg: GnuPG) -> None:
        members = [*encrypted([(table_name("teams"), TABLE)], gnupg), (table_name(), TABLE)]
        ingested, _ = ingest(write_zip(tmp_path / "a.zip", members), tmp_path / "lake")
        assert ingested.report.outcomes == {"delivered": 1, "failed": 1}
        [(path, _, why)] = ingested.report.listed[MemberOutcome.FAILED]
        assert (path, why) == (f"{table_name('teams')}.gpg", "it is an OpenPGP message, and there is no private key")

    def test_a_message_that_is_not_named_so_fails_alone(self, tmp_path: Path, gnupg: GnuPG) -> None:
        forum = "MITx-6.00x-2012_Fall-prod.mongo"
        members = [(forum, gnupg.message(b"{}", ADA)), (table_name(), TABLE)]
        ingested, _ = ingest(write_zip(tmp_path / "a.zip", members), tmp_path / "lake")
        [(path, _, why)] = ingested.report.listed[MemberOutcome.FAILED]
        assert (path, why) == (forum, "it is an OpenPGP message, and its name does not end in .gpg")

    def test_all_of_a_package_with_one_flipped_byte_is_taken_back(
        self, tmp_path: Path, gnupg: GnuPG, keys: Callable[[], PrivateKeys]
    ) -> None:
        clear = write_archive(tmp_path / "a.tar.gz", {table_name(): TABLE, table_name("teams"): LARGE})
        message = bytearray(gnupg.message(clear.read_bytes(), ADA))
        message[-1] ^= 1
        (tmp_path / "a.tar.gz.gpg").write_bytes(message)
        ingested, _ = ingest(tmp_path / "a.tar.gz.gpg", tmp_path / "lake", keys)
        assert ingested.is_refused
        assert landed(tmp_path / "lake") == {}

    @pytest.mark.parametrize(
        "spoil",
        [lambda message: message[:-1] + bytes([message[-1] ^ 1]), lambda message: message[:-30]],
        ids=["flipped", "cut"],
    )
    def test_nothing_lands_of_a_broken_message_that_is_a_zip(
        self, spoil: Callable[[bytes], bytes], tmp_path: Path, gnupg: GnuPG, keys: Callable[[], PrivateKeys]
    ) -> None:
        clear = write_zip(tmp_path / "a.zip", {table_name(): TABLE}).read_bytes()
        (tmp_path / "a.zip.gpg").write_bytes(spoil(gnupg.message(clear, ADA, "--compress-algo", "none")))
        ingested, _ = ingest(tmp_path / "a.zip.gpg", tmp_path / "lake", keys)
        assert (ingested.is_refused, ingested.report.members) == (True, 0)
        assert "damaged or breaks off" in str(ingested.problem)
        assert landed(tmp_path / "lake") == {}

    def test_without_room_on_disk_a_zip_that_is_encrypted_as_a_whole_says_where_to_make_some(
        self, tmp_path: Path, gnupg: GnuPG, keys: Callable[[], PrivateKeys], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clear = write_zip(tmp_path / "a.zip", {table_name(): TABLE}).read_bytes()
        (tmp_path / "a.zip.gpg").write_bytes(gnupg.message(clear, ADA))
        monkeypatch.setattr(disk_copy, "LEFT_FREE", 1 << 60)
        with pytest.raises(NoRoomError, match="make room there, or let TMPDIR name another folder") as raised:
            ingest(tmp_path / "a.zip.gpg", tmp_path / "lake", keys)
        assert raised.value.is_transient


class TestCommands:
    @pytest.fixture
    def edxorg(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, gnupg: GnuPG
    ) -> Shell:
        (tmp_path / "key.asc").write_bytes(gnupg.private_key(ADA))
        variables = {
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "EDXORG_INSTITUTION": "delftx",
            "EDXORG_LANDING_ZONE_URL": f"file://{tmp_path}/lake",
            "EDXORG_GPG_KEY_FILE": str(tmp_path / "key.asc"),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "dagster").mkdir()
        return Shell(monkeypatch, capsys)

    def test_an_archive_of_edx_is_ingested_as_it_is(self, edxorg: Shell, tmp_path: Path, gnupg: GnuPG) -> None:
        archive = write_zip(tmp_path / "delftx-2024-01-31.zip", encrypted([(table_name(), TABLE)], gnupg))
        code, out, err = edxorg("ingest", "archive", archive, "--json")
        assert (code, json.loads(out)["delivered"]) == (0, 1), err
        [key] = landed(tmp_path / "lake")
        assert key.startswith("edxorg/raw_data/db_table/auth_user/prod/MITx-6.00x-2012_Fall/")

    def test_a_log_of_edx_is_ingested_as_it_is(self, edxorg: Shell, tmp_path: Path, gnupg: GnuPG) -> None:
        log = tmp_path / "delftx-edge-events-2024-01-31.log.gz.gpg"
        event = b'{"time": "2024-01-31T00:00:00Z"}\n'
        log.write_bytes(gnupg.message(gzip.compress(event), ADA))
        code, _, err = edxorg("ingest", "tracking-log", log)
        assert code == 0, err
        [content] = landed(tmp_path / "lake").values()
        assert json.loads(gzip.decompress(content)) == {"time": "2024-01-31 00:00:00.000000"}
        code, out, err = edxorg("query", "SELECT time FROM tracking_logs", "--format", "csv")
        assert (code, out.split()[:2]) == (0, ["time", "2024-01-31"]), err

    def test_nothing_of_a_broken_log_lands(self, edxorg: Shell, tmp_path: Path, gnupg: GnuPG) -> None:
        log = tmp_path / "delftx-edge-events-2024-01-31.log.gz.gpg"
        log.write_bytes(gnupg.message(gzip.compress(b'{"time": "2024-01-31T00:00:00Z"}\n'), ADA)[:-20])
        code, _, err = edxorg("ingest", "tracking-log", log)
        assert code == 1
        assert "damaged" in err
        assert landed(tmp_path / "lake") == {}
        code, out, err = edxorg("inspect", log)
        assert (code, "damaged" in out, "0 lines = " in out) == (1, True, True), err

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("delftx-2024-01-31.tar.gz.gpg", gzip.compress(tar_bytes({table_name(): TABLE}))),
            ("delftx-edge-events-2024-01-31.log.gz.gpg", gzip.compress(b"{}\n")),
        ],
    )
    def test_inspect_opens_what_is_encrypted(
        self, name: str, content: bytes, edxorg: Shell, tmp_path: Path, gnupg: GnuPG
    ) -> None:
        (tmp_path / name).write_bytes(gnupg.message(content, ADA))
        code, out, err = edxorg("inspect", tmp_path / name, "--json")
        report = json.loads(out)
        assert (code, report.get("members") or report["lines_in"]) == (0, 1), err

    def test_a_sample_package_is_encrypted_and_can_be_read(self, edxorg: Shell, tmp_path: Path, gnupg: GnuPG) -> None:
        key, out = tmp_path / "public.asc", tmp_path / "delftx-2024-01-31.zip"
        key.write_bytes(gnupg.run("--armor", "--export", ADA))
        code, _, err = edxorg("sample", "package", "--out", out, "--size", "1MB", "--gpg-recipient", key)
        assert code == 0, err
        names = zipfile.ZipFile(out).namelist()
        assert all(name.endswith(".gpg") for name in names)
        report = json.loads(edxorg("inspect", out, "--json")[1])
        assert (report["members"], report["failed"]) == (len(names), 0)
        assert report["rows"] > 200

    @pytest.mark.parametrize(
        ("command", "name"),
        [("archive", "delftx-2024-01-31.zip"), ("tracking-log", "delftx-edge-events-2024-01-31.log.gz")],
    )
    def test_a_message_that_is_not_named_so_is_told_its_name(
        self, command: str, name: str, edxorg: Shell, tmp_path: Path, gnupg: GnuPG
    ) -> None:
        content = tar_bytes({table_name(): TABLE}) if command == "archive" else b'{"time": "2024-01-31T00:00:00Z"}\n'
        (tmp_path / name).write_bytes(gnupg.message(gzip.compress(content), ADA))
        code, _, err = edxorg("ingest", command, tmp_path / name)
        assert code != 0
        assert f"this is an OpenPGP message, so its name should be {name}.gpg" in " ".join(err.split())
        assert landed(tmp_path / "lake") == {}

    def test_without_a_key_inspect_names_the_setting(
        self, edxorg: Shell, tmp_path: Path, gnupg: GnuPG, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("EDXORG_GPG_KEY_FILE")
        (tmp_path / "delftx-2024-01-31.tar.gz.gpg").write_bytes(gnupg.message(b"", ADA))
        code, _, err = edxorg("inspect", tmp_path / "delftx-2024-01-31.tar.gz.gpg")
        assert code == 2
        assert "EDXORG_GPG_KEY_FILE" in err

    @pytest.mark.parametrize(
        ("passphrase", "problem"), [(b"\xff\xfes\0", "is not UTF-8"), (b"x" * 100_000, "more than 4,096 bytes")]
    )
    def test_a_file_that_holds_no_passphrase_is_named_and_nothing_is_awaited(
        self,
        passphrase: bytes,
        problem: str,
        edxorg: Shell,
        tmp_path: Path,
        gnupg: GnuPG,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "passphrase").write_bytes(passphrase)
        monkeypatch.setenv("EDXORG_GPG_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
        (tmp_path / "delftx-2024-01-31.tar.gz.gpg").write_bytes(gnupg.message(b"", ADA))
        code, _, err = edxorg("inspect", tmp_path / "delftx-2024-01-31.tar.gz.gpg")
        said = " ".join(err.split())
        assert (code, "EDXORG_GPG_PASSPHRASE_FILE: " in said, problem in said) == (2, True, True), err
        assert "Traceback" not in err

    def test_courses_are_left_out_on_request_and_a_full_run_delivers_them(self, edxorg: Shell, tmp_path: Path) -> None:
        names = [table_name(course=f"MITx-{number}-1T2024") for number in ("1.00x", "6.00x", "8.01x")]
        archive = write_zip(tmp_path / "delftx-2024-01-31.zip", [(name, TABLE) for name in names])
        (tmp_path / "courses").write_text("course-v1:MITx+1.00x+1T2024\nMITx-6.*\n")
        _, out, err = edxorg("ingest", "archive", archive, "--courses", tmp_path / "courses", "--json")
        report = json.loads(out)
        assert (report["members"], report["delivered"], report["left_out"]) == (3, 2, 1), err
        assert not any("8.01x" in key for key in landed(tmp_path / "lake"))
        _, out, _ = edxorg("ingest", "archive", archive, "--json")
        report = json.loads(out)
        assert (report["delivered"], report["unchanged"], report["left_out"]) == (1, 2, 0)

    def test_courses_of_a_file_that_no_member_has_are_named(self, edxorg: Shell, tmp_path: Path) -> None:
        names = [table_name(course=course) for course in ("MITx-1.00x-1T2024", "MITx-6.00x-1T2024-ccx-12")]
        archive = write_zip(tmp_path / "delftx-2024-01-31.zip", [(name, TABLE) for name in names])
        courses = "\ufeffccx-v1:MITx+6.00x+1T2024+ccx@12\n  # MITx-1.00x-* comes later\nmitx-1.*\nMITx-9.*\n"
        (tmp_path / "courses").write_text(courses, "utf-8")
        code, out, err = edxorg("ingest", "archive", archive, "--courses", tmp_path / "courses")
        assert (code, "= 1 delivered" in out, "1 left out on request" in out) == (0, True, True), err
        told = "no course of these names or patterns: mitx-1.* (is MITx-1.00x-1T2024 meant?), MITx-9.*\n"
        assert out.count(told) == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "names no course"), (b" \n,\n# MITx-*\n", "names no course"), (b"MITx-\xff", "is not UTF-8")],
        ids=["empty", "blank", "latin-1"],
    )
    def test_a_file_of_courses_that_would_stand_for_all_is_refused(
        self, content: bytes, message: str, edxorg: Shell, tmp_path: Path
    ) -> None:
        archive = write_zip(tmp_path / "delftx-2024-01-31.zip", [(table_name(), TABLE)])
        (tmp_path / "courses").write_bytes(content)
        code, _, err = edxorg("ingest", "archive", archive, "--courses", tmp_path / "courses")
        assert (code, err.count("\n"), message in err) == (2, 1, True), err
        assert landed(tmp_path / "lake") == {}

    def test_list_shows_what_is_at_the_source_and_has_not_come_in(
        self, edxorg: Shell, tmp_path: Path, gnupg: GnuPG, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = tmp_path / "source"
        monkeypatch.setenv("EDXORG_ARCHIVE_URL", f"file://{source}")
        members = encrypted([(table_name(), TABLE)], gnupg)
        came_in = write_zip(source / "delftx-2024-01-24.zip", members)
        write_zip(source / "delftx-2024-01-31.zip", members)
        write_zip(source / "email-opt-in" / "email-opt-in-delftx-2024-01-31.zip", {})
        log = source / "prod" / "2024" / "delftx-prod-events-2024-01-31.log.gz.gpg"
        log.parent.mkdir(parents=True)
        log.write_bytes(b"1")
        assert edxorg("ingest", "archive", came_in)[0] == 0
        code, out, err = edxorg("list", "--json")
        assert code == 0, err
        listed = [json.loads(line) for line in out.splitlines()]
        assert [(each["kind"], each["name"], each["state"] == "done") for each in listed] == [
            ("archive", "delftx-2024-01-24.zip", True),
            ("archive", "delftx-2024-01-31.zip", False),
            ("email", "email-opt-in-delftx-2024-01-31.zip", False),
            ("log", log.name, False),
        ]
        assert listed[3]["url"] == f"file://{log}"
        _, out, _ = edxorg("list", "archive", "email", "--since", "2024-01-25", "--missing", "--json")
        assert [json.loads(line)["name"] for line in out.splitlines()] == [each["name"] for each in listed[1:3]]
        email = "email   2024-01-31 {} new version email-opt-in-delftx-2024-01-31.zip"
        size = (source / "email-opt-in" / listed[2]["name"]).stat().st_size
        assert edxorg("list", "email")[1].splitlines() == [email.format(size), "new version: new or published again"]
        assert edxorg("list", "email", "--since", "2025-01-01")[1] == "There are no such files\n"

    def test_list_looks_only_where_the_kind_lies(
        self, edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []

        def noted(url: str, access: StoreAccess) -> ObjectStore:
            opened.append(url.rpartition("/")[2])
            return open_store(url, access)

        list_command = importlib.import_module("edxorg.commands.list")
        monkeypatch.setattr(list_command, "open_store", noted)
        for name, kind in (("ARCHIVE", "archives"), ("TRACKING_LOG", "logs")):
            (tmp_path / kind).mkdir()
            monkeypatch.setenv(f"EDXORG_{name}_URL", f"file://{tmp_path}/{kind}")
        assert edxorg("list", "log")[0] == 0
        assert opened == ["logs"]
        opened.clear()
        assert edxorg("list", "email")[0] == 0
        assert opened == ["archives"]

    def test_a_package_of_one_request_is_ingested_from_its_bucket_as_it_is(
        self, edxorg: Shell, gnupg: GnuPG, s3_bucket: str, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in moto_server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("EDXORG_ARCHIVE_URL", f"s3://{s3_bucket}/packages")
        monkeypatch.setenv("EDXORG_TRACKING_LOG_URL", f"s3://{s3_bucket}/delftx")
        store, key = open_store(f"s3://{s3_bucket}/delftx"), "rdx/123/delftx_6.00x_1T2024.tar.gz.gpg"
        store.write(key, gnupg.message(gzip.compress(tar_bytes({table_name(): TABLE})), ADA))
        stored = store.find(key)
        assert stored is not None
        day = stored.modified.date()
        code, out, err = edxorg("ingest", "archive", f"{store.url}/{key}", "--json")
        assert (code, json.loads(out)["delivered"]) == (0, 1), err
        assert f"delftx_6.00x_1T2024.tar.gz.gpg: it is taken as of {day}" in err
        with dg.DagsterInstance.get() as instance:
            assert instance.get_dynamic_partitions("edxorg_archive") == ["delftx_6.00x_1T2024.tar.gz.gpg"]
            (record,) = latest_tags(instance, asset_key("edxorg/raw_data/db_table/auth_user")).values()
            assert record["edxorg/archive_date"] == day.isoformat()
        [listed] = map(json.loads, edxorg("list", "--json")[1].splitlines())
        assert (listed["kind"], listed["url"], listed["state"]) == ("archive", f"{store.url}/{key}", "done")

    def test_a_copy_of_such_a_package_needs_its_date_and_nothing_else(
        self, edxorg: Shell, tmp_path: Path, gnupg: GnuPG
    ) -> None:
        package = tmp_path / "delftx_6.00x_1T2024.tar.gz.gpg"
        package.write_bytes(gnupg.message(gzip.compress(tar_bytes({table_name(): TABLE})), ADA))
        code, _, err = edxorg("ingest", "archive", package)
        assert (code, "whose name has no date: give --date" in err) == (2, True)
        assert edxorg("ingest", "archive", package, "--date", "2024-01-31")[0] == 0
        with dg.DagsterInstance.get() as instance:
            assert instance.get_dynamic_partitions("edxorg_archive") == [package.name]
        code, _, err = edxorg("ingest", "tracking-log", package)
        assert (code, "is not named like" in err) == (2, True)

    def test_list_folds_no_name_on_a_narrow_screen(
        self, edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = tmp_path / "source" / "delftx-prod-events-2024-01-31.log.gz.gpg"
        log.parent.mkdir()
        log.write_bytes(b"1")
        monkeypatch.setenv("EDXORG_ARCHIVE_URL", f"file://{log.parent}")
        monkeypatch.setattr(console, "out", Console(force_terminal=True, width=50))
        out = edxorg("list")[1].splitlines()
        assert out[:2] == ["log     2024-01-31 1 new version", f"    {log.name}"]

    def test_doctor_opens_a_message_with_each_key(self, edxorg: Shell) -> None:
        _, out, _ = edxorg("doctor")
        assert "✓ private keys" in out


def test_keys_and_passphrase_come_from_vault(
    openbao_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch, gnupg: GnuPG
) -> None:
    for name, value in openbao_server.environment.items():
        monkeypatch.setenv(name, value)
    exported = gnupg.private_key(ADA).decode()
    client = hvac.Client(openbao_server.address, openbao_server.token)
    secret = {"private_key": exported.replace("\n", "\\n"), "passphrase": "sesame"}
    client.secrets.kv.v2.create_or_update_secret("edx-keys", secret)
    monkeypatch.setenv("EDXORG_GPG_SECRET_PATH", "secret/edx-keys")
    keys = private_keys(Settings())
    assert (keys.exported.decode(), keys.passphrase) == (exported, "sesame")

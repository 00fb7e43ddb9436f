"""The command line: what a mistake is told, what programs get, what is left behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from typing import TYPE_CHECKING

import click
import dagster as dg
import pytest
from rich.console import Console

from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs
from edxorg.commands import console, homes, runs
from edxorg.commands.main import COMMANDS
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.progress import Progress
from edxorg.lib.settings import Settings
from edxorg_tests.support.archives import TABLE, landed, table_name, write_archive
from ol_orchestrate.asset_keys import asset_key
from ol_orchestrate.landing.records import latest_tags
from ol_orchestrate.lib.errors import MissingObjectError
from ol_orchestrate.lib.redaction import remember_secrets
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edxorg.source_files import SourceFiles
    from edxorg_tests.support.shell import Shell
    from ol_orchestrate.testing.servers import S3Server

NAME = "mitx-2024-01-31.tar.gz"
LOG = "mitx-edx-events-2024-01-31.log.gz"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archives" / NAME, {table_name(): TABLE, table_name("teams"): TABLE})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["ingest", "archive"], "Missing argument 'URL...'"),
        (
            ["ingest", "archive", "week.tar.gz"],
            "'week.tar.gz' is not named like mitx-2024-01-31.tar.gz: say what it is",
        ),
        (["ingest", "archive", "x.gz", "--date", "31.1.2024"], "does not match the format '%Y-%m-%d'"),
        (
            ["ingest", "archive", "x.gz", "--name", "week.gz"],
            "'week.gz' is not named like mitx-2024-01-31.tar.gz: give",
        ),
        (["ingest", "archive", "x.gz", "--date", "2024-01-30", "--name", NAME], "--date 2024-01-30 is not that of"),
        (["ingest", "archive", "x.gz", "--date", "2024-01-31", "--name", "a/b"], "has a slash"),
        (["ingest", "archive", "x.gz", "--date", "2024-01-31", "--name", "../b"], "is refused as an object key"),
        (["ingest", "archive", "x.gz", "y.gz", "--date", "2024-01-31"], "are for one file"),
        (["ingest", "tracking-log", NAME], "is not named like mitx-edx-events-2024-01-31.log.gz"),
        (["ingest", "archive", f"/nowhere/{NAME}"], f"file:///nowhere/{NAME}: there is no such object"),
        (["ingest", "archive", f"a/{NAME}", f"b/{NAME}"], "files of one name are one partition"),
        (["ingest", "archive", f"ftp://x/{NAME}"], "expected s3://bucket/prefix, gs://bucket/prefix or file:///folder"),
        (["ingest", "archive", NAME, "--landing-zone", "s3:/bucket"], "'s3:/bucket' is no URL of a store"),
        (["inspect", "/nowhere/x.tar.gz"], "there is no such object"),
        (["inspect", "/"], "'/' is a folder: name a file in it"),
        (["sample", "archive", "--out", "/proc/x"], "choose a path that can be written to"),
        (["sample", "archive", "--out", "x", "--size", "much"], "'much' is no size: write for example 20MB"),
        (["demo", "--dir", "/proc/x"], "choose a path that can be written to"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_mistake_is_told_in_one_line(edxorg: Shell, arguments: list[str], message: str) -> None:
    code, out, err = edxorg(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert "see edxorg" in err


@pytest.mark.parametrize(
    ("arguments", "profile", "message"),
    [
        (["ingest", "archive", NAME, "--landing-zone", "s3://lake"], "no-such-profile", "no-such-profile"),
        (["ingest", "archive", f"s3://in/{NAME}", "--landing-zone", "lake"], "no-such-profile", "no-such-profile"),
        (["query", "SELECT 1", "--landing-zone", "s3://lake"], "no-such-profile", "no-such-profile"),
        (["report"], None, "`edxorg ingest archive` records it"),
        (["list"], None, "set EDXORG_ARCHIVE_URL"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_mistake_in_settings_leaves_nothing_behind(
    edxorg: Shell,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    profile: str | None,
    message: str,
) -> None:
    monkeypatch.chdir(archive.parent)
    monkeypatch.setenv("EDXORG_ARCHIVE_URL", "")
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    before = sorted(archive.parent.parent.rglob("*"))
    code, out, err = edxorg(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert sorted(archive.parent.parent.rglob("*")) == before


def test_a_bucket_that_is_not_there_is_noticed_before_anything_runs(
    edxorg: Shell, archive: Path, moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    code, _, err = edxorg("ingest", "archive", archive, "--landing-zone", "s3://no-such-bucket/lake")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no such bucket" in err
    assert not (tmp_path / "home").exists()


def test_a_file_in_the_root_folder_is_found() -> None:
    (source,) = runs.source_urls(("/nowhere.tar.gz",))
    assert source.url == "file:///nowhere.tar.gz"
    with pytest.raises(MissingObjectError, match=r"^file:///nowhere\.tar\.gz: there is no such object"):
        open_store(source.folder).read(source.name)


def test_a_setting_that_cannot_be_used_is_a_mistake(
    edxorg: Shell, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_ENVIRONMENT", "staging")
    code, _, err = edxorg("ingest", "archive", archive)
    assert (code, err.count("\n")) == (2, 1)
    assert "dev, ci, qa, production" in err


def test_the_command_alone_lists_its_subcommands(edxorg: Shell) -> None:
    code, _, err = edxorg()
    assert code == 2
    assert err.startswith("Usage: edxorg")
    assert "inspect" in err


def test_the_problem_of_a_log_is_told_once(edxorg: Shell, tmp_path: Path) -> None:
    log = tmp_path / "mitx-edx-events-2024-01-31.log.gz"
    log.write_bytes(gzip.compress(b"no event\n"))
    code, out, err = edxorg("ingest", "tracking-log", log, "--landing-zone", tmp_path / "lake")
    assert code == 1
    assert err.count("Error: ") == 1
    told = err.partition("Error: ")[2].strip()
    assert told
    assert told not in out


def test_a_log_without_a_line_is_told_and_the_next_one_comes_in(edxorg: Shell, tmp_path: Path) -> None:
    empty, good = tmp_path / LOG, tmp_path / LOG.replace("31", "30")
    empty.write_bytes(gzip.compress(b""))
    good.write_bytes(gzip.compress(b'{"time": "2024-01-30T00:00:00Z"}\n'))
    code, out, err = edxorg("inspect", empty)
    assert (code, "0 lines = 0 normalized" in out) == (1, True), err
    code, out, err = edxorg("ingest", "tracking-log", empty, good, "--landing-zone", tmp_path / "lake")
    assert (code, "0 lines = 0 normalized" in out, "1 lines = 1 normalized" in out) == (1, True, True), err
    assert any("2024-01-30" in key for key in landed(tmp_path / "lake"))


def test_two_good_archives_and_a_broken_one_for_programs(edxorg: Shell, archive: Path, tmp_path: Path) -> None:
    same = shutil.copy(archive, archive.with_name("mitx-2024-02-07.tar.gz"))
    broken = archive.with_name("mitx-2024-02-14.tar.gz")
    broken.write_bytes(archive.read_bytes()[:-20])
    lake = tmp_path / "lake"
    code, out, err = edxorg("ingest", "archive", archive, same, broken, "--landing-zone", lake, "--json")
    made = "".join(f"Made the folder {folder}\n" for folder in (lake, tmp_path / "home"))
    assert (code, err) == (1, made)
    first, again, failed = map(json.loads, out.splitlines())
    assert (first["url"], first["succeeded"], first["delivered"], first["rows"]) == (f"file://{archive}", True, 2, 4)
    assert (again["succeeded"], again["unchanged"]) == (True, 2)
    assert not failed["succeeded"]
    assert "breaks off" in failed["problem"]
    assert broken.name in failed["reasons"][0]
    assert len(landed(lake)) == 2


def test_ingest_prints_what_landed_and_where(edxorg: Shell, archive: Path, tmp_path: Path) -> None:
    code, out, _ = edxorg("ingest", "archive", archive, "--landing-zone", tmp_path / "lake")
    assert code == 0
    assert "2 members = 2 delivered + 0 unchanged" in out
    assert f"Landing zone: file://{tmp_path}/lake" in out


@pytest.mark.parametrize(
    ("name", "job", "files_of"),
    [
        (NAME, "retrieve_edxorg_raw_data", raw_data_archives),
        (LOG, "refresh_edxorg_tracking_logs", raw_tracking_logs),
    ],
)
def test_a_run_reads_its_own_file_though_another_command_has_recorded_one_of_the_same_name(
    tmp_path: Path, name: str, job: str, files_of: Callable[[Settings], SourceFiles]
) -> None:
    lake = tmp_path / "lake"
    settings = Settings(landing_zone_url=f"file://{lake}")
    files, urls = files_of(settings), []
    with homes.dagster_instance(tmp_path / "home") as instance:
        for folder in ("mine", "theirs"):
            if name == LOG:
                (tmp_path / folder).mkdir()
                (tmp_path / folder / name).write_bytes(gzip.compress(b'{"name": "%b"}\n' % folder.encode()))
            else:
                write_archive(tmp_path / folder / name, {table_name(): b"id\tname\n1\t%b\n" % folder.encode()})
            info = open_store(f"file://{tmp_path / folder}").read(name).info
            files.register(instance, info)
            urls.append(info.url)
        delivering = build_definitions(settings).resolve_job_def(job)
        assert runs.run_job(delivering, instance, name, url=urls[0]) == []
    (content,) = (value for key, value in landed(lake).items() if "/raw_data/" in key)
    assert b"mine" in (gzip.decompress(content) if name == LOG else content)


def test_inspect_counts_and_writes_nothing(edxorg: Shell, archive: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = edxorg("inspect", archive, "--json")
    assert (code, json.loads(out)["rows"]) == (0, 4)
    archive.write_bytes(archive.read_bytes()[:-20])
    code, out, _ = edxorg("inspect", archive)
    assert code == 1
    assert "the gzip data breaks off" in out
    assert sorted(tmp_path.rglob("*")) == before


def packed_tar(name: str = "x.sql") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def zip_archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.sql", TABLE)
    return file.getvalue()


@pytest.mark.parametrize("name", [NAME, "mitx-edx-events-2024-01-31.log.gz", "course.xml.tar.gz", "anything"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"a\tb\n1\t\xc3\xa9\n", "this is no gzip file, but text"),
        (bytes(range(256)), "this is no gzip file, but binary data of no known kind"),
        (zip_archive(), "this is no gzip file, but a zip archive"),
        (gzip.decompress(packed_tar()), "this is no gzip file, but an uncompressed tar"),
    ],
)
def test_inspect_names_a_file_of_another_format(
    edxorg: Shell, tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, err = edxorg("inspect", tmp_path / name, "--json")
    if name == "anything" and what.endswith(("zip archive", "tar")):
        assert code == 0  # an archive in a format that its name does not tell
        return
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"file://{tmp_path}/{name}: {what}. Name one of the formats that are read" in err


@pytest.mark.parametrize("content", [b"\x85\x02\x0c\x03" + bytes(range(200)), b"-----BEGIN PGP MESSAGE-----\n"])
@pytest.mark.parametrize("name", [NAME, "mitx-edx-events-2024-01-31.log.gz"])
def test_inspect_of_an_encrypted_file_without_a_key_says_in_one_line_that_it_is_encrypted(
    edxorg: Shell, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, err = edxorg("inspect", tmp_path / name, "--json")
    assert (code != 0, out, err.count("\n")) == (True, "", 1)
    assert "OpenPGP message" in err


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        (NAME, gzip.compress(b"{}\n" * 1000), "this is no tar archive, but text"),
        (NAME, gzip.compress(b""), "this is no tar archive, but empty"),
        (NAME, gzip.compress(packed_tar()), "this is no tar archive, but gzip"),
        ("mitx-edx-events-2024-01-31.log.gz", packed_tar(), "this is no log, but a gzip of an uncompressed tar"),
        (
            "mitx-edx-events-2024-01-31.log.gz",
            gzip.compress(zip_archive()),
            "this is no log, but a gzip of a zip archive",
        ),
        ("mitx-edx-events-2024-01-31.log.gz", gzip.compress(packed_tar()), "this is no log, but a gzip of gzip"),
    ],
)
def test_inspect_names_other_content_of_a_gzip(
    edxorg: Shell, tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, err = edxorg("inspect", tmp_path / name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"file://{tmp_path}/{name}: {what}. " in err


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_inspect_asks_for_a_file_in_a_folder(edxorg: Shell, tmp_path: Path, form: str) -> None:
    code, out, err = edxorg("inspect", form.format(tmp_path))
    assert (code, out) == (2, "")
    assert "is a folder: name a file in it" in err


def test_a_home_of_dagster_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    # What a kill leaves at the worst moment: Dagster takes the file for a database that has all its tables.
    left = tmp_path / "home" / homes.UNFINISHED / "history" / "runs" / "index.db"
    left.parent.mkdir(parents=True)
    left.touch()
    for _ in range(2):
        with homes.dagster_instance(tmp_path / "home") as instance:
            instance.add_dynamic_partitions("files", [NAME])
            assert instance.get_dynamic_partitions("files") == [NAME]
    assert not (tmp_path / "home" / homes.UNFINISHED).exists()
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert instance.get_dynamic_partitions("files") == [NAME]


def test_without_a_home_one_is_made_that_only_its_user_can_look_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.chdir(tmp_path)
    with homes.dagster_instance() as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default("edxorg_archive")
        assert [pool.limit for pool in instance.event_log_storage.get_pool_limits()] == [1]
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / ".edxorg", tmp_path / ".edxorg/dagster_home")] == [
        0o700,
        0o700,
    ]


ADDRESSES = ["https://user:hidden@h.example/", "S3://AKIA:hidden@bucket/", "gs://bucket/a?X-Goog-Signature=hidden&/"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", "archive", "{}" + NAME],
        ["ingest", "archive", NAME, "--landing-zone", "{}"],
        ["ingest", "tracking-log", "{}mitx-edx-events-2024-01-31.log.gz"],
        ["ingest", "course-xml", "{}course.tar.gz", "--json"],
        ["inspect", "{}" + NAME],
        ["inspect", NAME, "{}"],
        ["{}"],
    ],
    ids=" ".join,
)
def test_a_credential_in_an_address_is_a_mistake_and_is_not_repeated(
    edxorg: Shell, arguments: list[str], address: str
) -> None:
    code, out, err = edxorg(*(argument.replace("{}", address) for argument in arguments))
    assert code == 2
    assert err.startswith("Error: ")
    assert "hidden" not in out + err


@pytest.mark.parametrize("variable", ["EDXORG_ARCHIVE_URL", "VAULT_ADDR", "AWS_ENDPOINT_URL", "EDXORG_API_TOKEN_URL"])
def test_a_credential_in_an_address_of_the_environment_is_a_mistake_and_is_not_repeated(
    edxorg: Shell, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "https://user:hidden@h.example")
    for arguments in (["doctor"], ["inspect", NAME]):
        code, out, err = edxorg(*arguments)
        assert code == 2
        assert err.startswith(f"Error: {variable}: the address 'https://…@h.example'")
        assert "hidden" not in out + err
    for address in ("https://h.example:hidden/p", "https://h.example/p;sig=hidden", "s3://AKIA%3Ahidden%40bucket/p"):
        monkeypatch.setenv(variable, address)
        code, out, err = edxorg("doctor")
        assert code == 2
        assert err.startswith(f"Error: {variable}: the address ")
        assert "hidden" not in out + err


def test_what_a_command_prints_holds_no_secret_that_was_read(edxorg: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-0123456789"
    remember_secrets(canary)

    def fails(*_: object) -> None:
        print("printed", canary)  # noqa: T201
        raise RuntimeError(f"echo of {canary}")

    monkeypatch.setattr(runs, "settings_for", fails)
    code, out, err = edxorg("inspect", NAME)
    assert (code, out) == (1, "printed …\n")
    assert "RuntimeError: echo of …" in err
    assert canary not in err


@pytest.mark.parametrize(
    "place",
    [
        " s3://key:canary/1@bucket/a.tar.gz",
        "'s3://key:canary@bucket/a.tar.gz'",
        "s3:key:canary@bucket/a.tar.gz",
        "//user:canary@host/a.tar.gz",
        "user:canary@host/a.tar.gz",
        "https://host:canary/a.tar.gz",
        "https://host/a.tar.gz;sig=canary",
        "s3://key%3Acanary%40bucket/a.tar.gz",
        "key%3Acanary%40bucket/a.tar.gz",
    ],
)
def test_a_path_that_was_meant_for_a_url_with_a_password_is_refused(place: str) -> None:
    with pytest.raises(click.UsageError, match="is refused") as raised:
        runs.as_url(place)
    assert "canary" not in raised.value.message


@pytest.mark.parametrize("place", ["data/a@b.tar.gz", "a b:c.tar.gz", "/x/z@w/12:30.tar.gz", "@home/a.tar.gz"])
def test_a_path_with_odd_characters_is_a_path(place: str) -> None:
    assert runs.as_url(place).endswith(place)


@pytest.mark.parametrize(
    ("arguments", "partition"),
    [
        (["--date", "2024-01-31"], "delftx-2024-01-31.zip"),
        (["--date", "2024-01-31", "--name", "first week"], "first week"),
        (["--name", "delftx-2024-01-31.zip"], "delftx-2024-01-31.zip"),
    ],
)
def test_a_file_of_any_name_is_ingested_if_date_and_name_say_what_it_is(
    arguments: list[str], partition: str, edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDXORG_ARCHIVE_NAME", "delftx-{date}.zip")
    file = write_archive(tmp_path / "export (1).bin", {table_name(): TABLE})
    code, out, _ = edxorg("ingest", "archive", file, *arguments, "--landing-zone", tmp_path / "lake", "--json")
    assert (code, json.loads(out)["delivered"]) == (0, 1)
    with dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("edxorg_archive") == [partition]
        (record,) = latest_tags(instance, asset_key("edxorg/raw_data/db_table/auth_user")).values()
        assert record["edxorg/archive_date"] == "2024-01-31"


@pytest.mark.parametrize(
    ("kind", "content", "what"),
    [
        ("archive", b"a,b\n", "this is no gzip file, but text. This command reads archives"),
        ("archive", gzip.compress(b"{}\n"), "this is no tar archive, but text. This command reads archives"),
        ("archive", b"", "the file is empty. This command reads archives"),
        (
            "tracking-log",
            packed_tar(),
            "this is no log, but a gzip of an uncompressed tar. This command reads tracking",
        ),
    ],
)
def test_a_named_file_of_another_format_is_refused_before_anything_is_made(
    kind: str, content: bytes, what: str, edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    file = tmp_path / "export (1).bin"
    file.write_bytes(content)
    name = LOG if kind == "tracking-log" else NAME
    code, out, err = edxorg("ingest", kind, file, "--name", name, "--landing-zone", tmp_path / "lake", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"file://{file}: {what}" in err
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_file_that_is_named_like_edx_names_them_has_a_run_that_says_so(edxorg: Shell, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"a,b\n")
    code, _, err = edxorg("ingest", "archive", tmp_path / NAME, "--landing-zone", tmp_path / "lake")
    assert (code, "this is no gzip file, but text" in err) == (1, True)
    with dg.DagsterInstance.get() as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def test_where_patterns_leave_a_name_open_it_has_to_be_given(edxorg: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDXORG_TRACKING_LOG_NAME", "x-{site}-{date}.log.gz")
    code, _, err = edxorg("ingest", "tracking-log", "a.log", "--date", "2024-01-31")
    assert (code, "give --name, too" in err) == (2, True)


def test_a_file_of_settings_counts_for_commands(edxorg: Shell, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("archive_name: delftx-{date}.zip")
    code, _, err = edxorg("--settings", tmp_path / "s.yaml", "ingest", "archive", NAME)
    assert (code, "is not named like delftx-2024-01-31.zip" in err) == (2, True)
    code, _, err = edxorg("--settings", "/nowhere.yaml", "ingest", "archive", NAME)
    assert (code, err) == (2, "Error: EDXORG_SETTINGS: /nowhere.yaml cannot be read: No such file or directory\n")


NARROW = 50


def test_a_report_lists_the_tables_to_look_at_and_the_sums_of_the_others(
    edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "assessment_assessmentfeedback_assessments"
    members = {
        table_name(): TABLE,
        table_name("teams"): b"id\tname\n1\ta\tb\n2\tc\n",
        table_name(long): TABLE,
        "MITx-6.00x-2012_Fall-course_structure-prod-analytics.json": b"{}",
    }
    archive = write_archive(tmp_path / NAME, members)
    monkeypatch.setattr(console.out, "width", NARROW)
    _, short, _ = edxorg("inspect", archive)
    assert re.search(r"^teams +1 +1 +1 0\.0$", short, re.MULTILINE)
    assert re.search(r"^2 other tables +2 +4 +0\.0$", short, re.MULTILINE)
    assert re.search(r"^course structures +1", short, re.MULTILINE)
    assert long not in short
    _, whole, _ = edxorg("inspect", archive, "--verbose")
    assert re.search(rf"^{long}\n +1 +2 +0\.0$", whole, re.MULTILINE), "no name is folded"
    assert "other tables" not in whole
    monkeypatch.setattr(console.out, "width", 2 * NARROW)
    _, wide, _ = edxorg("inspect", archive, "--verbose")
    assert re.search(rf"^{long} +1 +2 +0\.0$", wide, re.MULTILINE)


def test_an_archive_that_is_not_there_is_noticed_before_dagster_is_loaded_and_leaves_nothing(tmp_path: Path) -> None:
    there = write_archive(tmp_path / "in" / NAME, {table_name(): TABLE})
    before = sorted(tmp_path.rglob("*"))
    missing = tmp_path / "in" / "mitx-2024-02-07.tar.gz"
    code = (
        "import sys; from edxorg.commands.main import main\n"
        "try: main()\nexcept SystemExit as stop: sys.exit(stop.code + 40 * ('dagster' in sys.modules))"
    )
    command = [sys.executable, "-c", code, "ingest", "archive", str(there), str(missing)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run(  # noqa: S603
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"Error: file://{missing}: there is no such object")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_bar_of_a_file_has_its_size_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    screen = Console(file=terminal, force_terminal=True, width=100)
    monkeypatch.setattr(console, "err", screen)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.progress_bar(NAME, 2_000_000):
        pass
    assert "0.0/2.0 MB" in terminal.getvalue()
    assert "starts" in terminal.getvalue()


@pytest.mark.parametrize(("width", "lines"), [(NARROW, 2), (80, 2), (120, 1)])
@pytest.mark.parametrize("counted", ["98,765 · 123,456,789 rows", "recording 12 of 45"])
def test_a_bar_is_readable_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int, lines: int, counted: str) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=terminal, force_terminal=True, width=width, color_system=None))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.progress_bar(NAME, 67_000_000_000) as bar:
        bar.progress(Progress(66_900_000_000, 67_000_000_000, 98_765, 123_456_789))
        if counted.startswith("recording"):
            bar.stage(counted)
    shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", terminal.getvalue())
    last = [line.rpartition("\r")[2] for line in shown.rstrip("\r\n").split("\n")[-lines:]]
    assert NAME in shown
    assert "…" not in shown
    assert all(each in last[-1] for each in ("66.9/67.0 GB", counted, "-:--:--")), last
    assert all(len(line.rstrip()) <= width for line in last)
    assert (NAME in last[-1]) == (lines == 1)


def test_the_version_is_that_of_the_library_and_of_dagster_too(edxorg: Shell) -> None:
    code, printed, _ = edxorg("--version")
    packages = ("edxorg", "ol-orchestrate-lib", "dagster")
    assert (code, printed) == (0, ", ".join(f"{each} {version(each)}" for each in packages) + "\n")


def test_no_line_of_the_help_is_wider_than_a_terminal(edxorg: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide, commands = [], [[], *([name] for name in COMMANDS)]
    for command in commands:
        _, printed, _ = edxorg(*command, "--help")
        wide += [(command, line) for line in printed.splitlines() if len(line) > 80]
        if command and "COMMAND [ARGS]" in printed:
            _, _, names = printed.partition("\nCommands:\n")
            commands += [[*command, line.split()[0]] for line in names.splitlines() if re.match(r"  \w", line)]
    assert ["sample", "university"] in commands
    assert wide == []

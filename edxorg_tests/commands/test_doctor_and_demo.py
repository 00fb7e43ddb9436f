"""`edxorg doctor` with settings of all kinds, and `edxorg demo`, as a user calls them."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import hvac
import pytest
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.yaml_utils import safe_load_yaml

from edxorg.commands import homes, status
from edxorg.commands.demo import QUESTIONS, install_ui
from edxorg.lib.dictionary import DICTIONARY
from edxorg.samples.catalogue_server import serve_sample_catalogue
from edxorg_tests.support.archives import TABLE, landed, table_name, write_archive
from edxorg_tests.support.repository import ROOT
from edxorg_tests.support.shell import Shell
from ol_orchestrate.failed_partitions import FailedPartition
from ol_orchestrate.lib.retrying import SECONDS_TO_ANSWER

if TYPE_CHECKING:
    from ol_orchestrate.testing.servers import GCSServer, OpenBaoServer, S3Server

CANARY = "canary"

ARCHIVE = "mitx-2024-01-31.tar.gz"

READ_BY_CLIENTS = ("AWS_", "EDXORG_", "GOOGLE_", "STORAGE_", "VAULT_", "DAGSTER_")


class User:
    """A user with nothing set up, who calls the command in this process."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self._shell = Shell(monkeypatch, capsys)
        for name in [name for name in os.environ if name.startswith(READ_BY_CLIENTS)]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(home)
        self.set(HOME=str(home), NO_GCE_CHECK="true", AWS_EC2_METADATA_DISABLED="true")

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        return self._shell.printed(*arguments)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> User:
    return User(tmp_path, monkeypatch, capsys)


CHECKS = (
    *("Vault", "archives and logs", "private keys", "landing zone", "program reports", "their destination", "edX API"),
    *("course webhook", "alerts", "Dagster's daemon", "Dagster", "killed runs"),
)


def marks(printed: str) -> dict[str, str]:
    """What each check found, by its name."""
    lines = [line for line in printed.splitlines() if line[:2] in {"✓ ", "✗ ", "- "}]
    return {next(check for check in CHECKS if line[2:].startswith(check)): line[0] for line in lines}


def test_with_nothing_set_up_nothing_is_a_failure_and_each_part_says_what_to_set(user: User, tmp_path: Path) -> None:
    code, printed = user("doctor")

    assert code == 0
    assert set(marks(printed).values()) == {"-"}
    assert set(marks(printed)) == set(CHECKS) - {
        *("their destination", "course webhook", "Dagster's daemon", "killed runs")
    }
    for remedy in (
        *("GOOGLE_APPLICATION_CREDENTIALS", "aws configure --profile edxorg", "EDXORG_API_CLIENT_SECRET", "VAULT_ADDR"),
        *("EDXORG_LANDING_ZONE_URL", "EDXORG_GPG_KEY_FILE", "DAGSTER_HOME"),
    ):
        assert remedy in printed
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_a_part_that_is_set_up_and_fails_says_what_to_do_and_the_others_are_none(user: User, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    user.set(EDXORG_ARCHIVE_URL=f"file://{tmp_path}/archives", EDXORG_PROGRAM_REPORTS_URL="s3://reports/x")

    code, printed = user("doctor")

    assert code == 1
    assert f"✓ archives and logs file://{tmp_path}/archives: it can be listed, and is empty" in printed
    assert [check for check, mark in marks(printed).items() if mark == "✗"] == ["program reports"]
    assert "`aws configure --profile edxorg` makes it; EDXORG_PROGRAM_REPORTS_PROFILE can name another" in printed
    assert list(tmp_path.iterdir()) == [tmp_path / "archives"], "their destination is made by the first run"


def test_a_profile_that_is_not_there_is_named_with_its_setting(user: User) -> None:
    user.set(EDXORG_ARCHIVE_URL="s3://archives/x", EDXORG_ARCHIVE_PROFILE="edx")
    for command in ("doctor", "status", f"ingest archive s3://archives/x/{ARCHIVE} --landing-zone lake"):
        assert (
            "`aws configure --profile edx` makes it; EDXORG_ARCHIVE_PROFILE can name another"
            in user(*command.split())[1]
        )


def test_a_proxy_that_is_not_there_is_named_by_its_variable(user: User) -> None:
    user.set(
        HTTPS_PROXY="http://127.0.0.1:1",
        VAULT_ADDR="https://vault.example.org",
        VAULT_TOKEN=CANARY,
        EDXORG_ARCHIVE_URL="s3://archives/x",
        AWS_ACCESS_KEY_ID=CANARY,
        AWS_SECRET_ACCESS_KEY=CANARY,
        EDXORG_LANDING_ZONE_URL="s3://lake/x",
    )
    user.monkeypatch.setattr("ol_orchestrate.lib.retrying.PAUSE", 0)

    code, printed = user("doctor")

    assert code == 1
    failed = printed.split("✗ ")[1:]
    assert [part.partition(" http")[0].partition(" s3")[0] for part in failed][:3] == [
        *("Vault", "archives and logs", "landing zone")
    ]
    assert [part for part in failed if "HTTPS_PROXY" not in part] == []


def test_doctor_looks_at_dagster_and_its_daemon(user: User, tmp_path: Path) -> None:
    user.set(DAGSTER_HOME=str(tmp_path / "home"))
    code, printed = user("doctor")
    assert (code, marks(printed)["Dagster"]) == (1, "✗")
    assert f"{tmp_path}/home: there is no such folder. Make it, or correct DAGSTER_HOME" in printed

    with homes.dagster_instance(tmp_path / "home") as instance:
        code, printed = user("doctor")
        assert (code, marks(printed)["Dagster"], marks(printed)["Dagster's daemon"]) == (0, "✓", "-")
        assert "no daemon has given a sign of life yet. Start `dagster-daemon run`" in printed
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", None, None))
        code, printed = user("doctor")
        assert (code, marks(printed)["Dagster's daemon"]) == (0, "✓")
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 3600, "SENSOR", None, None))
        _, printed = user("doctor")
        assert "no daemon has given a sign of life for 60 minutes" in printed

    (tmp_path / "home" / "dagster.yaml").write_text("storage: nonsense\n")
    code, printed = user("doctor")
    assert (code, marks(printed)["Dagster"]) == (1, "✗")
    assert "Dagster's storage cannot be used" in printed


def test_doctor_says_what_becomes_of_killed_runs(user: User, tmp_path: Path) -> None:
    instance = safe_load_yaml((ROOT / "deploy/dagster.yaml").read_text())
    del instance["storage"]
    home = tmp_path / "home"
    home.mkdir()
    user.set(DAGSTER_HOME=str(home), EDXORG_LANDING_ZONE_URL=f"file://{tmp_path}/lake")
    (home / "dagster.yaml").write_text(json.dumps(instance))
    _, printed = user("doctor")
    assert marks(printed)["killed runs"] == "✓"
    assert "each fails and frees its slot within 90 s, and starts anew" in printed

    del instance["run_launcher"]
    (home / "dagster.yaml").write_text(json.dumps(instance))
    _, printed = user("doctor")
    assert "DefaultRunLauncher cannot see that it is gone" in printed

    del instance["run_monitoring"]["free_slots_after_run_end_seconds"]
    (home / "dagster.yaml").write_text(json.dumps(instance))
    _, printed = user("doctor")
    assert marks(printed)["killed runs"] == "-"
    assert "holds its slot of the pool for ever" in printed
    assert "deploy/dagster.yaml" in printed


def test_status_shows_what_came_in_what_failed_and_what_waits(user: User, tmp_path: Path) -> None:
    code, printed = user("status")
    assert (code, printed.startswith(f"Nothing has run yet: {tmp_path}/.edxorg/dagster_home is empty")) == (0, True)
    assert list(tmp_path.iterdir()) == []
    code, printed = user("status", "--json")
    assert (code, json.loads(printed)["parts"]) == (0, [])

    good = write_archive(tmp_path / ARCHIVE, {table_name(): TABLE})
    bad = tmp_path / "mitx-2024-02-07.tar.gz"
    bad.write_bytes(good.read_bytes()[:-20])
    assert user("ingest", "archive", str(good), str(bad))[0] == 1
    with homes.dagster_instance() as instance:
        instance.add_dynamic_partitions("edxorg_tracking_log", ["mitx-edx-events-2024-01-31.log.gz"])

    code, printed = user("status", "--json")
    assert code == 1
    parts = {part["part"]: part for part in json.loads(printed)["parts"]}
    assert parts["archives"]["last"]["name"] == good.name
    (failed,) = parts["archives"]["failed"]
    assert (failed["name"], "breaks off" in failed["why"]) == (bad.name, True)
    assert parts["tracking logs"]["last"] is None
    assert parts["tracking logs"]["waiting"] == ["mitx-edx-events-2024-01-31.log.gz"]
    assert parts["catalogue"]["last"] is None
    code, printed = user("status")
    assert f"archives: {good.name}, " in printed
    assert f"  failed: {bad.name}: " in printed
    assert "  waits for a run: mitx-edx-events-2024-01-31.log.gz" in printed
    # One may have come in with the archive.
    assert "course structures: no output has been made of one" in printed

    for name in ("mitx-2024-02-14.tar.gz", "mitx-edx-events-2024-02-14.log.gz"):
        (tmp_path / name).write_bytes(b"")
    user.set(EDXORG_ARCHIVE_URL=f"file://{tmp_path}")
    _, printed = user("status")
    waiting = [line for line in printed.splitlines() if line.startswith("  waits at the source: ")]
    assert [line.rpartition(" ")[2] for line in waiting] == [
        "mitx-2024-02-14.tar.gz",
        "mitx-edx-events-2024-02-14.log.gz",
    ]


def test_status_waits_a_few_seconds_for_a_source_and_says_so_in_a_line(user: User, tmp_path: Path) -> None:
    user.monkeypatch.setattr(status, "SECONDS_FOR_THE_SOURCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        user.set(
            EDXORG_ARCHIVE_URL="s3://archives/cold",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
            AWS_ACCESS_KEY_ID=CANARY,
            AWS_SECRET_ACCESS_KEY=CANARY,
        )
        start = time.monotonic()
        code, printed = user("status")
        assert time.monotonic() - start < SECONDS_TO_ANSWER
    told = "s3://archives/cold: it was not listed within 1 s. `edxorg list --missing` takes its time"
    assert (code, printed.splitlines()[1:]) == (0, [f"The source is not known: {told}"])
    assert list(tmp_path.iterdir()) == []


def test_reasons_of_several_lines_stay_below_their_heading() -> None:
    failed = [FailedPartition("a.tar.gz", "run", "1 of 2 members failed\nb.sql: broken")]
    part = status.Part("archives", None, failed, [], [])
    assert list(part.lines())[1:] == ["  failed: a.tar.gz: 1 of 2 members failed\n    b.sql: broken"]


def test_with_everything_set_up_all_is_found(
    user: User,
    tmp_path: Path,
    gcs_server: GCSServer,
    gcs_bucket: str,
    s3_bucket: str,
    moto_server: S3Server,
    openbao_server: OpenBaoServer,
) -> None:
    (tmp_path / ".aws").mkdir()
    profile = ["[profile edxorg]", "aws_access_key_id = reader", f"aws_secret_access_key = {CANARY}"]
    (tmp_path / ".aws" / "config").write_text("\n".join(profile))
    vault = hvac.Client(openbao_server.address, token=openbao_server.token)
    vault.sys.enable_secrets_engine("kv", path="secret-data", options={"version": "2"})
    user.set(
        **gcs_server.environment,
        **moto_server.environment,
        VAULT_ADDR=openbao_server.address,
        VAULT_TOKEN=openbao_server.token,
        EDXORG_ARCHIVE_URL=f"gs://{gcs_bucket}/COLD",
        EDXORG_LANDING_ZONE_URL=f"s3://{s3_bucket}/lake",
        EDXORG_PROGRAM_REPORTS_URL=f"s3://{s3_bucket}/lake",
        EDXORG_PROGRAM_REPORTS_DESTINATION_URL=f"s3://{s3_bucket}/reports",
    )
    try:
        with serve_sample_catalogue(programs=3, courses=3) as catalogue:
            secret = {"id": catalogue.client_id, "secret": catalogue.client_secret, "url": catalogue.url}
            vault.secrets.kv.v2.create_or_update_secret(
                "pipelines/edx/edxorg/edx-oauth-client", secret, mount_point="secret-data"
            )
            code, printed = user("doctor")
    finally:
        vault.sys.disable_secrets_engine("secret-data")
        vault.adapter.close()

    assert code == 0, printed
    found = marks(printed)
    assert {check for check, mark in found.items() if mark == "-"} == {"private keys", "alerts", "Dagster"}
    assert len([mark for mark in found.values() if mark == "✓"]) == 6
    assert "3 programs" in printed
    hidden = (openbao_server.token, catalogue.client_secret, moto_server.secret_access_key, CANARY)
    assert [secret for secret in hidden if secret in printed] == []


@pytest.mark.parametrize(
    ("host", "addresses", "failing", "said"),
    [
        ("localhost", f"https://127.0.0.1:1/{CANARY} slack://a/b/{CANARY}", [], "2 addresses that messages can be"),
        ("nowhere.invalid", "https://127.0.0.1:1", ["course webhook"], "nowhere.invalid: there is no such host"),
        ("localhost", f"nonsense://{CANARY}", ["alerts"], "is none that messages can be sent to"),
    ],
)
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # of apprise
def test_whoever_is_told_of_courses_and_failures_is_looked_at_and_sent_nothing(
    user: User, host: str, addresses: str, failing: list[str], said: str
) -> None:
    user.set(
        EDXORG_ALERT_URLS=addresses,
        EDXORG_COURSE_WEBHOOK_URL=f"https://{host}/hook/",
        EDXORG_COURSE_WEBHOOK_SECRET=CANARY,
    )
    code, printed = user("doctor")
    assert code == bool(failing)
    assert [check for check, mark in marks(printed).items() if mark == "✗"] == failing
    assert said in printed
    assert CANARY not in printed


def test_what_cannot_be_reached_or_is_not_there_is_named(user: User, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    user.set(
        VAULT_ADDR=nowhere,
        VAULT_TOKEN=CANARY,
        EDXORG_ARCHIVE_URL=f"file://{tmp_path}/nowhere",
        EDXORG_PROGRAM_REPORTS_URL=f"file://{tmp_path}",
        EDXORG_API_URL=nowhere,
        EDXORG_API_TOKEN_URL=f"{nowhere}/token",
        EDXORG_API_CLIENT_ID=CANARY,
        EDXORG_API_CLIENT_SECRET=CANARY,
    )
    user.monkeypatch.setattr("ol_orchestrate.lib.retrying.PAUSE", 0)

    code, printed = user("doctor")

    assert code == 1
    assert [check for check, mark in marks(printed).items() if mark == "✗"] == ["Vault", "archives and logs", "edX API"]
    assert f"Vault at {nowhere} (login by token): it cannot be reached" in printed
    assert f"{tmp_path}/nowhere: there is no such folder" in printed
    assert f"POST {nowhere}/token: no complete response" in printed
    assert CANARY not in printed


def test_a_landing_zone_that_is_not_there_is_named_and_not_made(user: User, tmp_path: Path) -> None:
    user.set(EDXORG_LANDING_ZONE_URL=f"file://{tmp_path}/lake")
    code, printed = user("doctor")
    assert (code, f"file://{tmp_path}/lake: there is no such folder yet" in printed) == (0, True), printed
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("DAGSTER_ENVIRONMENT", "prod"), ("EDXORG_LANDING_ZONE_URL", "ftp://lake"), ("EDXORG_ESCAPES", "x")],
)
def test_a_setting_that_cannot_be_is_a_mistake_of_one_line(user: User, name: str, value: str) -> None:
    user.set(**{name: value})

    code, printed = user("doctor")

    assert code == 2
    assert printed.startswith(f"Error: {name}")
    assert len(printed.splitlines()) == 1


def test_status_tells_a_home_that_is_not_there_from_one_in_which_nothing_has_run(user: User, tmp_path: Path) -> None:
    code, printed = user("status")
    assert (code, printed.partition(":")[0]) == (0, "Nothing has run yet")

    user.set(DAGSTER_HOME=str(tmp_path / "home"))
    code, printed = user("status")
    assert code == 1
    assert printed == f"Error: {tmp_path}/home: there is no such folder. Make it, or correct DAGSTER_HOME\n"

    (tmp_path / "home").mkdir()
    assert user("status")[0] == 0


@pytest.mark.parametrize("command", ["doctor", "status", "list", "report x.tar.gz", "ingest archive x.tar.gz"])
def test_a_relative_home_is_refused_as_dagster_refuses_it(user: User, tmp_path: Path, command: str) -> None:
    write_archive(tmp_path / ARCHIVE, {table_name(): TABLE})
    user.set(DAGSTER_HOME="home", EDXORG_ARCHIVE_URL=f"file://{tmp_path}")

    code, printed = user(*command.replace("x.tar.gz", ARCHIVE).split())

    assert code == 2, printed
    last = printed.splitlines()[-1]
    assert last == f"Error: DAGSTER_HOME=home: Dagster accepts no relative path. Write {tmp_path}/home"
    assert not (tmp_path / "home").exists()


def test_the_demo_says_how_to_install_the_ui_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_ui() == ""
    monkeypatch.setitem(sys.modules, "dagster_webserver", None)
    assert install_ui() == "  pip install 'edxorg[ui]'\n"


def test_questions_of_the_demo_have_the_same_answer_in_any_order_of_rows() -> None:
    answers = []
    for first in (0, 19):
        lake = duckdb.connect()
        lake.execute(
            "CREATE TABLE course_blocks AS SELECT abs(n - ?) AS block_id, 'Problem ' || block_id AS block_title, "
            "'problem' AS block_type FROM range(20) AS numbers(n)",
            [first],
        )
        lake.execute(
            "CREATE TABLE courseware_studentmodule AS SELECT block_id AS module_id, '1' AS grade, '2' AS max_grade "
            "FROM course_blocks"
        )
        answers.append(lake.execute(QUESTIONS["The hardest problems"]).fetchall())
    assert answers[0] == answers[1]


def test_the_demo_shows_everything_without_any_credentials(user: User, tmp_path: Path) -> None:
    user.monkeypatch.setattr(os, "environ", os.environ.copy())  # where it says how to reach its own server

    code, printed = user("demo", "--dir", str(tmp_path / "demo"))

    assert code == 0, printed
    folders = {key.rpartition("/")[0].split("/prod/")[0] for key in landed(tmp_path / "demo" / "landing-zone")}
    assert folders >= {
        "edxorg/raw_data/db_table/auth_user",
        "edxorg/raw_data/tracking_logs",
        "edxorg/processed_data/course_metadata",
        "edxorg/api_data/program_metadata",
        "edxorg/api_data/course_run_metadata",
        "edxorg-program-credentials/2024-01-31",
    }
    assert "Archive mitx-2024-01-31.tar.gz.gpg" in printed
    assert "http://localhost:3000" in printed
    assert "│ verified │" in printed
    (report,) = re.findall(r"for a browser: (\S+)", printed)
    assert "11," in Path(report).read_text()
    assert "The hardest problems" in printed
    check_columns(landed(tmp_path / "demo" / "landing-zone"))
    (example,) = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [line for line in example.splitlines() if line != "…" and line not in printed.splitlines()] == []


def names_in(key: str, data: bytes) -> set[str]:
    """Return the names of columns that an object has; a structure has those of its blocks."""
    if "/course_structure/" in key:
        return {name for block in json.loads(data).values() for name in block}
    lines = data.splitlines()
    separator = {"tsv": "\t", "csv": ","}.get(key.rpartition(".")[2])
    return set(lines[0].decode().split(separator) if separator else json.loads(lines[0]) if lines else ())


def check_columns(objects: dict[str, bytes]) -> None:
    """Compare what landed with the data dictionary."""
    compared = set()
    for key, data in objects.items():
        for asset, output in DICTIONARY.items():
            if key.startswith(f"{asset}/") and output.columns:
                found = names_in(key, gzip.decompress(data) if key.endswith(".gz") else data)
                assert found <= {column.name for column in output.columns}, key
                compared.add(asset)
    missing = {output.name for asset, output in DICTIONARY.items() if output.columns and asset not in compared}
    assert not missing

"""`edxorg doctor` with settings of all kinds, and `edxorg demo`, as a user calls them."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import hvac
import pytest

from edxorg.lib.dictionary import DICTIONARY
from edxorg.samples.catalogue_server import serve_sample_catalogue
from edxorg_tests.support.archives import landed
from edxorg_tests.support.shell import Shell

if TYPE_CHECKING:
    from ol_orchestrate.testing.servers import GCSServer, OpenBaoServer, S3Server

CANARY = "canary"

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


def marks(printed: str) -> dict[str, str]:
    """What each check found, by its name."""
    checks = ("Vault", "archives and logs", "landing zone", "program reports", "their destination", "edX API")
    lines = [line for line in printed.splitlines() if line[:1] in {"✓", "✗"}]
    return {check: line[0] for line in lines for check in checks if line[2:].startswith(check)}


def test_with_nothing_set_up_each_check_that_fails_says_what_to_do(user: User) -> None:
    code, printed = user("doctor")

    assert code == 1
    assert marks(printed) == {
        "archives and logs": "✗",
        "landing zone": "✓",
        "program reports": "✗",
        "their destination": "✓",
        "edX API": "✗",
    }
    for remedy in ("GOOGLE_APPLICATION_CREDENTIALS", "`aws configure`", "EDXORG_API_CLIENT_SECRET", "VAULT_ADDR"):
        assert remedy in printed


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
    assert set(marks(printed).values()) == {"✓"}
    assert len(marks(printed)) == 6
    assert "3 programs" in printed
    hidden = (openbao_server.token, catalogue.client_secret, moto_server.secret_access_key, CANARY)
    assert [secret for secret in hidden if secret in printed] == []


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
    assert "delivered unchanged empty" in printed, "the numbers' columns are whole on a narrow screen, too"


def check_columns(objects: dict[str, bytes]) -> None:
    """Compare what landed with the data dictionary."""
    compared = set()
    for key, data in objects.items():
        for asset, output in DICTIONARY.items():
            if key.startswith(f"{asset}/") and output.columns:
                lines = (gzip.decompress(data) if key.endswith(".gz") else data).splitlines()
                separator = {"tsv": "\t", "csv": ","}.get(key.rpartition(".")[2])
                found = lines[0].decode().split(separator) if separator else json.loads(lines[0]) if lines else ()
                assert set(found) <= {column.name for column in output.columns}, key
                compared.add(asset)
    missing = {output.name for asset, output in DICTIONARY.items() if output.columns and asset not in compared}
    assert not missing

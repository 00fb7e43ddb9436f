"""From sources of one kind to landing zones of another, by settings alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edxorg_tests.support.archives import TABLE, landed, table_name, write_archive
from ol_orchestrate.lib.stores import StoreAccess, open_store
from ol_orchestrate.lib.stores.gcs_store import GCSStore
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, serving

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg_tests.support.shell import Shell
    from ol_orchestrate.testing.servers import GCSServer, S3Server

NAME = "mitx-2024-01-31.tar.gz"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / NAME, {table_name(): TABLE})


def test_a_store_with_an_endpoint_region_and_keys_of_its_own_delivers_to_google(
    archive: Path,
    edxorg: Shell,
    guarded_s3_server: S3Server,
    gcs_server: GCSServer,
    gcs_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = guarded_s3_server
    config = [
        "[profile minio]",
        f"endpoint_url = {keys.endpoint_url}",
        "region = delft-1",
        f"aws_access_key_id = {keys.access_key_id}",
        f"aws_secret_access_key = {keys.secret_access_key}",
    ]
    (tmp_path / "config").write_text("\n".join(config))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("EDXORG_ARCHIVE_PROFILE", "minio")
    for name, value in gcs_server.environment.items():
        monkeypatch.setenv(name, value)
    open_store("s3://bucket/in", StoreAccess(aws_profile="minio")).write(NAME, archive.read_bytes())
    code, _, err = edxorg(
        "ingest", "archive", f"s3://bucket/in/{NAME}", "--landing-zone", f"gs://{gcs_bucket}/lake", "--json"
    )
    assert (code, err) == (0, f"Made the folder {tmp_path}/home\n")
    assert len(list(open_store(f"gs://{gcs_bucket}/lake/edxorg/raw_data").list())) == 1


@pytest.mark.parametrize("command", ["ingest", "inspect"])
def test_a_public_bucket_is_read_without_credentials(
    command: str, archive: Path, edxorg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = ScriptedS3()

    def only_unsigned(request: Request) -> Response:
        return Response(403) if "authorization" in request.headers else public(request)

    monkeypatch.setenv("EDXORG_ARCHIVE_IS_PUBLIC", "true")
    with serving(only_unsigned) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        access = StoreAccess(unsigned=True)
        open_store("s3://public/in", access).write(NAME, archive.read_bytes())
        arguments = ["archive", "--landing-zone", tmp_path / "lake"] if command == "ingest" else []
        code, _, err = edxorg(command, *arguments, f"s3://public/in/{NAME}")
    made = [f"Made the folder {tmp_path}/{name}\n" for name in ("lake", "home") if command == "ingest"]
    assert (code, err) == (0, "".join(made))
    assert len(landed(tmp_path / "lake")) == (command == "ingest")


def test_a_public_bucket_of_google_asks_for_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    options = GCSStore("gs://public", unsigned=True)._options()  # noqa: SLF001 - Google's own servers are out of reach
    assert options["config"] == {"skip_signature": True}
    assert "credential_provider" not in options

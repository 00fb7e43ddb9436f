"""Sources and landing zones that refuse, change or are full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.archive.ingestion import MAX_WORKERS_WITH_GCS, ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg.lib.workers import MAX_WORKERS, WorkerPool
from edxorg_tests.support.archives import ARCHIVE, TABLE, landed, table_name, write_archive
from edxorg_tests.support.ingestion import in_a_process, ingest
from ol_orchestrate.lib.errors import AccessRefusedError, PipelineError, ServiceError, SourceChangedError
from ol_orchestrate.lib.stores import StoreAccess, open_store
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, serving

if TYPE_CHECKING:
    from pathlib import Path

    from ol_orchestrate.testing.servers import GCSServer, S3Server


class TestBrokenStores:
    def test_a_source_that_changes_while_it_is_read_is_refused(self, archive: Path, lake: Path) -> None:
        write_archive(
            archive, {table_name(f"t{n}"): TABLE + b"3\t%s\n" % os.urandom(3000).hex().encode() for n in range(300)}
        )
        source = open_store(f"file://{archive.parent}").read(archive.name)
        archive.write_bytes(archive.read_bytes() + b"\0")
        with PendingRecords() as to_record:
            result = ingest_archive(source, IngestOptions(f"file://{lake}"), NothingRecorded(), to_record, workers=1)
            assert len(to_record) == 0
        assert isinstance(result.problem, SourceChangedError)
        assert ARCHIVE in str(result.problem)
        report = result.report
        assert sum(report.outcomes.values()) == report.members
        assert report.outcomes.keys() == {MemberOutcome.FAILED}
        assert landed(lake) == {}

    def test_a_landing_zone_that_cannot_be_written_ends_the_run_soon(self, archive: Path, lake: Path) -> None:
        lake.write_bytes(b"a file where a folder should be")
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(200)})
        with pytest.raises(PipelineError, match="in a row") as caught:
            ingest(archive, lake)
        assert str(lake) in str(caught.value)
        assert isinstance(caught.value, (AccessRefusedError, ServiceError))

    def test_a_folder_without_permission_ends_the_run_soon(self, archive: Path, lake: Path) -> None:
        lake.mkdir(mode=0o500)
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(200)})
        program = (
            "import sys\n"
            "from pathlib import Path\n"
            "from edxorg_tests.lib.archive.test_ingestion import ingest\n"
            "from ol_orchestrate.lib.errors import AccessRefusedError\n"
            "try:\n"
            "    ingest(Path(sys.argv[1]), Path(sys.argv[2]))\n"
            "except AccessRefusedError as error:\n"
            "    print(error)\n"
        )
        said = in_a_process(program, archive, lake, prefix=bound_by_permissions())
        assert "members in a row could not be written" in said
        assert f"file://{lake}/edxorg/unfinished/" in said  # the mark is the first object
        assert "no permission (Permission denied). Let this user read and write the folder" in said
        assert "Nothing of this run is recorded" in said
        assert list(lake.iterdir()) == []

    def test_a_bucket_without_permission_ends_the_run_soon(self, archive: Path, guarded_s3_server: S3Server) -> None:
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(200)})
        access = StoreAccess(
            aws_keys=(guarded_s3_server.access_key_id, "wrong", None),
            aws_region=guarded_s3_server.region,
            aws_endpoint_url=guarded_s3_server.endpoint_url,
        )
        source = open_store(f"file://{archive.parent}").read(archive.name)
        refusal = r"in a row.* s3://bucket/lake/.* refuses access"
        with PendingRecords() as to_record, pytest.raises(AccessRefusedError, match=refusal) as caught:
            ingest_archive(source, IngestOptions("s3://bucket/lake", access), NothingRecorded(), to_record, workers=1)
        assert not caught.value.is_transient

    def test_a_refusal_of_the_runs_mark_is_asked_for_once(self, archive: Path) -> None:
        write_archive(archive, {table_name(f"t{number}"): TABLE for number in range(50)})

        store = ScriptedS3()

        def refuses_writes(request: Request) -> Response:
            return Response(403) if request.method == "PUT" else store(request)

        with serving(refuses_writes) as server, PendingRecords() as to_record:
            access = StoreAccess(aws_keys=("id", "secret", None), aws_region="here", aws_endpoint_url=server.url)
            options = IngestOptions("s3://bucket/lake", access)
            source = open_store(f"file://{archive.parent}").read(archive.name)
            with pytest.raises(AccessRefusedError, match="in a row"):
                ingest_archive(source, options, NothingRecorded(), to_record, workers=1)
        assert [request.method for request in server.requests].count("PUT") == 1

    @pytest.mark.parametrize("what", ["the landing zone", "the temporary folder"])
    def test_a_full_disk_fails_what_does_not_fit_and_says_so(self, archive: Path, tmp_path: Path, what: str) -> None:
        large = TABLE + b"".join(b"3\t%s\n" % os.urandom(500).hex().encode() for _ in range(8000))
        # The large one comes last, since nothing else fits while its start fills the disk.
        members = {table_name("a"): TABLE, table_name("z"): TABLE, table_name("large"): large}
        write_archive(archive, members)
        disk = tmp_path / "disk"
        disk.mkdir()
        lake, temporary = (disk / "lake", tmp_path) if what == "the landing zone" else (tmp_path / "lake", disk)
        program = (
            "import json, subprocess, sys\n"
            "from pathlib import Path\n"
            "from edxorg_tests.lib.archive.test_ingestion import ingest\n"
            "archive, lake, disk = map(Path, sys.argv[1:])\n"
            "accounts = []\n"
            "for size in ('-osize=4m', '-oremount,size=64m'):\n"
            "    subprocess.run(['mount', '-t', 'tmpfs', size, 'tmpfs', disk], check=True)\n"
            "    accounts.append(ingest(archive, lake).report)\n"
            "assert accounts[0].failed_for_now == 1, accounts[0].as_json()\n"
            "files = [path for path in disk.rglob('*') if path.is_file() and path.suffix != '.tsv']\n"
            "left = [str(path) for path in files if path.parent.name != 'unfinished']  # but for the runs' marks\n"
            "print(json.dumps([*(each.as_json() for each in accounts), left]))\n"
        )
        said = in_a_process(program, archive, lake, disk, prefix=own_mounts(), TMPDIR=str(temporary))
        first, again, left = json.loads(said)
        assert (first["delivered"], first["failed"]) == (2, 1)
        (failed,) = first["listed"]["failed"]
        assert failed["member"] == table_name("large")
        remedy = "the disk is full" if what == "the landing zone" else "make room in the folder that TMPDIR names"
        assert remedy in failed["reason"]
        assert (again["delivered"], again["failed"], left) == (3, 0, [])


def bound_by_permissions() -> list[str]:
    """How to start a process that may do only what the permissions of files let their owner do; root may do all."""
    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:  # noqa: S603
        pytest.skip("root here, and there is no setpriv to give up root's rights")
    return prefix


def own_mounts() -> list[str]:
    """How to start a process that can mount a small disk that no other process sees, and which is gone with it."""
    prefix = ["unshare", "--map-root-user", "--mount"]
    tried = ["sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, *tried], check=False).returncode:  # noqa: S603
        pytest.skip("no disk can be mounted here")
    return prefix


@pytest.mark.parametrize(("scheme", "limit"), [("s3", MAX_WORKERS), ("gs", MAX_WORKERS_WITH_GCS)])
def test_google_cloud_storage_is_written_to_by_fewer_workers(
    scheme: str,
    limit: int,
    s3_bucket: str,
    gcs_bucket: str,
    moto_server: S3Server,
    gcs_server: GCSServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**moto_server.environment, **gcs_server.environment}.items():
        monkeypatch.setenv(name, value)
    limits = []

    class Pool(WorkerPool):
        def __init__(self, *args: Any, most: int, **named: Any) -> None:  # noqa: ANN401 - whatever a pool takes
            limits.append(most)
            super().__init__(*args, **named | {"workers": 1})

    write_archive(tmp_path / ARCHIVE, {table_name(): TABLE})
    zone = f"{scheme}://{s3_bucket if scheme == 's3' else gcs_bucket}"
    source = open_store(f"file://{tmp_path}").read(ARCHIVE)
    with PendingRecords() as to_record:
        ingest_archive(source, IngestOptions(zone), NothingRecorded(), to_record, pool_class=Pool)
    assert limits == [limit]

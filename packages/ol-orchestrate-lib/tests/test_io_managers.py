"""The IO managers that other code locations import, in a run of Dagster, over a folder, S3 and Cloud Storage."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from upath import UPath

from ol_orchestrate.io_managers.filepath import FileObjectIOManager, S3FileObjectIOManager
from ol_orchestrate.io_managers.gcs import GCSFileIOManager
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.stores import open_store
from ol_orchestrate.resources.gcp_gcs import GCSConnection
from ol_orchestrate.resources.secrets.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Configure = Callable[[str], dg.ConfigurableIOManager]

LARGE = 20 << 20
"""More than one part of an upload."""

TAG = "school/permanent_failure"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def s3_manager(url: str) -> dg.ConfigurableIOManager:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return S3FileObjectIOManager(bucket=bucket, path_prefix=prefix, permanent_failure_tag=TAG)


def gcs_manager(url: str) -> dg.ConfigurableIOManager:
    gcs = GCSConnection(vault=Vault(), secret_path="unused")  # noqa: S106
    return GCSFileIOManager(url=url, gcs=gcs, permanent_failure_tag=TAG)


def file_manager(url: str) -> dg.ConfigurableIOManager:
    return FileObjectIOManager(url=url, permanent_failure_tag=TAG)


class Lake:
    """A place below a prefix, and the IO manager for it."""

    def __init__(self, url: str, manager: dg.ConfigurableIOManager) -> None:
        self.url = url
        self.manager = manager
        self.store = open_store(url)

    def content(self, key: str) -> bytes:
        return b"".join(self.store.read(key))


@pytest.fixture(
    params=[
        ("folder", file_manager),
        ("folder", gcs_manager),
        ("moto", file_manager),
        ("moto", s3_manager),
        ("gcs", file_manager),
        ("gcs", gcs_manager),
    ],
    ids=lambda param: f"{param[0]}-{param[1].__name__}",
)
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    place, configure = request.param
    if place == "folder":
        url = f"file://{tmp_path}/lake"
    elif place == "gcs":
        for name, value in request.getfixturevalue("gcs_server").environment.items():
            monkeypatch.setenv(name, value)
        url = f"gs://{request.getfixturevalue('gcs_bucket')}/some/prefix"
    else:
        # Not rclone: its answers to ranges are not S3's, and paths ask for ranges.
        for name, value in request.getfixturevalue("moto_server").environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{request.getfixturevalue('s3_bucket')}/some/prefix"
    return Lake(url, configure(url))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


DAYS = dg.DynamicPartitionsDefinition(name="days")


def written_and_read(
    lake: Lake, instance: dg.DagsterInstance, local: Path, key: str, read: Callable[[UPath], Any]
) -> dg.ExecuteInProcessResult:
    """A run of an asset that hands over a file, and of one below it that reads it."""

    @dg.asset(io_manager_key="files", partitions_def=DAYS)
    def report() -> tuple[str, str]:
        return str(local), key

    @dg.asset(ins={"report": dg.AssetIn(input_manager_key="files")}, partitions_def=DAYS, io_manager_key="memory")
    def reader(report: UPath) -> str:
        return str(read(report))

    instance.add_dynamic_partitions("days", ["2024-01-31"])
    return dg.materialize(
        [report, reader],
        instance=instance,
        partition_key="2024-01-31",
        resources={"files": lake.manager, "memory": dg.mem_io_manager},
        run_config=QUIET,
        raise_on_error=False,
    )


def digest(path: UPath) -> str:
    """Read in pieces, as one does who cannot hold it."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def test_a_file_goes_to_its_key_and_comes_back_as_a_path(
    lake: Lake, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    content = os.urandom(LARGE)
    local = tmp_path / "local"
    local.write_bytes(content)
    key = "reports/a b/ü.bin"
    result = written_and_read(lake, instance, local, key, digest)
    assert result.success
    assert result.output_for_node("reader") == hashlib.sha256(content).hexdigest()
    assert lake.content(key) == content
    assert local.exists(), "it is the caller's"
    (recorded,) = [
        each.step_materialization_data.materialization
        for each in result.get_asset_materialization_events()
        if each.asset_key == dg.AssetKey("report")
    ]
    assert (recorded.metadata["object_key"].value, recorded.metadata["path"].value) == (key, f"{lake.url}/{key}")


def test_a_path_of_the_io_manager_is_a_upath(lake: Lake, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"line 1\nline 2\n")

    def use(path: UPath) -> list[object]:
        assert isinstance(path, UPath)
        with path.open("rb") as file:
            file.seek(5)
            middle = file.read(4)
        return [path.name, path.suffix, path.exists(), path.stat().st_size, path.read_text(), middle]

    result = written_and_read(lake, instance, tmp_path / "local", "reports/day.txt", use)
    assert result.output_for_node("reader") == str(["day.txt", ".txt", True, 14, "line 1\nline 2\n", b"1\nli"])


def test_a_missing_local_file_leaves_the_stored_object(
    lake: Lake, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    lake.store.write("reports/day.txt", b"yesterday's")
    result = written_and_read(lake, instance, tmp_path / "nothing", "reports/day.txt", digest)
    assert not result.success
    assert lake.content("reports/day.txt") == b"yesterday's"


def test_a_recorded_path_without_an_object_is_named_and_not_retried(
    lake: Lake, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "local").write_bytes(b"1")

    @dg.asset(ins={"report": dg.AssetIn(input_manager_key="files")}, partitions_def=DAYS, io_manager_key="memory")
    def reader(report: UPath) -> str:
        return report.read_text()

    assert written_and_read(lake, instance, tmp_path / "local", "reports/day.txt", digest).success
    lake.store.delete("reports/day.txt")
    result = dg.materialize(
        [dg.AssetSpec("report", partitions_def=DAYS), reader],
        instance=instance,
        partition_key="2024-01-31",
        resources={"files": lake.manager, "memory": dg.mem_io_manager},
        run_config=QUIET,
        raise_on_error=False,
    )
    (event,) = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert f"{lake.url}/reports/day.txt does not exist" in (failure.description or "")
    assert "2024-01-31" in (failure.description or "")
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[TAG] == "until_mended"


def test_an_io_manager_without_a_url_reads_recorded_objects_and_writes_none(
    lake: Lake, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "local").write_bytes(b"1")
    assert written_and_read(lake, instance, tmp_path / "local", "reports/day.txt", digest).success
    reading = GCSFileIOManager(gcs=GCSConnection(vault=Vault(), secret_path="unused"))  # noqa: S106
    found = reading.find(instance, dg.AssetKey("report"), "2024-01-31")
    assert (str(found), found.read_text()) == (f"{lake.url}/reports/day.txt", "1")
    lake.manager = reading
    result = written_and_read(lake, instance, tmp_path / "local", "reports/day.txt", digest)
    (event,) = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert failure.description == "GCSFileIOManager has no url: configure the folder or bucket to write to"


def test_a_key_that_leads_elsewhere_is_refused(lake: Lake, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"1")
    result = written_and_read(lake, instance, tmp_path / "local", "../outside", digest)
    assert not result.success
    assert list(lake.store.list()) == []


def handed_over(lake: Lake, instance: dg.DagsterInstance, value: object) -> dg.ExecuteInProcessResult:
    """A run of an op that hands over a value, and of one below it that reads it as a file."""

    @dg.op
    def write() -> object:
        return value

    @dg.op(out=dg.Out(io_manager_key="memory"))
    def read(file: UPath) -> str:
        return file.read_text()

    @dg.job(resource_defs={"io_manager": lake.manager, "memory": dg.mem_io_manager})
    def job() -> None:
        read(write())

    return job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)


def test_ops_hand_over_files_like_assets(lake: Lake, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "local").write_text("from op to op")
    result = handed_over(lake, instance, (tmp_path / "local", "handed/over"))
    assert result.output_for_node("read") == "from op to op"
    assert lake.content("handed/over") == b"from op to op"


def test_a_whole_url_below_the_base_url_is_taken_as_a_key(
    lake: Lake, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "local").write_text("1")
    assert written_and_read(lake, instance, tmp_path / "local", f"{lake.url}/reports/day.txt", digest).success
    assert lake.content("reports/day.txt") == b"1"
    recorded = instance.get_latest_materialization_event(dg.AssetKey("report"))
    assert recorded is not None
    assert recorded.asset_materialization is not None
    assert recorded.asset_materialization.metadata["object_key"].value == "reports/day.txt"


@pytest.mark.parametrize("elsewhere", ["{url}er/day.txt", "{url}", "s3://another/day.txt", "https://evil.example/x"])
def test_a_whole_url_elsewhere_is_refused_and_named(
    instance: dg.DagsterInstance, tmp_path: Path, elsewhere: str
) -> None:
    (tmp_path / "local").write_text("1")
    lake = Lake(url := f"file://{tmp_path}/lake", FileObjectIOManager(url=url))
    result = handed_over(lake, instance, (tmp_path / "local", elsewhere.format(url=url)))
    failure = result.failure_data_for_node("write")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert f"writes below {url}, and {elsewhere.format(url=url)} is elsewhere" in str(failure.user_failure_data)
    assert list(lake.store.list()) == []


def test_a_value_that_is_no_file_is_refused_and_none_writes_nothing(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    lake = Lake(url := f"file://{tmp_path}/lake", FileObjectIOManager(url=url))
    failure = handed_over(lake, instance, 7).failure_data_for_node("write")
    assert failure is not None
    assert "write returned a value of type int: return a pair" in str(failure.user_failure_data)
    failure = handed_over(lake, instance, None).failure_data_for_node("read")
    assert failure is not None
    assert "input file: the upstream step recorded no file" in str(failure.user_failure_data)
    assert list(lake.store.list()) == []


def test_credentials_in_vault_need_both_the_vault_and_the_path() -> None:
    manager = FileObjectIOManager(url="gs://bucket", vault=Vault())
    with pytest.raises(BadInputError, match="both vault and vault_gcs_token_path, or neither"):
        manager.access("gs://bucket")


def test_a_bucket_and_a_url_together_are_refused() -> None:
    with pytest.raises(ValueError, match="give no url"):
        S3FileObjectIOManager(bucket="bucket", url="s3://other")

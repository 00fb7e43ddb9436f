"""The location over folders, with an instance of its own: its jobs in this process, and what they recorded."""

from __future__ import annotations

import gzip
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from edxorg.assets.edxorg_archive import raw_data_archives, raw_tracking_logs
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.object_keys import RAW_TRACKING_LOGS, TRACKING_LOGS
from edxorg.lib.settings import Settings
from edxorg_tests.support.archives import landed
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

LOG = "mitx-edx-events-2024-05-06.log.gz"
OTHER_LOGS = ("mitx-edx-events-2024-05-07.log.gz", "mitx-edx-events-2024-05-08.log.gz")
NORMALIZED = f"edxorg/raw_data/tracking_logs/normalized_{LOG}"
REJECTS = f"edxorg/rejects/tracking_logs/{LOG}.ndjson.gz"
EVENTS = [b'{"name": "a", "time": "2024-05-06T01:02:03+00:00"}', b'{"name": "b", "page": null}']
TRUNCATED = gzip.compress(b"\n".join(EVENTS * 100))[:-9]

AUTH_USER = dg.AssetKey(["edxorg", "raw_data", "db_table", "auth_user"])
NORMALIZED_LOGS = dg.AssetKey(TRACKING_LOGS.split("/"))
CHECK_OF_LOGS = dg.AssetCheckKey(dg.AssetKey(RAW_TRACKING_LOGS.split("/")), "rejected_lines")


class Location:
    """The location over the folders `archives` and `lake`, unless its settings name others."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, settings: Settings | None = None) -> None:
        self.instance = instance
        self.archives = folder / "archives"
        self.lake = folder / "lake"
        places = {"archive_url": f"file://{self.archives}", "landing_zone_url": f"file://{self.lake}"}
        self.settings = (settings or Settings()).model_copy(update=places)

    def run_job(
        self,
        job: str,
        partition: str | None = None,
        *,
        ops: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        return (
            build_definitions(self.settings)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=partition,
                tags=tags,
                raise_on_error=False,
                run_config={"ops": ops or {}, **QUIET},
            )
        )

    def materializations(self, asset: dg.AssetKey, partition: str | None = None) -> list[dg.AssetMaterialization]:
        """What is recorded of an asset, the latest first."""
        partitions = None if partition is None else [partition]
        filters = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=partitions)
        records = self.instance.fetch_materializations(filters, limit=100).records
        return [each.asset_materialization for each in records if each.asset_materialization]


class ArchiveLocation(Location):
    """The location, as the archive job needs it."""

    def run(self, name: str, **config: Any) -> dg.ExecuteInProcessResult:  # noqa: ANN401 - run config
        """Run the job for an archive."""
        info = open_store(self.settings.archive_url).read(name).info
        raw_data_archives(self.settings).register(self.instance, info)
        return self.run_job("retrieve_edxorg_raw_data", name, ops={"process_edxorg_archive": {"config": config}})

    def recorded(self, asset: dg.AssetKey = AUTH_USER) -> list[dg.AssetMaterialization]:
        return self.materializations(asset)

    def everything_recorded(self) -> dict[tuple[str, str], str]:
        """The latest version of each partition of each asset that landed."""
        latest = {}
        for key in self.instance.all_asset_keys():
            if key.path[1] in {"raw_data", "processed_data"}:
                tags = self.instance.event_log_storage.get_latest_tags_by_partition(
                    key, dg.DagsterEventType.ASSET_MATERIALIZATION, tag_keys=["dagster/data_version"]
                )
                for partition, of_partition in tags.items():
                    latest[key.to_user_string(), partition] = of_partition["dagster/data_version"]
        return latest


class LogLocation(Location):
    """The location, as the tracking log job needs it."""

    def write(self, *lines: bytes, name: str = LOG, packed: bytes | None = None) -> None:
        """Publish a log."""
        content = gzip.compress(b"\n".join([*lines, b""]), mtime=0) if packed is None else packed
        self.archives.mkdir(exist_ok=True)
        (self.archives / name).write_bytes(content)

    def run(self, *names: str) -> dg.ExecuteInProcessResult:
        """Run the job for one log, or, in one run, for all from the first to the last."""
        files = raw_tracking_logs(self.settings)
        for name in names:
            files.register(self.instance, open_store(self.settings.archive_url).read(name).info)
        if len(names) == 1:
            return self.run_job("refresh_edxorg_tracking_logs", names[0])
        ends = {"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]}
        return self.run_job("refresh_edxorg_tracking_logs", tags=ends)

    def recorded(self, name: str = LOG) -> list[dg.AssetMaterialization]:
        return self.materializations(NORMALIZED_LOGS, name)

    def versions(self, name: str = LOG) -> list[str]:
        return [(each.tags or {})["dagster/data_version"] for each in self.recorded(name)]

    def rows(self) -> list[dict[str, str | None]]:
        return [json.loads(line) for line in gzip.decompress(landed(self.lake)[NORMALIZED]).splitlines()]

    def rejects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in gzip.decompress(landed(self.lake)[REJECTS]).splitlines()]

    def checked(self) -> list[dg.AssetCheckEvaluation]:
        """The evaluations of the check, the latest first."""
        history = self.instance.event_log_storage.get_asset_check_execution_history(CHECK_OF_LOGS, limit=100)
        return [each.evaluation for each in history if each.evaluation]


@contextmanager
def log_location_in(folder: Path) -> Iterator[LogLocation]:
    """The location in a folder that processes share."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield LogLocation(folder, instance)

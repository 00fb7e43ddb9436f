"""Brings logs, structures and exports in by runs of Dagster, each run over the hostile file and a healthy one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import dagster as dg

from edxorg.assets.edxorg_archive import raw_tracking_logs
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.job_names import LOG_JOB
from edxorg.lib.object_keys import COURSE_KEYS, COURSE_STRUCTURE, COURSE_XML, TRACKING_LOGS
from edxorg.lib.settings import Settings
from edxorg_tests.hostile.cases import COURSE, GOOD, GOOD_COURSE_XML, GOOD_LOG, GOOD_STRUCTURE, Answer
from edxorg_tests.support.course_files import STRUCTURE_OUTPUTS, XML_OUTPUTS, Lake, asset_key
from edxorg_tests.support.location import QUIET, LogLocation
from ol_orchestrate.failures import REASONS
from ol_orchestrate.landing.course_outputs import tags_of_courses
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path


class BringingByDagster:
    """Runs over an instance in a folder; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        instance = self._stack.enter_context(dg.instance_for_test(temp_dir=str(folder / "home")))
        self._instance = instance
        self._logs, self._lake = LogLocation(folder, instance, Settings(workers=1)), Lake(folder, instance)
        self._normalizing = build_definitions(self._logs.settings).resolve_job_def(LOG_JOB)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def log(self, path: Path) -> Answer:
        self._logs.write(name=path.name, packed=path.read_bytes())
        self._logs.write(name=GOOD_LOG[0], packed=GOOD_LOG[1])
        files = raw_tracking_logs(self._logs.settings)
        for name in (path.name, GOOD_LOG[0]):
            files.register(self._instance, open_store(self._logs.settings.archive_url).read(name).info)
        ends = {"dagster/asset_partition_range_start": path.name, "dagster/asset_partition_range_end": GOOD_LOG[0]}
        result = self._normalizing.execute_in_process(
            instance=self._instance, tags=ends, raise_on_error=False, run_config=QUIET
        )
        return _answer_of_run(result, self._count(result, TRACKING_LOGS, path.name, "rejected"))

    def structure(self, path: Path) -> Answer:
        return self._course(path, COURSE_STRUCTURE, STRUCTURE_OUTPUTS, GOOD_STRUCTURE)

    def course_xml(self, path: Path) -> Answer:
        return self._course(path, COURSE_XML, XML_OUTPUTS, GOOD_COURSE_XML)

    def _course(self, path: Path, asset: str, outputs: list[str], healthy: bytes) -> Answer:
        self._lake.bring(asset, path.read_bytes(), f"{COURSE}|prod")
        self._lake.bring(asset, healthy, f"{GOOD}|prod")
        keys = {asset_key(output) for output in outputs}
        tags = tags_of_courses([f"{GOOD}|prod"])
        result = self._lake.run_assets(keys, f"{COURSE}|prod", tags=tags)
        return _answer_of_run(result, self._count(result, COURSE_KEYS.output(outputs[0]), f"{COURSE}|prod", "problems"))

    def _count(self, result: dg.ExecuteInProcessResult, asset: str, partition: str, name: str) -> int:
        """Return a number that the run has recorded; a run of several partitions yields few of its records."""
        filters = dg.AssetRecordsFilter(dg.AssetKey.from_user_string(asset), asset_partitions=[partition])
        records = self._instance.fetch_materializations(filters, limit=1).records
        if not records or records[0].run_id != result.run_id or (made := records[0].asset_materialization) is None:
            return 0
        return int(str(made.metadata[name].value))


def _answer_of_run(result: dg.ExecuteInProcessResult, set_aside: int) -> Answer:
    """Read the events of a run over the hostile file and a healthy one."""
    answer = Answer(set_aside=set_aside)
    if result.success:
        return answer
    (event,) = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    if failure is None or REASONS not in failure.metadata:
        answer.unexpected = event.step_failure_data.error_display_string
        return answer
    reasons: Any = failure.metadata[REASONS].value
    answer.errors = [f"{partition}: {why}" for partition, why in reasons.items()]
    return answer

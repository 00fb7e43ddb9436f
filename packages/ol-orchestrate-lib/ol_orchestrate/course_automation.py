"""Dagster's automation sensor, whose runs have many courses each.

Dagster itself would ask for a run a course, and to load Dagster takes a run longer than a course does; or for a
backfill, which fails if an output stays as it was, and has a run of its own for each course whose neighbors have not
changed.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import dagster as dg

from ol_orchestrate.dagster_tags import PARTITION
from ol_orchestrate.landing.course_outputs import tags_of_courses
from ol_orchestrate.lib.batching import batched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class CourseAutomationSensor(dg.AutomationConditionSensorDefinition):
    """The automation sensor of a location; it evaluates all conditions in the code server."""

    def __init__(self, courses: Sequence[dg.AssetsDefinition], *, courses_a_run: int, tags: Mapping[str, str]) -> None:
        """Make the sensor, stopped at first, under the name of Dagster's own, whose place it takes.

        Args:
            courses: The definitions whose runs can have many courses (`each_course`).
            courses_a_run: The number of courses of a run.
            tags: Those of all its runs, which are of no job that could have them.
        """
        with warnings.catch_warnings():
            # Evaluation in the code server is new in Dagster.
            warnings.simplefilter("ignore", dg.BetaWarning)
            super().__init__(
                "default_automation_condition_sensor",
                target=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
                description="Brings course content up to date after an archive, many courses a run, and evaluates the "
                "checks that run by themselves.",
                emit_backfills=False,
                use_user_code_server=True,
            )
        self._courses = {key for definition in courses for key in definition.keys}
        self._courses_a_run = courses_a_run
        self._tags = dict(tags)

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> Any:  # noqa: ANN401 - its type has no public name
        """Evaluate the conditions as Dagster does, and put requests for courses together."""
        tick = super().evaluate_tick(context)
        return type(tick)(
            run_requests=[
                request.with_replaced_attrs(tags={**self._tags, **request.tags})
                for request in self._together(tick.run_requests or [])
            ],
            cursor=tick.cursor,
            log_key=tick.log_key,
            automation_condition_evaluations=tick.automation_condition_evaluations,
        )

    def _together(self, requests: Iterable[dg.RunRequest]) -> Iterator[dg.RunRequest]:
        of_courses: dict[frozenset[dg.AssetKey], list[str]] = {}
        for request in requests:
            partition = request.partition_key or request.tags.get(PARTITION)
            selected = set(request.asset_selection or ())
            together = selected & self._courses
            if partition is None or not together:
                yield request
                continue
            of_courses.setdefault(frozenset(together), []).append(partition)
            if rest := selected - together:
                yield dg.RunRequest(
                    asset_selection=sorted(rest), partition_key=partition, tags={**request.tags, PARTITION: partition}
                )
        for assets, partitions in of_courses.items():
            for first, *more in batched(sorted(partitions), self._courses_a_run):
                tags = {PARTITION: first, **tags_of_courses(more)}
                yield dg.RunRequest(asset_selection=sorted(assets), partition_key=first, tags=tags)

"""Runs that keep reconciled copies: the body of their op, and of the sensor that requests them.

A location defines the op, its job and the sensor, since it knows the resources that open both stores:

```python
REPORTS = CopyRuns(job="copy_reports", op="copy", noun="reports", runs_a_tick=50)

@dg.op(name=REPORTS.op, out=dg.Out(dg.Nothing))
def copy(context: dg.OpExecutionContext, config: CopyConfig, results_dir: SimpleResultsDir) -> dg.Output[None]:
    return REPORTS.copy(context, copies(), config.keys, results_dir.path)

@dg.sensor(job_name=REPORTS.job)
def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    return REPORTS.request(context, copies)
```
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from ol_orchestrate import long_tags
from ol_orchestrate.dagster_tags import SENSOR
from ol_orchestrate.each_alone import EachAlone
from ol_orchestrate.failures import errors_without_secrets, failure_of
from ol_orchestrate.lib.errors import MissingObjectError, PipelineError, SourceGoneError
from ol_orchestrate.lib.reconciled_copies import batches, copy
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.runs_under_way import UNFINISHED, is_under_way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ol_orchestrate.lib.reconciled_copies import Comparison, ReconciledCopies
    from ol_orchestrate.lib.stores import SourceInfo


@dataclass(frozen=True, slots=True)
class _EarlierAttempt:
    """The end of a step's attempt, for the next one; kept in tags of the run, which other processes can read.

    Attributes:
        run: The run's id, since a run that repeats another has the tags of that one.
        copied: The number of objects that were copied.
        bytes: Their size.
        failed: The keys of the others.
    """

    run: str = ""
    copied: int = 0
    bytes: int = 0
    failed: tuple[str, ...] = ()


class CopyConfig(dg.Config):
    """The objects to copy."""

    keys: list[str] = Field(
        default_factory=list,
        description="Whole keys in the source's bucket, copied even if their copies are current. Without keys, the run "
        "compares source and destination, and copies 500 objects and 20 GB at the most.",
    )


@dataclass(frozen=True, slots=True)
class CopyRuns:
    """Runs that keep copies of one kind.

    Attributes:
        job: The name of the job.
        op: The name of its op.
        noun: The objects in messages and metadata, in the plural.
        runs_a_tick: The number of runs that the sensor requests at a time.
    """

    job: str
    op: str
    noun: str
    runs_a_tick: int

    def run_config(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the config of a run that copies these objects."""
        return {"ops": {self.op: {"config": {"keys": list(keys)}}}}

    def requested_keys(self, run_config: Any) -> list[str]:  # noqa: ANN401 - a run's config, which no schema has checked
        """Return the keys in the config of a run, as the sensor writes it; none if the run finds them itself."""
        keys = run_config
        for part in ("ops", self.op, "config", "keys"):
            keys = keys.get(part) if isinstance(keys, dict) else None
        return [str(key) for key in keys or []]

    def copy(
        self, context: dg.OpExecutionContext, copies: ReconciledCopies, keys: Sequence[str], folder: Path
    ) -> dg.Output[None]:
        """Copy objects, one after the other, each checked by both stores.

        Args:
            context: The context of the op.
            copies: Source and destination.
            keys: The whole keys of the objects; without any, the run finds those that need a copy.
            folder: A folder for one object at a time.

        Raises:
            dagster.Failure: An object was not copied; the others were.
            PipelineError: A listing failed.
        """
        if swept := copies.destination.abort_old_uploads():
            context.log.info("%s", swept)
        # What an attempt has copied stays: copied again, it would be a new object to all who read it.
        earlier = self._earlier_attempt(context)
        to_copy = earlier.failed or tuple(dict.fromkeys(keys)) or self._needed(context, copies.compare())
        copied: dict[str, SourceInfo] = {}
        objects = EachAlone(context.log)
        gone = 0
        # A user who names an object that is not there is mistaken; one that a listing has named may be gone by now.
        from_listing = not keys or SENSOR in context.run.tags
        for key in filter(objects.may_try, to_copy):
            with objects.trying(key):
                try:
                    copied[key] = copy(copies, key, folder / "copied")
                except (MissingObjectError, SourceGoneError):
                    if not from_listing or copies.source.find(copies.key_in_source(key)) is not None:
                        raise
                    gone += 1
                    context.log.warning("%s is gone from %s: there is nothing to copy", key, copies.source.url)
        total = earlier.copied + len(copied)
        size = earlier.bytes + sum(source.size for source in copied.values())
        if objects.failed:
            self._keep(context, _EarlierAttempt(context.run_id, total, size, tuple(objects.failed)))
            raise self._failure(objects.failed, total)
        metadata: dict[str, Any] = {
            self.noun: total,
            "bytes": size,
            "failed": 0,
            "gone": gone,
            "destination": copies.destination.url,
            "checked_by": ", ".join(sorted({source.checked_by for source in copied.values()})),
            "uploads_checked_by": copies.destination.upload_check,
        }
        return dg.Output(None, metadata=metadata)

    def request(
        self, context: dg.SensorEvaluationContext, open_copies: Callable[[], ReconciledCopies]
    ) -> dg.SensorResult | dg.SkipReason:
        """Compare source and destination, and request copies of the objects that need one.

        Raises:
            PipelineError: A listing failed; the texts are redacted.
        """
        under_way = self._requests_under_way(context.instance)
        if any(not keys for keys in under_way):
            return dg.SkipReason("A run that was started without keys, and finds them itself, is under way")
        with errors_without_secrets():
            copies = open_copies()
            comparison = copies.compare()
        if comparison.refused:
            shown = ", ".join(first_and_more(list(map(repr, comparison.refused))))
            context.log.warning(
                "%d %s are not copied, since their keys are unsafe: %s", len(comparison.refused), self.noun, shown
            )
        taken = set().union(*under_way)
        needed = [each for each in comparison.needed if each.key not in taken]
        runs = list(islice(batches(needed), self.runs_a_tick))
        seen = (
            f"{comparison.objects:,} {self.noun} in {copies.source.url}: {len(comparison.needed):,} need a copy, "
            f"{len(comparison.needed) - len(needed):,} of them under way, {len(comparison.refused):,} refused. "
            f"{len(runs)} runs requested for {sum(map(len, runs)):,}"
        )
        context.log.info("%s", seen)
        if not runs:
            return dg.SkipReason(seen)
        # There are no run keys: a used key would block the next attempt, and the runs under way are known.
        requests = [dg.RunRequest(run_config=self.run_config([each.key for each in run])) for run in runs]
        return dg.SensorResult(run_requests=requests)

    @property
    def _tag(self) -> str:
        return f"{self.op}/earlier_attempt"

    def _earlier_attempt(self, context: dg.OpExecutionContext) -> _EarlierAttempt:
        run = context.instance.get_run_by_id(context.run_id) if context.retry_number else None
        kept = (long_tags.joined(self._tag, run.tags) if run else None) or {}
        return _EarlierAttempt(**kept) if kept.get("run") == context.run_id else _EarlierAttempt()

    def _keep(self, context: dg.OpExecutionContext, attempt: _EarlierAttempt) -> None:
        run = context.instance.get_run_by_id(context.run_id)
        tags = long_tags.split(self._tag, asdict(attempt), earlier=run.tags if run else ())
        context.instance.add_run_tags(context.run_id, tags)

    def _needed(self, context: dg.OpExecutionContext, comparison: Comparison) -> list[str]:
        batch = next(batches(comparison.needed), [])
        context.log.info(
            "%s %s at the source, %s need a copy, %s of them in this run",
            f"{comparison.objects:,}",
            self.noun,
            f"{len(comparison.needed):,}",
            f"{len(batch):,}",
        )
        if comparison.refused:
            context.log.warning(
                "Not copied, since their keys are unsafe: %s", ", ".join(first_and_more(comparison.refused))
            )
        return [each.key for each in batch]

    def _failure(self, failures: dict[str, PipelineError], copied: int) -> dg.Failure:
        lines = [f"{key}: {error}" for key, error in sorted(failures.items())]
        head = f"{len(failures):,} of {copied + len(failures):,} {self.noun} failed; the others were delivered"
        return failure_of("\n".join([head, *first_and_more(lines)]), failures.values())

    def _requests_under_way(self, instance: dg.DagsterInstance) -> list[list[str]]:
        """Return the keys that each run under way was requested for."""
        records = instance.get_run_records(dg.RunsFilter(job_name=self.job, statuses=list(UNFINISHED)))
        return [
            self.requested_keys(record.dagster_run.run_config)
            for record in records
            if is_under_way(record.dagster_run.status, record.start_time)
        ]

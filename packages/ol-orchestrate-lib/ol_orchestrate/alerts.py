"""A sensor that tells operators of failures: one message for each cause, however many runs it fails."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from ol_orchestrate.dagster_tags import PARTITION, WILL_RETRY
from ol_orchestrate.failures import DIED, PERMANENT, UNTIL_MENDED, errors_without_secrets, failed_steps, has_died
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.failure_causes import cause_of
from ol_orchestrate.lib.notifying import notify
from ol_orchestrate.lib.redaction import redact
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.versions import short_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REPEAT_AFTER = 24 * 60 * 60
"""Seconds after which a cause that still fails runs is told again."""

SETTLED_AFTER = 10
"""Seconds until a failed run has all its tags, and until all writers of the storage have committed."""

RUNS_A_TICK = 1000
"""Failed runs that a tick looks at; the next one goes on."""

MESSAGES_A_TICK = 10
"""Causes that have a message of their own; a last message names the others."""

LONGEST_TICK = 600
"""Seconds for which a tick may have been at work when the period before was read; it is dated by its start."""

NAMED = 5
"""Partitions and runs that a message names."""

REPOSITORY = ".dagster/repository"

_PROSPECTS = {
    PERMANENT: "It stays like this until a file or a setting is changed: no such run is started again by itself.",
    UNTIL_MENDED: "It stays like this until a setting, a credential or a permission is mended, or a missing object is "
    "there. Then run it again, if nothing does so by itself.",
}
"""Sentences about failures that do not pass."""

_CLASS = re.compile(rf"^{PipelineError.__module__}\.\w+: ")
"""The class of an error that is complete without it, where Dagster shows a tick's error."""


class Failure(NamedTuple):
    """A step that failed in a run, or the tick of a sensor.

    Attributes:
        where: The job and the step, or the sensor.
        why: The reason.
        run_id: The run; `None` for a tick.
        partition: The run's partition.
        permanence: The value of the run's tag that says whether another run fails as well.
        is_shared: True if the cause lies in none of the files, so that it fails other places as well: a service that is
            down, a setting, a credential.
    """

    where: str
    why: str
    run_id: str | None = None
    partition: str | None = None
    permanence: str = "false"
    is_shared: bool = False

    @property
    def cause(self) -> str:
        """A short name of the cause; equal causes at other places are others, unless it is shared."""
        why = self.why.replace(self.partition, "…") if self.partition else self.why
        return short_hash(f"{'' if self.is_shared else self.where}\n{cause_of(why)}")


@dataclass(slots=True)
class _Told:
    """The content of the sensor's cursor.

    Attributes:
        until: The time until which failures have been looked at, in seconds since 1970.
        causes: When each cause was told last; those that are to be told again are left out, so it does not grow.
    """

    until: float
    causes: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None, now: float) -> _Told:
        if not cursor:
            return cls(now)
        kept = json.loads(cursor)
        return cls(kept["until"], {cause: at for cause, at in kept["causes"].items() if now - at < REPEAT_AFTER})

    def cursor(self) -> str:
        return json.dumps({"until": self.until, "causes": self.causes})


def failure_alerts_sensor(
    name: str, addresses: Callable[[], Sequence[str]], permanent_failure: str
) -> dg.SensorDefinition:
    """Define the sensor, which is on by default: it is defined only where an operator has asked for it.

    Args:
        addresses: Reads the addresses to send messages to, which are secrets.
        permanent_failure: The tag that says of a failed run whether it fails again; see `as_dagster_failure`.
    """

    @dg.sensor(
        name=name,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells operators of failed runs and failed ticks of this location: a message for each cause, which "
        "is told again after a day. A run that Dagster starts again by itself is not told.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = time.time()
        told = _Told.of(context.cursor, now)
        with errors_without_secrets():
            found, until = _failures(context, told.until, now - SETTLED_AFTER, permanent_failure)
            unsent = _tell(found, told, addresses(), _location(context), now) if found else []
        if not unsent:
            told.until = until
        context.update_cursor(told.cursor())
        seen = f"{len(found):,} failures of {len({failure.cause for failure in found}):,} causes"
        if unsent:
            return dg.SkipReason(f"{seen}. To be told at the next tick, as messages were not taken: {unsent[0]}")
        return dg.SkipReason(seen)

    return sensor


def _tell(found: Sequence[Failure], told: _Told, addresses: Sequence[str], location: str, now: float) -> list[str]:
    """Send a message for each new cause; return the reasons of those that were not taken.

    Raises:
        PipelineError: None was taken.
    """
    causes: dict[str, list[Failure]] = {}
    for failure in found:
        causes.setdefault(failure.cause, []).append(failure)
    new = {cause: failures for cause, failures in causes.items() if cause not in told.causes}
    messages = [([cause], *_message(location, failures)) for cause, failures in new.items()]
    if len(messages) > MESSAGES_A_TICK:
        others = messages[MESSAGES_A_TICK:]
        titles = "\n".join(first_and_more([title for _, title, _ in others]))
        together = ([cause for of_one, _, _ in others for cause in of_one], f"{location}: further failures", titles)
        messages = [*messages[:MESSAGES_A_TICK], together]
    errors: list[PipelineError] = []
    for of_message, title, body in messages:
        try:
            for address in addresses:
                notify(address, title, body)
        except PipelineError as error:
            errors.append(error)
        else:
            told.causes |= dict.fromkeys(of_message, now)
    if errors and len(errors) == len(messages):
        raise errors[0]
    return [redact(str(error)) for error in errors]


def _message(location: str, failures: Sequence[Failure]) -> tuple[str, str]:
    first = failures[0]
    runs = [failure.run_id for failure in failures if failure.run_id is not None]
    places = first_and_more(list(dict.fromkeys(failure.where for failure in failures)), NAMED)
    times = f"{len(runs):,} runs" if len(runs) > 1 else "a run" if runs else "it" if len(places) == 1 else "they"
    lines = [redact(first.why)]
    if partitions := [failure.partition for failure in failures if failure.partition]:
        lines.append(f"Partitions: {', '.join(first_and_more(partitions, NAMED))}")
    if runs:
        lines.append(f"Runs: {', '.join(first_and_more(runs, NAMED))}")
        lines.append(_PROSPECTS.get(first.permanence, "It may pass: run it again, if nothing does so by itself."))
    return f"{location}: {', '.join(places)}: {times} failed", "\n".join(lines)


def _failures(
    context: dg.SensorEvaluationContext, since: float, until: float, permanent_failure: str
) -> tuple[list[Failure], float]:
    """Return the failures of the location in a period, the oldest first, and the end of the period that was read."""
    filters = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={REPOSITORY: f"{context.repository_name}@{_location(context)}"},
        updated_after=datetime.fromtimestamp(since, UTC),
    )
    records = context.instance.get_run_records(filters, limit=RUNS_A_TICK, order_by="update_timestamp", ascending=True)
    ended = [each.dagster_run for each in records if each.update_timestamp.timestamp() <= until]
    if len(records) == RUNS_A_TICK:
        until = min(until, records[-1].update_timestamp.timestamp())
    final = (run for run in ended if run.tags.get(WILL_RETRY) != "true")
    runs = [failure for run in final for failure in _failures_of(run, permanent_failure)]
    return [*runs, *_failed_ticks(context, since, until)], max(since, until)


def _failures_of(run: dg.DagsterRun, permanent_failure: str) -> Iterator[Failure]:
    partition = run.tags.get(PARTITION)
    steps = failed_steps(run)
    if has_died(run):
        yield Failure(run.job_name, DIED, run.run_id, partition)
    elif not steps:
        yield Failure(run.job_name, "A step failed; the log of the run says why", run.run_id, partition)
    for step, why in steps.items():
        permanence = run.tags.get(permanent_failure, "false")
        yield Failure(step, why, run.run_id, partition, permanence, is_shared=permanence != PERMANENT)


def _failed_ticks(context: dg.SensorEvaluationContext, since: float, until: float) -> Iterator[Failure]:
    """Yield the failed ticks of the location's other sensors and schedules: without one, no run is asked for."""
    for state in context.instance.all_instigator_state():
        repository = state.origin.repository_origin
        if repository.code_location_origin.location_name != _location(context):
            continue
        if state.instigator_name != context.sensor_name:
            ticks = context.instance.get_ticks(
                state.instigator_origin_id, state.selector_id, after=since - LONGEST_TICK, before=until, limit=NAMED
            )
            for error in (tick.error for tick in ticks if tick.status.value == "FAILURE"):
                while error is not None and error.cause is not None:
                    error = error.cause  # noqa: PLW2901 - the first in the chain
                if error is not None:
                    why = _CLASS.sub("", error.message.strip())
                    yield Failure(f"a tick of {state.instigator_name}", why, is_shared=True)


def _location(context: dg.SensorEvaluationContext) -> str:
    return context.code_location_origin.location_name if context.code_location_origin else ""

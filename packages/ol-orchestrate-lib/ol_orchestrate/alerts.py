"""A sensor that tells operators of failures: one message for each cause, however many runs it fails."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from ol_orchestrate.dagster_tags import PARTITION, WILL_RETRY
from ol_orchestrate.failures import (
    DIED,
    PERMANENT,
    UNTIL_MENDED,
    errors_without_secrets,
    failed_steps,
    has_died,
    reasons_by_partition,
)
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.failure_causes import cause_of
from ol_orchestrate.lib.notifying import notify
from ol_orchestrate.lib.redaction import redact
from ol_orchestrate.lib.shortening import first_and_more
from ol_orchestrate.lib.versions import short_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

REPEAT_AFTER = 24 * 60 * 60
"""Seconds after which a cause that still fails runs is told again."""

SETTLED_AFTER = 10
"""Seconds until a failed run has all its tags, and until all writers of the storage have committed."""

RUNS_A_TICK = 1000
"""Failed runs that a tick looks at; the next one goes on."""

MESSAGES_A_TICK = 10
"""Causes that have a message of their own; a last message names the others."""

TICKS = 1000
"""Failed ticks of a sensor that a tick looks at, the latest."""

REFUSALS = 2
"""Messages that an address may refuse at a tick: a mail server that is silent takes 15 seconds for each, and Dagster
ends the tick after 60, for all addresses."""

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
    """A step that failed in a run, for one of its partitions, or the tick of a sensor.

    Attributes:
        where: The job and the step, or the sensor.
        why: The reason.
        run_id: The run; `None` for a tick.
        partition: The partition.
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
    """What one address has been told. The sensor's cursor holds it for each address, in their order.

    Attributes:
        until: The time until which failures have been told, in seconds since 1970.
        causes: When each cause was told last; those that are to be told again are left out, so it does not grow.
    """

    until: float
    causes: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_cursor(cls, cursor: str | None, now: float) -> list[_Told]:
        if not cursor:
            return [cls(now)]
        kept = json.loads(cursor)
        return [
            cls(each["until"], {cause: at for cause, at in each["causes"].items() if now - at < REPEAT_AFTER})
            # Until version 1.0.0, a cursor held one for all addresses.
            for each in (kept if isinstance(kept, list) else [kept])
        ]


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
        told = _Told.of_cursor(context.cursor, now)
        untold: list[str] = []
        with errors_without_secrets():
            periods = {
                since: _failures(context, since, now - SETTLED_AFTER, permanent_failure)
                for since in {each.until for each in told}
            }
            found, _ = periods[min(periods)]
            if found:
                told, untold = _tell_all(addresses(), told, periods, _location(context), now)
            else:
                told = [replace(each, until=periods[each.until][1]) for each in told]
        context.update_cursor(json.dumps([asdict(each) for each in told]))
        seen = f"{len(found):,} failures of {len({failure.cause for failure in found}):,} causes"
        if untold:
            return dg.SkipReason(
                f"{seen}. To be told at the next tick, as messages were not taken: {'; '.join(untold)}"
            )
        return dg.SkipReason(seen)

    return sensor


def _tell_all(
    addresses: Sequence[str],
    told: Sequence[_Told],
    periods: Mapping[float, tuple[Sequence[Failure], float]],
    location: str,
    now: float,
) -> tuple[list[_Told], list[str]]:
    """Tell each address what it has not been told; one that fails keeps none of the others from it.

    Args:
        told: What each address has been told; one that is new is told what the others have not been.
        periods: The failures since the time until which an address has been told, and the end of the period.

    Returns:
        What each address has been told now, and why some did not take a message.

    Raises:
        PipelineError: No address took a message.
    """
    latest = max(told, key=lambda each: each.until)
    result: list[_Told] = []
    errors: list[PipelineError] = []
    for number, address in enumerate(addresses, 1):
        before = told[number - 1] if number <= len(told) else latest
        found, until = periods[before.until]
        causes, error = _tell(address, found, before.causes, location, now)
        if error:
            errors.append(type(error)(redact(f"address {number} of {len(addresses)}: {error}")))
        result.append(_Told(before.until if error else until, causes))
    if len(errors) == len(addresses) and not any(now in each.causes.values() for each in result):
        raise type(errors[0])("; ".join(str(error) for error in errors))
    return result, [str(error) for error in errors]


def _tell(
    address: str, found: Sequence[Failure], told: Mapping[str, float], location: str, now: float
) -> tuple[dict[str, float], PipelineError | None]:
    """Send a message for each new cause; return when each was told, and the first error."""
    causes: dict[str, list[Failure]] = {}
    for failure in found:
        causes.setdefault(failure.cause, []).append(failure)
    new = {cause: failures for cause, failures in causes.items() if cause not in told}
    messages = [([cause], *_message(location, failures)) for cause, failures in new.items()]
    if len(messages) > MESSAGES_A_TICK:
        others = messages[MESSAGES_A_TICK:]
        titles = "\n".join(first_and_more([title for _, title, _ in others]))
        together = ([cause for of_one, _, _ in others for cause in of_one], f"{location}: further failures", titles)
        messages = [*messages[:MESSAGES_A_TICK], together]
    taken = dict(told)
    errors: list[PipelineError] = []
    for of_message, title, body in messages:
        if len(errors) == REFUSALS:
            break
        try:
            notify(address, title, body)
        except PipelineError as error:
            errors.append(error)
        else:
            taken |= dict.fromkeys(of_message, now)
    return taken, next(iter(errors), None)


def _message(location: str, failures: Sequence[Failure]) -> tuple[str, str]:
    first = failures[0]
    runs = list(dict.fromkeys(failure.run_id for failure in failures if failure.run_id is not None))
    places = first_and_more(list(dict.fromkeys(failure.where for failure in failures)), NAMED)
    times = f"{len(runs):,} runs" if len(runs) > 1 else "a run" if runs else "it" if len(places) == 1 else "they"
    lines = [redact(first.why)]
    if partitions := list(dict.fromkeys(failure.partition for failure in failures if failure.partition)):
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
        for failed, reason in reasons_by_partition(run, step).items() or [(partition, why)]:
            yield Failure(step, reason, run.run_id, failed, permanence, is_shared=permanence != PERMANENT)


def _failed_ticks(context: dg.SensorEvaluationContext, since: float, until: float) -> Iterator[Failure]:
    """Yield the failed ticks of the location's other sensors and schedules: without one, no run is asked for."""
    from dagster._core.scheduler.instigation import TickStatus  # noqa: PLC0415 - has no public name

    for state in context.instance.all_instigator_state():
        repository = state.origin.repository_origin
        if repository.code_location_origin.location_name != _location(context):
            continue
        if state.instigator_name != context.sensor_name:
            ticks = context.instance.get_ticks(
                state.instigator_origin_id,
                state.selector_id,
                after=since - LONGEST_TICK,
                before=until,
                limit=TICKS,
                statuses=[TickStatus.FAILURE],
            )
            for error in (tick.error for tick in ticks):
                while error is not None and error.cause is not None:
                    error = error.cause  # noqa: PLW2901 - the first in the chain
                if error is not None:
                    why = _CLASS.sub("", error.message.strip())
                    yield Failure(f"a tick of {state.instigator_name}", why, is_shared=True)


def _location(context: dg.SensorEvaluationContext) -> str:
    return context.code_location_origin.location_name if context.code_location_origin else ""

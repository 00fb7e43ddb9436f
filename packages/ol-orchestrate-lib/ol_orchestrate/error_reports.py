"""Reports failed runs to Sentry: one event for each run that failed for good, grouped by its cause.

The text of an event is that of the run's failure, which names objects and settings. Of an error that nobody expected it
has only the class and the place in the code, since its text can quote data. Sentry's own client collects nothing: it
has no integrations, no local variables, and is there only while an event is sent.
"""

from __future__ import annotations

import logging
import os
import re
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import dagster as dg

from ol_orchestrate.dagster_tags import PARTITION, WILL_RETRY
from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.failure_causes import cause_of
from ol_orchestrate.lib.redaction import redact, remember_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sentry_sdk.types import Event

SENTRY_DSN: Final = "SENTRY_DSN"
"""The environment variable with the address of a project in Sentry, and the key to report to it."""

_INTERRUPTIONS: Final = {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}

_LONGEST: Final = 8192
"""Characters of a text; Sentry cuts longer ones."""

_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')

SECONDS_TO_SEND: Final = 10


def failed_runs_sensor(name: str, *, environment: str) -> dg.SensorDefinition | None:
    """Make the sensor that reports the failed runs of this location; `None` without the package `sentry-sdk`.

    Args:
        name: The name of the sensor.
        environment: The environment of all events.
    """
    if find_spec("sentry_sdk") is None:
        logging.getLogger(__name__).warning(
            "%s is set, and sentry-sdk is not installed: failed runs are not reported. Install the extra `sentry`, or "
            "unset the variable",
            SENTRY_DSN,
        )
        return None

    @dg.run_failure_sensor(
        name=name,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports each run that failed for good to Sentry, grouped by cause.",
    )
    def report_failed_run(context: dg.RunFailureSensorContext) -> None:
        event = event_of(context.dagster_run, context.get_step_failure_events(), context.failure_event.message or "")
        if event is not None and not send(event | {"environment": environment}):
            context.log.warning(
                "Sentry did not take the event about run %s, and it is not sent again: check %s and the way to it",
                context.dagster_run.run_id,
                SENTRY_DSN,
            )

    return report_failed_run


def event_of(run: dg.DagsterRun, failures: Sequence[dg.DagsterEvent], message: str) -> dict[str, Any] | None:
    """Return the event about a failed run; `None` if it was interrupted, or is going to be started again.

    Args:
        run: The run.
        failures: The failures of its steps.
        message: The reason of a run that failed in no step.
    """
    if run.tags.get(WILL_RETRY) == "true" or any(map(_is_interruption, failures)):
        return None
    texts = [_text(failure) for failure in failures] or [message or "the run failed in no step"]
    text = redact("\n".join(texts))[:_LONGEST]
    origin = run.remote_job_origin
    step = failures[0].step_key if failures else None
    tags = {
        "location": origin.location_name if origin else None,
        "job": run.job_name,
        "partition": run.tags.get(PARTITION),
        "step": step,
        "run_id": run.run_id,
    }
    return {
        "level": "error",
        "platform": "python",
        "logger": "dagster",
        "exception": {"values": [{"type": f"{run.job_name} failed", "value": text}]},
        "fingerprint": [run.job_name, step or "", cause_of(text)],
        "tags": {name: value for name, value in tags.items() if value},
    }


def send(event: Mapping[str, Any]) -> bool:
    """Send an event to the project that `SENTRY_DSN` names, and wait until it has arrived or cannot.

    Returns:
        True if Sentry has taken it within `SECONDS_TO_SEND`.

    Raises:
        SettingsError: The variable is not set, or is no address of a project.
    """
    import sentry_sdk  # noqa: PLC0415 - installed only with the extra
    from sentry_sdk.utils import BadDsn  # noqa: PLC0415

    dsn = os.environ.get(SENTRY_DSN, "")
    key = re.sub(r".*://([^@:]*).*", r"\1", dsn)
    remember_secrets(key, unquote(key))
    try:
        client = sentry_sdk.Client(
            dsn=dsn,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            send_client_reports=False,
        )
    except BadDsn:
        raise SettingsError(f"{SENTRY_DSN} is no address of a project: copy it from the project's settings") from None
    dropped: list[str] = []
    if client.transport is not None:
        client.transport.on_dropped_event = dropped.append  # type: ignore[attr-defined]
    end = time.monotonic() + SECONDS_TO_SEND
    client.capture_event(cast("Event", dict(event)))
    client.close(timeout=SECONDS_TO_SEND)
    return not dropped and time.monotonic() < end


def _is_interruption(failure: dg.DagsterEvent) -> bool:
    error = failure.step_failure_data.error
    return any(each.cls_name in _INTERRUPTIONS for each in _chain(error))


def _text(failure: dg.DagsterEvent) -> str:
    """Return the text of a step's failure, or the class and the place of an error that nobody expected."""
    data = failure.step_failure_data
    *_, origin = _chain(data.error)
    if data.user_failure_data is not None and origin.cls_name == dg.Failure.__name__:
        return data.user_failure_data.description or "the step failed without a reason"
    frames = [found for line in origin.stack for found in _FRAME.findall(line)]
    place = f" at {frames[-1][0]}:{frames[-1][1]} in {frames[-1][2]}" if frames else ""
    return f"{origin.cls_name}{place}. The log of the run has its text"


def _chain(error: Any) -> Iterator[Any]:  # noqa: ANN401 - Dagster has no public name for the type
    """Yield an error, and those that it was raised from."""
    while error is not None:
        yield error
        error = error.cause

"""Retries of requests after transient errors, and the pauses between them.

Only one layer retries a request, since the bounds of several layers multiply: six attempts of a client, in each of six
attempts of a reader, are 36 requests. obstore and botocore are configured without retries.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_random_exponential,
)

from ol_orchestrate.lib.errors import PipelineError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity.wait import wait_base

T = TypeVar("T")

RETRIES = 5
"""Further attempts after a transient error; for a download, in a row without one byte read."""

SECONDS_TO_CONNECT = 10
SECONDS_TO_ANSWER = 20
"""The time for the answer to a small question, such as a page of a listing. A server that accepts and never answers
costs `PATIENCE` and one such time at most: less than the 60 s after which Dagster kills a tick without a reason.
"""

PATIENCE = 30.0
"""Seconds after which a small question is not asked again."""

PAUSE = 0.5
"""The longest pause before the first retry, in seconds; it doubles for each further one."""


def pauses() -> wait_base:
    """Return the pauses between attempts; half of each is random, so that clients do not retry all at once."""
    return wait_exponential(multiplier=PAUSE / 2) + wait_random_exponential(multiplier=PAUSE / 2)


def retried(
    request: Callable[[], T],
    *,
    on: type[PipelineError] = ServiceError,
    retries: int = RETRIES,
    patience: float = math.inf,
) -> T:
    """Make a request, and retry it after errors of one class that may pass, until so many seconds have passed.

    Raises:
        PipelineError: The request raised another error, or all attempts failed.
    """
    end = stop_after_attempt(retries + 1) | stop_after_delay(patience)
    may_pass = retry_if_exception(lambda error: isinstance(error, on) and error.is_transient)
    attempts = Retrying(retry=may_pass, stop=end, wait=pauses(), reraise=True)
    return attempts(request)

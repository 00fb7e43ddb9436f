"""Retries of requests after transient errors, and the pauses between them.

Only one layer retries a request, since the bounds of several layers multiply: six attempts of a client, in each of six
attempts of a reader, are 36 requests. obstore and botocore are configured without retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random_exponential

from ol_orchestrate.lib.errors import PipelineError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity.wait import wait_base

T = TypeVar("T")

RETRIES = 5
"""Further attempts after a transient error; for a download, in a row without one byte read."""

PAUSE = 0.5
"""The longest pause before the first retry, in seconds; it doubles for each further one."""


def pauses() -> wait_base:
    """Return the pauses between attempts; half of each is random, so that clients do not retry all at once."""
    return wait_exponential(multiplier=PAUSE / 2) + wait_random_exponential(multiplier=PAUSE / 2)


def retried(request: Callable[[], T], *, on: type[PipelineError] = ServiceError, retries: int = RETRIES) -> T:
    """Make a request, and retry it after errors of one class.

    Raises:
        PipelineError: The request raised an error of another class, or all attempts failed.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(on), stop=stop_after_attempt(retries + 1), wait=pauses(), reraise=True
    )
    return attempts(request)

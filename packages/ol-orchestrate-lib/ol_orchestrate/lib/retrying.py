"""Requests that are repeated, and the pauses between them.

Each request is repeated in one place, since bounds of several layers multiply: six tries of a client, in each of six
tries of a reader, are 36 requests. obstore and botocore repeat none on their own.
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
"""How often a request is repeated that failed for a reason that may pass; a download, without a byte in between."""

PAUSE = 0.5
"""Seconds before the first repetition, at most; doubled with each."""


def pauses() -> wait_base:
    """The pauses between attempts. Half of each is random: clients that failed together do not return together."""
    return wait_exponential(multiplier=PAUSE / 2) + wait_random_exponential(multiplier=PAUSE / 2)


def retried(request: Callable[[], T], *, on: type[PipelineError] = ServiceError, retries: int = RETRIES) -> T:
    """Make a request, and repeat it while it fails with an error that may pass.

    Raises:
        PipelineError: The error is another one, or came `retries` times more.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(on), stop=stop_after_attempt(retries + 1), wait=pauses(), reraise=True
    )
    return attempts(request)

"""The one bound on repeated requests: obstore, botocore and Google's client repeat none on their own.

Bounds of several layers multiply: six tries of a client, in each of six tries of a reader, are 36 requests.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

from ol_orchestrate.lib.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

RETRIES = 5
"""How often a request is repeated that failed for a reason that may pass; a download, without a byte in between."""

PAUSE = 0.5
"""Seconds before the first repetition, at most; doubled with each."""


def pause_before(retry: int) -> None:
    """Wait before the given repetition, the first being 1; workers that failed together do not return together."""
    time.sleep(PAUSE * 2 ** (retry - 1) * random.uniform(0.5, 1))  # noqa: S311 - no secret


def retried(request: Callable[[], T]) -> T:
    """Make a request, and repeat it while its error may pass.

    Raises:
        PipelineError: The error is final, or came `RETRIES` times more.
    """
    for retry in range(1, RETRIES + 1):
        try:
            return request()
        except ServiceError:
            pause_before(retry)
    return request()

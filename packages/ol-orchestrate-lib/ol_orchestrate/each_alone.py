"""Work on the partitions or objects of a run, of which each fails alone, unless a service fails for all of them."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import PipelineError, ServiceError
from ol_orchestrate.lib.redaction import redact

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

IN_A_ROW = 3
"""Failures of a service in a row after which nothing more is tried: one that never answers takes minutes each time."""


class EachAlone:
    """The failures of one attempt at the work.

    Attributes:
        failed: The errors by partition or object, those included that were not tried.
    """

    def __init__(self, log: logging.Logger) -> None:
        """Start without a failure; failures are told to the log as they come."""
        self.failed: dict[str, PipelineError] = {}
        self._log = log
        self._in_a_row = 0
        self._last: ServiceError | None = None

    def may_try(self, name: str) -> bool:
        """Return False, and note the failure, if a service has failed for the last few."""
        if self._in_a_row < IN_A_ROW:
            return True
        reason = f"This was not tried, since a service failed for the {IN_A_ROW} before: {self._last}"
        self.failed[name] = ServiceError(reason)
        return False

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Note what fails in the block, instead of raising it."""
        self.failed.pop(name, None)
        try:
            yield
        except ServiceError as error:
            self._in_a_row += 1
            self._last = error
            self._note(name, error)
        except PipelineError as error:
            self._in_a_row = 0
            self._note(name, error)
        except Exception as error:  # noqa: BLE001 - fails this one alone
            trace = redact("".join(traceback.format_exception(error)))
            self._log.error("%s: %s", name, trace)
            # The text can quote data, and a failure is reported further than the log of the run.
            self.failed[name] = PipelineError(f"{type(error).__name__}. The log of the run has its text")
        else:
            self._in_a_row = 0

    def _note(self, name: str, error: PipelineError) -> None:
        self._log.error("%s: %s", name, error)
        self.failed[name] = error

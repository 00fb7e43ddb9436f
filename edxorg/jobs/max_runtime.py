"""The time that a run of each job may take, before Dagster's run monitoring ends it as failed."""

from __future__ import annotations

MAX_RUNTIME = "dagster/max_runtime"
"""Tag of a run, in seconds."""

ARCHIVE = {MAX_RUNTIME: str(12 * 60 * 60)}
"""Twelve hours: an archive of 100 GB takes three or four on two processors."""

OTHERS = {MAX_RUNTIME: str(6 * 60 * 60)}
"""Six hours: logs of several days, program reports, and the catalogue at 190 requests an hour."""

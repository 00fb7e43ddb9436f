"""Moved to the shared library."""

from ol_orchestrate.lib.spool import IN_MEMORY, Spool

__all__ = ["IN_MEMORY", "Spool"]

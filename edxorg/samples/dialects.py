"""The three dialects in which values of the tables are written."""

from __future__ import annotations

from typing import Final

NULL: Final = "NULL"
"""Stands for SQL's NULL; the text `NULL` cannot be told from it."""


def exported(text: str | None) -> str:
    """Write a value as the exporter does: with escapes of two characters."""
    if text is None:
        return NULL
    for raw, escaped in (("\\", "\\\\"), ("\r", "\\r"), ("\t", "\\t"), ("\n", "\\n")):
        text = text.replace(raw, escaped)
    return text


def quoted(text: str | None) -> str:
    """Write a value as newer packages do in profiles: with a CSV writer's minimal quotes, but bare carriage returns."""
    if text is None:
        return NULL
    text = text.replace("\t", "\\t").replace("\n", "\\n")
    return '"' + text.replace('"', '""') + '"' if '"' in text else text


def piped(text: str) -> str:
    """Write a value as the exporter of `courseware_studentmodule` does: with a backslash before the raw character."""
    for raw in ("\\", "\t", "\n"):
        text = text.replace(raw, f"\\{raw}")
    return text

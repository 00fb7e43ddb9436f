"""The three dialects in which values of the tables are written."""

from __future__ import annotations

from typing import Final

NULL: Final = "NULL"
"""Stands for SQL's NULL; a text that reads so cannot be told from it."""


def exported(text: str | None) -> str:
    """A value as the exporter writes it: escapes of two characters."""
    if text is None:
        return NULL
    for raw, escaped in (("\\", "\\\\"), ("\r", "\\r"), ("\t", "\\t"), ("\n", "\\n")):
        text = text.replace(raw, escaped)
    return text


def quoted(text: str | None) -> str:
    """A value as newer packages have it in profiles: a CSV writer's minimal quotes, carriage returns as they are."""
    if text is None:
        return NULL
    text = text.replace("\t", "\\t").replace("\n", "\\n")
    return '"' + text.replace('"', '""') + '"' if '"' in text else text


def piped(text: str) -> str:
    """A value as the program that writes `courseware_studentmodule` does: a backslash before the raw character."""
    for raw in ("\\", "\t", "\n"):
        text = text.replace(raw, f"\\{raw}")
    return text

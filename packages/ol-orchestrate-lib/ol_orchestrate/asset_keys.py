"""Dagster's asset keys, made of the names that code without Dagster uses."""

from __future__ import annotations

import dagster as dg


def asset_key(name: str) -> dg.AssetKey:
    """Return the key of an asset from its name, in which slashes join the parts."""
    return dg.AssetKey(name.split("/"))

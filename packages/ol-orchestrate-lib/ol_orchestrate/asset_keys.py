"""Names of assets, which pure code and objects' keys use, as Dagster's keys."""

from __future__ import annotations

import dagster as dg


def asset_key(name: str) -> dg.AssetKey:
    """The key of an asset whose name joins its parts by slashes."""
    return dg.AssetKey(name.split("/"))

"""The edX catalogue, from the Discovery API."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - Dagster reads the annotation

import dagster as dg

from edxorg.ops.not_built import not_built_yet


def _specs(*names: str) -> list[dg.AssetSpec]:
    return [dg.AssetSpec(["edxorg", "api_data", name], group_name="edxorg") for name in names]


@dg.multi_asset(specs=_specs("program_metadata", "program_course_metadata"))
def edxorg_program_metadata() -> Iterator[dg.MaterializeResult[None]]:
    """The programs of the catalogue, and the courses in them."""
    yield from not_built_yet("The catalogue")


@dg.multi_asset(specs=_specs("course_metadata", "course_run_metadata"))
def edxorg_mitx_course_metadata() -> Iterator[dg.MaterializeResult[None]]:
    """MITx courses and their runs."""
    yield from not_built_yet("The catalogue")

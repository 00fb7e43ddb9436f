"""Describes an output in the Dagster UI as the data dictionary does."""

from __future__ import annotations

import dagster as dg

from ol_orchestrate.lib.dictionary import Format, Output

COLUMN_SCHEMA = "dagster/column_schema"
"""The metadata of an asset and of its materializations in which Dagster looks for the columns of a table."""

_KINDS = {
    Format.TSV: {"tsv", "table"},
    Format.CSV: {"csv", "table"},
    Format.JSON_LINES: {"json", "table"},
    Format.GZIPPED_JSON_LINES: {"json", "table"},
    Format.JSON: {"json"},
    Format.TAR: {"file"},
}


def described(spec: dg.AssetSpec, output: Output) -> dg.AssetSpec:
    """Return the asset with the description, the kinds and the columns of its output."""
    what = "One object" if not output.columns else "One entry" if output.format is Format.JSON else "One row"
    row = f"{what}: {output.row[0].lower()}{output.row[1:]}"
    schema = {COLUMN_SCHEMA: column_schema(output)} if output.columns else {}
    return spec.replace_attributes(description=row).merge_attributes(kinds=_KINDS[output.format], metadata=schema)


def column_schema(output: Output) -> dg.TableSchema:
    """Return the columns of an output."""
    return dg.TableSchema(
        [
            dg.TableColumn(column.name, column.type, column.meaning, _constraints(output, column.name))
            for column in output.columns
        ]
    )


def _constraints(output: Output, column: str) -> dg.TableColumnConstraints:
    return dg.TableColumnConstraints(nullable=column not in output.key)

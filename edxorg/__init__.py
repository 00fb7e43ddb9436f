"""A Dagster code location that brings edX.org data into a data lake."""

"""Plain functions and types. No module here imports Dagster."""

"""Plain functions and types that know nothing of Dagster."""

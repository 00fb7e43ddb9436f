"""The work itself: plain functions and types that know nothing of Dagster."""

"""Code that MIT Open Learning's Dagster code locations share."""

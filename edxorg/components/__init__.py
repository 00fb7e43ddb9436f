"""Pieces of a code location that are built from values: a component for each kind."""

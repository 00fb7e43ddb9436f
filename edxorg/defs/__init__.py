"""Definitions that `dg scaffold defs` adds to the location."""

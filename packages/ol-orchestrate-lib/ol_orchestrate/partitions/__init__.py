"""Partitions that several code locations share."""

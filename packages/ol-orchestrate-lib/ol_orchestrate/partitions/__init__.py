"""Partitions that several code locations share.

- `edxorg.py`: courses of edX.org, by site.
"""

"""Measures speed and memory as ratios to a reference that runs beside the product: `python -m benchmarks --help`.

A module for each benchmark: `archive.py`, `tracking_log.py`, `course_xml.py`, `sensors.py`, `loading.py`,
`small_objects.py`, `hostile.py`, `package.py`, `query.py`, `report.py`, `growth.py`, `bulk.py`. `measure.py`
measures; `instances.py` opens Dagster instances; `range_server.py` is an S3 bucket to read from; `__main__.py` is the
command.
"""

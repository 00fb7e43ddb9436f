"""The partitions that locations with edX.org courses share."""

from __future__ import annotations

import dagster as dg

course_and_source_partitions = dg.DynamicPartitionsDefinition(name="course_and_source")
"""One course on one site. Keys are made and read by `ol_orchestrate.lib.course_partition.CoursePartition`."""

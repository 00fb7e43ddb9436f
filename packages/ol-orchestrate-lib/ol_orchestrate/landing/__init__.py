"""Lands artifacts: puts their objects into the landing zone, and records them in Dagster.

- `land.py`: lands one artifact and describes its materialization.
- `records.py`: reads the tags of recorded versions.
- `batch.py`: records many objects at once.
- `attempts.py`: shows failed and canceled runs on the partitions of external assets.
- `unchanged.py`: records again what is as it was, where Dagster takes it for failed otherwise.
- `course_outputs.py`: a run over one course, which lands all its outputs before the first is recorded.

`records.py`, `batch.py` and `attempts.py` alone use names that are private to Dagster, since its public interface has
nothing as fast, or nothing at all.
A test compares these names with the locked Dagster.
"""

"""From an artifact to its object in the landing zone and its record in Dagster.

- `land`: lands one artifact and describes its materialization; `lib.versions` decides.
- `records`: reads the tags of recorded versions.
- `batch`: records many objects at once.
- `course_outputs`: a run over one course, which lands all its outputs before the first is recorded.

`records` and `batch` alone use names that are private to Dagster, since its public interface has nothing as fast. A
test compares these names with the locked Dagster.
"""

"""A Dagster code location that brings edX.org data into a data lake.

- `definitions.py`: what Dagster loads, the location of the environment's settings;
- `components`: the location as a component, which builds all definitions;
- `assets`, `jobs`, `sensors`: what Dagster shows, what runs, and what starts it;
- `ops`: the steps of the jobs; `source_files.py`: dated files in a bucket, a partition each;
- `location.py`: the names that the setting `name` leads;
- `lib`: the work itself, without Dagster;
- `commands`: the `edxorg` command; `__main__.py` runs it for `python -m edxorg`;
- `samples`: one invented university;
- `defs`: what `dg scaffold defs` adds.

`docs/architecture.md` has the picture.
"""

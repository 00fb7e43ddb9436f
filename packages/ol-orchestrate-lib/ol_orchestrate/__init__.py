"""Code that MIT Open Learning's Dagster code locations share.

- `assets`, `io_managers`, `resources`, `partitions`: what locations put into their definitions;
- `lib`: what needs no Dagster;
- `landing_zone.py`: the landing zone and the source bucket of a run;
- `landing`: from an output to its object and its record;
- `failures.py`: errors as Dagster's failures; `each_alone.py`: work on partitions that fail one by one;
  `failed_partitions.py`: the asset check of failed partitions; `alerts.py`: the sensor that tells of failures;
- `automation.py`: conditions under which assets run by themselves; `course_automation.py`: the sensor that evaluates
  them; `described.py`: descriptions and columns of assets;
- `console_links.py`: links from the Dagster UI to objects;
- `error_reports.py`: reports of failed runs to Sentry;
- `copy_runs.py`: runs that keep reconciled copies; `runs_under_way.py`: the runs that sensors wait for;
  `dagster_tags.py`: names of Dagster's own tags of runs; `long_tags.py`: values of any length in tags;
- `location_names.py`: names of a location's definitions; `asset_keys.py`: from names to asset keys;
- `testing`: servers for tests.
"""

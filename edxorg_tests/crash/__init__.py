"""Kills jobs in the middle, runs them again, and compares with undisturbed runs: `python -m edxorg_tests.crash`.

- `__main__.py`: the command.
- `engine.py`: kills, runs again, and counts the differences.
- `tried_jobs.py`: the jobs, each with its inputs and runs.
- `trial.py`: the folder of a job, in which it runs in a process of its own; `places.py`: its landing zone, in a folder
  or on S3, and what is in it.
- `switch.py`: counts what a run does, in all of its processes, and kills at a count; `servers.py`: S3 and the Discovery
  API in a process of their own, which does the same with requests.
"""

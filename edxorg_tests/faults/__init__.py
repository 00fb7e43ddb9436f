"""Faults of stores, Vault and the API, put between a job and its servers: `python -m edxorg_tests.faults`.

- `kinds.py`: the kinds of faults; `proxies.py`: stand before the servers, count requests, and disturb some;
- `trials.py`: the jobs, each with its servers, and what they leave; `full_disk.py`: a disk without room;
- `rounds.py`: one fault in one job, and the verdict; `patience.py`: small time-outs, here and in worker processes.
"""

"""From an archive of course exports to objects in the landing zone, and an report of every member.

- `ingest.py`: reads the archive in order and hands its members to worker processes;
- `worker.py`: what a worker process does with one member: convert, decide, write;
- `report.py`: what became of each member, and the sum.
"""

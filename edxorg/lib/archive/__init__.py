"""Delivers the members of an archive to the landing zone, and reports the outcome of each.

- `ingestion.py` reads the archive in order, and decides what its members become;
- `member_sender.py` sends members to worker processes, and takes in their results;
- `member_conversion.py` converts one member into the objects that it becomes;
- `member_writer.py` does that in a worker process, decides which objects to write, and writes them;
- `column_changes.py` names the columns of a table that came or went;
- `ingest_report.py` counts the outcomes;
- `pending.py` keeps on disk the results that are still to be recorded;
- `marks.py` and `reconciling.py` make the landing zone and the records agree at the end of a run.
"""

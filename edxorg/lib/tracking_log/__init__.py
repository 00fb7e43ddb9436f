"""Normalizes tracking logs: a day of JSON lines in, the same events with one set of keys out, all values as text.

The rules for a line:

- It is one JSON object: the output has one for it, in the same order, with all top-level keys of the day in the order
  of their first appearance. A key that the line lacks is `null`, and `null` stays so. A string stays the same string;
  any other value becomes a string of its own JSON text, digit for digit, with each `null` inside it.
- Its `time` becomes `YYYY-MM-DD HH:MM:SS.ffffff` in UTC. An event without `time` is delivered without one; one with an
  unreadable time (`null`, too) is rejected.
- A byte order mark before the object is dropped. So are NUL bytes (`copytruncate` of logrotate leaves them) and the
  prefix of syslog or a container's log, and the lines that had them are counted.
- Anything else is rejected with its number, a reason and its text, and an empty line, or one of white space, is
  counted as blank.
- A line over 16 MiB, or whose output would be, is rejected; a line over 16 MiB in the input is kept in a file of its
  own.
- A line that would make more than 500 keys, or brings one of over 256 bytes, is rejected; its keys do not count.

`docs/tracking-logs.md` has examples.

- `normalize.py`: one pass over a log; `log_blocks.py`: cuts it; `normalize_block.py`: a worker's part of the pass;
- `fast_path.py`: reads lines that are alike; `exact_path.py`: reads any line; `event_time.py`: the time of an event;
- `log_output.py`: the lines of the output, and its gzip; `log_rejects.py`: the lines that are set aside;
- `log_report.py`: the counts, and the limits that end the reading of files that are no log.
"""

from edxorg.lib.tracking_log.log_report import LogReport, LogResult
from edxorg.lib.tracking_log.normalize import NormalizedLog, normalize_log

__all__ = ["LogReport", "LogResult", "NormalizedLog", "normalize_log"]

"""Worker processes for work that holds the interpreter's lock: hashing short rows, parsing, compressing.

A worker is a fresh interpreter that imports only the module of the function it is given. The standard library's
pools are no choice here: a forked child inherits Dagster's threads and connections, and a spawned one imports the
parent's main program again, which for a Dagster run means seconds and 70 MB a worker.

Tasks travel over a socket pair as pickles. A worker ends when its parent does, whatever ended that one, since its
socket then reads as closed.

- `pool.py`: the side of the parent; `serving.py`: the side of a worker; `frames.py`: the bytes between them.
"""

from edxorg.lib.workers.pool import MAX_UNANSWERED_TASKS, MAX_WORKERS, BlockStream, WorkerDiedError, WorkerPool
from edxorg.lib.workers.serving import Deferred, TruncatedStreamError

__all__ = [
    "MAX_UNANSWERED_TASKS",
    "MAX_WORKERS",
    "BlockStream",
    "Deferred",
    "TruncatedStreamError",
    "WorkerDiedError",
    "WorkerPool",
]

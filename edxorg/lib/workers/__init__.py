"""Worker processes for work that holds the interpreter's lock: hashing short rows, parsing, compressing.

A worker is a fresh interpreter that imports only the module of the function it is given. The pools of other
libraries were measured and are no choice here. A forked child inherits Dagster's threads and connections.
`concurrent.futures` (spawned, with an empty main module) and `loky` take as much memory, but cannot stream blocks to
one worker, cost the parent 2.5 times the processor time for a task of 100 KB, and their workers outlive a parent that
was killed.

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

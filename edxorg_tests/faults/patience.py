"""Small time-outs, so that a server that never answers costs a second, here and in worker processes."""

from __future__ import annotations

from ol_orchestrate.lib import retrying, vault_client
from ol_orchestrate.lib.stores import cloud, gcs_store, s3_store

SECONDS = 1.0
"""For an answer; a real one takes some milliseconds."""

_IN_WORKERS = "from edxorg_tests.faults.patience import shorten; shorten(); "


def shorten() -> None:
    """Shorten all waiting for stores and Vault in this process."""
    retrying.PAUSE = 0.02
    options = {**cloud.CLIENT_OPTIONS, "connect_timeout": "1s", "read_timeout": f"{SECONDS:.0f}s", "allow_http": True}
    for module in (s3_store, gcs_store):
        module.SECONDS_TO_ANSWER = module.SECONDS_TO_CONNECT = SECONDS  # type: ignore[attr-defined]
        module.PATIENCE = 2 * SECONDS  # type: ignore[attr-defined]
        module.CLIENT_OPTIONS = options  # type: ignore[attr-defined]
    gcs_store.PAUSE = 0.02  # type: ignore[attr-defined]
    gcs_store.TIMEOUT = gcs_store.TIMEOUT_OF_QUESTIONS = (SECONDS, SECONDS)  # type: ignore[assignment]
    vault_client.TIMEOUT = (SECONDS, SECONDS)  # type: ignore[assignment]


def shorten_all() -> None:
    """Shorten all waiting, that of worker processes and of Dagster's own retries too."""
    import dagster as dg  # noqa: PLC0415 - workers need none of these

    from edxorg.lib.workers import pool  # noqa: PLC0415
    from ol_orchestrate.lib.openedx_api.transport import Timeouts  # noqa: PLC0415

    shorten()
    Timeouts.__init__.__defaults__ = (SECONDS, SECONDS, 3 * SECONDS)
    dg.RetryPolicy.calculate_delay = lambda *_: 0  # type: ignore[method-assign]
    path, work = pool._START.split("from edxorg", 1)  # noqa: SLF001
    pool._START = f"{path}{_IN_WORKERS}from edxorg{work}"  # noqa: SLF001

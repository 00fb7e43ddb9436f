"""What runs write into Dagster's database, on Postgres."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import dagster as dg

from edxorg_tests.support.postgres import running_postgres
from ol_orchestrate import long_tags
from ol_orchestrate.landing.course_outputs import more_courses, tags_of_courses

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_of_a_thousand_courses_is_stored(tmp_path: Path) -> None:
    """Random names, since Postgres packs what it puts into an index."""
    courses = [f"Org-{secrets.token_hex(50)}-2024|prod" for _ in range(1000)]

    @dg.job
    def job() -> None:
        pass

    with running_postgres() as server:
        url = f"postgresql+psycopg2://{server.user}:{server.password}@127.0.0.1:{server.port}/postgres"
        (tmp_path / "dagster.yaml").write_text(
            f"telemetry:\n  enabled: false\nstorage:\n  postgres:\n    postgres_url: {url}\n"
        )
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            run_id = instance.create_run_for_job(job, tags=tags_of_courses(courses)).run_id
            instance.add_run_tags(run_id, long_tags.split("failed", dict.fromkeys(courses, "no export")))
            run = instance.get_run_by_id(run_id)
    assert run is not None
    assert more_courses(run.tags) == courses
    assert long_tags.joined("failed", run.tags) == dict.fromkeys(courses, "no export")

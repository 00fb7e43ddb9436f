"""Several commands, and killed ones, in one home of Dagster: each is a process of its own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from edxorg.commands.console import progress_bar
from edxorg.commands.homes import (
    COMMAND,
    COMMANDS,
    CONFIGURATION,
    EARLIER_CONFIGURATIONS,
    dagster_instance,
    make_storage,
)
from edxorg.commands.runs import run_job
from edxorg.lib.progress import RunObserver, observed_by
from edxorg.samples.sample_archive import write_sample_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARCHIVES = ("mitx-2024-01-24.tar.gz", "mitx-2024-01-31.tar.gz")
SECONDS = 240


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working folder with two archives, the first of which takes a while after its first object."""
    for name, courses in zip(ARCHIVES, (40, 5), strict=True):
        write_sample_archive(tmp_path / name, courses=courses, rows_per_course=1500, seed=0)
    return tmp_path


def ingest(place: Path, archive: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edxorg", "ingest", "archive", archive, "--landing-zone", str(place / "lake")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "DAGSTER_HOME": str(place / "home")}
    return subprocess.Popen(  # noqa: S603
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out + err


def wait_for_objects(place: Path, process: subprocess.Popen[str]) -> None:
    while not any((place / "lake").rglob("*.tsv")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@contextmanager
def instance_of(place: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(place / "home")) as instance:
        yield instance


def unfinished(place: Path) -> list[Path]:
    return list((place / "lake" / ".unfinished").iterdir())


def test_two_archives_at_once_go_one_after_the_other(place: Path) -> None:
    processes = [ingest(place, archive) for archive in ARCHIVES]
    outcomes = [outcome(process) for process in processes]
    assert [code for code, _ in outcomes] == [0, 0], outcomes
    with instance_of(place) as instance:
        times = []
        for run in instance.get_runs():
            log = instance.all_logs(run.run_id)
            kinds = {entry.dagster_event.event_type_value: entry.timestamp for entry in log if entry.dagster_event}
            times.append((kinds["STEP_START"], kinds["STEP_SUCCESS"]))
    (_, first_end), (second_start, _) = sorted(times)
    assert second_start >= first_end
    assert unfinished(place) == []
    assert list((place / "home" / COMMANDS).iterdir()) == []


def test_after_a_kill_the_command_works_again_at_once_and_the_killed_run_has_failed(place: Path) -> None:
    killed = ingest(place, ARCHIVES[0])
    wait_for_objects(place, killed)
    killed.kill()
    killed.communicate()
    with instance_of(place) as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.STARTED
        of_the_user = instance.create_run_for_job(noop, tags={}, status=dg.DagsterRunStatus.STARTED)
    code, said = outcome(ingest(place, ARCHIVES[0]))
    assert code == 0, said
    with instance_of(place) as instance:
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status is dg.DagsterRunStatus.FAILURE
        assert COMMAND in ended.tags
        messages = [entry.dagster_event.message for entry in instance.all_logs(run.run_id) if entry.dagster_event]
        assert any("command of this run was killed" in (message or "") for message in messages)
        left = instance.get_run_by_id(of_the_user.run_id)
        assert left is not None
        assert left.status is dg.DagsterRunStatus.STARTED
        assert instance.event_log_storage.get_concurrency_info("edxorg_archive").claimed_slots == []
    assert list((place / "home" / COMMANDS).iterdir()) == []


@dg.job
def noop() -> None: ...


@dg.op(pool="edxorg_archive")
def one_at_a_time() -> None: ...


@dg.job
def waiting_job() -> None:
    one_at_a_time()


class Listener(RunObserver):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def waiting(self, reason: str | None) -> None:
        self.told.append(reason)


def test_where_there_is_no_bar_a_command_says_in_a_line_that_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("mitx-2024-01-31.tar.gz") as bar:
        bar.waiting("waits for another run")
        bar.waiting(None)
    assert capsys.readouterr().err == "mitx-2024-01-31.tar.gz: waits for another run\n"


@pytest.mark.parametrize("configuration", EARLIER_CONFIGURATIONS)
def test_in_a_home_of_an_earlier_version_archives_wait_for_each_other_from_now_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str
) -> None:
    assert configuration_after_a_command(tmp_path, monkeypatch, configuration) == CONFIGURATION


def test_an_edited_configuration_of_a_home_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = "telemetry:\n  enabled: false\nretention:\n  schedule:\n    purge_after_days: 90\n"
    assert configuration_after_a_command(tmp_path, monkeypatch, edited) == edited


def configuration_after_a_command(home: Path, monkeypatch: pytest.MonkeyPatch, configuration: str) -> str:
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    (home / "dagster.yaml").write_text(configuration)
    with dagster_instance() as instance:
        limit = instance.event_log_storage.get_pool_config().default_pool_limit
    written = (home / "dagster.yaml").read_text()
    assert limit == (1 if written == CONFIGURATION else None)
    return written


OPEN_WHEN_TOLD = """
import sys
import dagster
from edxorg.commands.homes import dagster_instance
print("ready", flush=True)
sys.stdin.readline()
with dagster_instance() as instance:
    instance.add_dynamic_partitions("files", sys.argv[1:])
"""


def test_first_commands_at_once_share_a_home_that_has_only_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(CONFIGURATION)
    names = ["a", "b", "c", "d"]
    outcomes = told_at_once(tmp_path, OPEN_WHEN_TOLD, names)
    assert [code for code, _ in outcomes] == [0] * len(names), outcomes
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert sorted(instance.get_dynamic_partitions("files")) == names


def told_at_once(home: Path, script: str, names: list[str]) -> list[tuple[int, str]]:
    """Run a script once for each name, telling all of them to go on when all are ready; return how they ended."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DAGSTER_HOME": str(home)}
    commands = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", script, name],
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for command in commands:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
    for command in commands:
        assert command.stdin is not None
        command.stdin.write("\n")
        command.stdin.flush()
    return [outcome(command) for command in commands]


RUN_WHEN_TOLD = '''
import glob, os, sys, time
import dagster as dg
import sqlalchemy
from edxorg.commands.homes import dagster_instance
from edxorg.commands.runs import run_job

@dg.op(pool="edxorg_archive")
def alone():
    held = os.open("held", os.O_CREAT | os.O_EXCL)
    time.sleep(1)
    os.close(held)
    os.unlink("held")

@dg.job
def alone_job():
    alone()

@sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
def both_at_once(connection, cursor, statement, *_):
    """Both runs read before either of them writes, if nothing prevents that."""
    if statement.startswith(("INSERT INTO pending_steps", "UPDATE concurrency_slots SET run_id")):
        step = statement[:6]
        open(f"{step}-{os.getpid()}", "w").close()
        until = time.monotonic() + 3
        while len(glob.glob(f"{step}-*")) < 2 and time.monotonic() < until:
            time.sleep(0.01)

with dagster_instance() as instance:
    print("ready", flush=True)
    sys.stdin.readline()
    print(run_job(alone_job, instance))
'''


def test_runs_that_begin_at_the_same_moment_go_one_after_the_other(tmp_path: Path) -> None:
    commands = told_at_once(tmp_path, RUN_WHEN_TOLD, ["a", "b"])
    assert commands == [(0, "[]\n")] * 2


def test_a_home_whose_storage_is_elsewhere_gets_no_tables(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("storage:\n  postgres:\n    postgres_url: postgresql://db.example/dagster\n")
    make_storage(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dagster.yaml"]


def test_a_command_that_waits_for_another_goes_on_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with dagster_instance() as instance:
        with (tmp_path / "first").open("wb") as of_first:
            fcntl.flock(of_first, fcntl.LOCK_EX)
            (tmp_path / "first").rename(tmp_path / "home" / COMMANDS / "first")
            first = instance.create_run_for_job(noop, tags={COMMAND: "first"}, status=dg.DagsterRunStatus.STARTED)
            pools = instance.event_log_storage
            pools.initialize_concurrency_limit_to_default("edxorg_archive")
            assert pools.claim_concurrency_slot("edxorg_archive", first.run_id, "step").is_claimed
            reasons: list[list[str]] = []
            observer = Listener()

            def run() -> None:
                with observed_by(observer):
                    reasons.append(run_job(waiting_job, instance))

            waiting = threading.Thread(target=run, daemon=True)
            waiting.start()
            waiting.join(4)
            assert waiting.is_alive(), "it waits for its turn"
            told = f"waits for run {first.run_id}, as the pool edxorg_archive is full"
            assert observer.told == [told]
        # A killed process holds no lock.
        waiting.join(60)
        assert reasons == [[]]
        assert observer.told == [told, None]
        ended = instance.get_run_by_id(first.run_id)
        assert ended is not None
        assert ended.status is dg.DagsterRunStatus.FAILURE


OTHER_RUN = "0b3c0ac4-6a1d-4f0f-8a2f-0c3f5a1c7d11"


def test_a_command_says_that_it_waits_also_where_another_run_was_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with dagster_instance() as instance:
        pools = instance.event_log_storage
        pools.initialize_concurrency_limit_to_default("edxorg_archive")

        @dg.op(out=dg.Out(dg.Nothing))
        def another_run_is_faster() -> None:
            assert pools.claim_concurrency_slot("edxorg_archive", OTHER_RUN, "step").is_claimed

        @dg.op(ins={"start": dg.In(dg.Nothing)}, pool="edxorg_archive")
        def one_at_a_time_after_that() -> None: ...

        @dg.job
        def overtaken_job() -> None:
            one_at_a_time_after_that(another_run_is_faster())

        class LetsGo(Listener):
            def waiting(self, reason: str | None) -> None:
                super().waiting(reason)
                pools.free_concurrency_slots_for_run(OTHER_RUN)

        observer = LetsGo()
        with observed_by(observer):
            assert run_job(overtaken_job, instance) == []
        assert observer.told[0] == f"waits for run {OTHER_RUN}, as the pool edxorg_archive is full"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupted", "terminated"])
def test_a_command_that_is_stopped_leaves_nothing_unfinished_and_no_run_under_way(
    place: Path, number: signal.Signals
) -> None:
    stopped = ingest(place, ARCHIVES[0])
    wait_for_objects(place, stopped)
    stopped.send_signal(number)
    code, said = outcome(stopped)
    assert code == 128 + number
    assert [line for line in said.splitlines() if not line.startswith("Made the folder ")] == ["Stopped."]
    assert unfinished(place) == []
    with instance_of(place) as instance:
        (run,) = instance.get_runs()
        assert run.is_finished
        assert instance.event_log_storage.get_concurrency_info("edxorg_archive").claimed_slots == []
    assert list((place / "home" / COMMANDS).iterdir()) == []

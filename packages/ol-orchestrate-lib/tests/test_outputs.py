"""A run's own folder: private, gone afterwards, and swept after a crash."""

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ol_orchestrate.lib.errors import AccessRefusedError
from ol_orchestrate.resources.outputs import DailyResultsDir, SimpleResultsDir

RUN_OF_ANOTHER_PROCESS = """
import sys
from ol_orchestrate.resources.outputs import SimpleResultsDir
path = SimpleResultsDir(parent=sys.argv[1]).path
(path / "half-a-report").write_bytes(b"1")
print(path, flush=True)
sys.stdin.read()
"""


def execute(results_dir: SimpleResultsDir, *, fail: bool = False) -> Path:
    """Run a job that writes a file into the folder; return where the folder was."""
    seen: list[Path] = []

    @dg.op(required_resource_keys={"results_dir"})
    def write(context: dg.OpExecutionContext) -> None:
        folder = context.resources.results_dir.path
        (folder / "report.csv").write_bytes(b"1")
        seen.append(folder)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert context.resources.results_dir.path == folder
        if fail:
            raise ValueError("broken")

    @dg.job(resource_defs={"results_dir": results_dir})
    def job() -> None:
        write()

    result = job.execute_in_process(
        raise_on_error=False, run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    )
    assert result.success is not fail
    return seen[0]


@pytest.mark.parametrize("fail", [False, True])
def test_the_folder_is_private_and_gone_after_the_run(tmp_path: Path, *, fail: bool) -> None:
    folder = execute(SimpleResultsDir(parent=str(tmp_path)), fail=fail)
    assert tmp_path in folder.parents
    assert not folder.exists()


def test_a_run_that_needs_no_folder_makes_none(tmp_path: Path) -> None:
    @dg.op(required_resource_keys={"results_dir"})
    def nothing() -> None: ...

    @dg.job(resource_defs={"results_dir": SimpleResultsDir(parent=str(tmp_path))})
    def job() -> None:
        nothing()

    assert job.execute_in_process(run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}).success
    assert list(tmp_path.iterdir()) == []


def test_a_daily_folder_has_the_day_in_its_name(tmp_path: Path) -> None:
    assert execute(DailyResultsDir(parent=str(tmp_path))).name.startswith(f"{datetime.now(UTC):%Y-%m-}")


def test_folders_of_dead_processes_are_swept_and_others_are_spared(tmp_path: Path) -> None:
    dead, living = (
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", RUN_OF_ANOTHER_PROCESS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    try:
        assert dead.stdout is not None
        assert living.stdout is not None
        left, kept = Path(dead.stdout.readline().strip()), Path(living.stdout.readline().strip())
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert (left / "half-a-report").exists()
        execute(SimpleResultsDir(parent=str(tmp_path)))
        assert not left.exists()
        assert (kept / "half-a-report").exists()
    finally:
        dead.communicate()
        living.communicate()


def test_threads_share_one_folder(tmp_path: Path) -> None:
    results_dir = SimpleResultsDir(parent=str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: results_dir.path, range(8)))
    assert len(folders) == 1
    results_dir.teardown_after_execution(dg.build_init_resource_context())
    assert not folders.pop().exists()


def test_a_folder_that_is_just_being_made_is_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = SimpleResultsDir(parent=str(tmp_path)), SimpleResultsDir(parent=str(tmp_path))
    make = tempfile.mkdtemp
    with ThreadPoolExecutor(1) as pool:

        def make_while_another_run_starts(prefix: str, dir: Path) -> str:  # noqa: A002 - as in tempfile
            monkeypatch.undo()
            made = make(prefix=prefix, dir=dir)
            other = pool.submit(lambda: second.path)
            wait([other], timeout=0.5)
            return made

        monkeypatch.setattr(tempfile, "mkdtemp", make_while_another_run_starts)
        folder = first.path
    assert folder.exists()
    assert second.path.exists()
    for each in (first, second):
        each.teardown_after_execution(dg.build_init_resource_context())


@pytest.mark.parametrize("kind", ["open to others", "a link elsewhere"])
def test_a_folder_that_other_users_can_reach_is_refused(tmp_path: Path, kind: str) -> None:
    base = tmp_path / f"ol-orchestrate-results-{os.getuid()}"
    if kind == "open to others":
        base.mkdir()
        base.chmod(0o755)
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        base.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccessRefusedError, match=str(base)):
        _ = SimpleResultsDir(parent=str(tmp_path)).path

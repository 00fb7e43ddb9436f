"""The memory that the uploads of several threads and processes share."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ol_orchestrate.lib.stores import StoreAccess, UploadBudget, open_store
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, serving


def test_a_holder_gets_what_is_free_and_waits_only_for_the_first_part() -> None:
    with UploadBudget(3) as budget:
        with budget.take(2) as first, budget.take(4) as second:
            assert (first, second) == (2, 1)
        with budget.take(4) as again:
            assert again == 3


def test_a_part_comes_back_when_an_upload_fails() -> None:
    with UploadBudget(1) as budget:
        with pytest.raises(ValueError, match="broken"), budget.take():
            raise ValueError("broken")
        with budget.take() as held:
            assert held == 1


def test_a_child_process_shares_the_budget() -> None:
    program = (
        "import pickle, sys\n"
        "budget = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "with budget.take(4) as held:\n"
        "    print(held, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with UploadBudget(2) as budget:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", program, pickle.dumps(budget).hex()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=budget.descriptors,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"2\n"
        waited = threading.Event()

        def take() -> None:
            with budget.take():
                waited.set()

        thread = threading.Thread(target=take)
        thread.start()
        assert not waited.wait(0.2), "the child holds all parts"
        child.communicate()
        thread.join(10)
        assert waited.is_set()


def test_uploads_at_one_time_send_no_more_parts_than_the_budget_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    store = ScriptedS3(keep=False)
    lock = threading.Lock()
    now: list[int] = []
    most = 0

    def slow(request: Request) -> Response:
        nonlocal most
        if request.method != "PUT" or len(request.body) <= 1 << 20:
            return store(request)
        with lock:
            now.append(1)
            most = max(most, len(now))
        time.sleep(0.2)
        with lock:
            now.pop()
        return store(request)

    with serving(slow) as server, UploadBudget(3) as budget, ThreadPoolExecutor(8) as threads:
        access = StoreAccess(aws_endpoint_url=server.url, aws_region="us-east-1")
        lake = open_store("s3://bucket/lake", access, budget=budget)
        sizes = [20 << 20, 20 << 20, 5 << 20, 5 << 20, 5 << 20, 10, 10]
        contents = [os.urandom(size) for size in sizes]
        for done in [threads.submit(lake.write, f"{n}", content) for n, content in enumerate(contents)]:
            done.result()
    assert sorted(size for size, _, _ in store.objects.values()) == sorted(sizes)
    assert 1 < most <= 3, "a busy machine may send fewer, but never more"

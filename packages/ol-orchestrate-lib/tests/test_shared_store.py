"""A store that worker processes write to, by what their parent has found out."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.errors import AccessRefusedError
from ol_orchestrate.lib.stores import StoreAccess, shared_store
from ol_orchestrate.lib.stores.asking import answering
from ol_orchestrate.lib.stores.s3_store import S3Store
from ol_orchestrate.testing.scripted import ScriptedS3, serving

if TYPE_CHECKING:
    from ol_orchestrate.lib.stores import SharedStore
    from ol_orchestrate.testing.servers import S3Server

HEAVY = ("boto3", "botocore", "dagster", "fsspec", "google", "pydantic", "requests", "upath", "urllib3")
"""Packages of which each would take megabytes in each worker."""

WRITE = """
import pickle, sys
store = pickle.loads(bytes.fromhex(sys.argv[1])).open()
store.write("small", b"1")
store.write("large", bytes(6 << 20))
assert store.find("small").size == 1
assert [each.size for each in store.list_folder("folder")] == []
print(sorted(sys.modules.keys() & set(sys.argv[2:])))
"""


def write_in_a_child(shared: SharedStore) -> str:
    child = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", WRITE, pickle.dumps(shared).hex(), *HEAVY],
        pass_fds=shared.descriptors,
        capture_output=True,
        text=True,
        check=False,
        # A child that looked for credentials itself would find none.
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
    )
    return child.stdout + child.stderr


def test_a_child_writes_to_s3_by_its_parents_credentials_and_loads_nothing_heavy(
    guarded_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in guarded_s3_server.environment.items():
        monkeypatch.setenv(name, value)
    with shared_store("s3://bucket/shared", StoreAccess(), parts=2) as shared:
        assert write_in_a_child(shared) == "[]\n"


def test_a_child_writes_to_a_store_that_asks_for_no_credentials() -> None:
    script = ScriptedS3()
    with serving(script) as server:
        access = StoreAccess(aws_endpoint_url=server.url, aws_region="us-east-1", unsigned=True)
        with shared_store("s3://bucket/shared", access, parts=2) as shared:
            assert shared.descriptors == shared.budget.descriptors
            assert write_in_a_child(shared) == "[]\n"
    assert {"/bucket/shared/small", "/bucket/shared/large"} <= set(script.objects)


def test_credentials_that_are_missing_are_told_before_any_child_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with (
        pytest.raises(AccessRefusedError, match="no AWS credentials were found"),
        shared_store("s3://bucket/shared", StoreAccess(), parts=1),
    ):
        pass


def test_a_child_asks_its_parent_again_for_credentials_that_were_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    numbers = count()
    monkeypatch.setattr(S3Store, "_keys", lambda _: {"access_key_id": f"renewed-{next(numbers)}"})
    with serving(ScriptedS3()) as server:
        access = StoreAccess(aws_endpoint_url=server.url, aws_region="us-east-1")
        with shared_store("s3://bucket/shared", access, parts=1) as shared:
            assert shared.connection is not None
            assert shared.connection.keys is not None
            asked = pickle.loads(pickle.dumps(shared.connection.keys))  # noqa: S301 - our own
            assert [asked()["access_key_id"] for _ in range(2)] == ["renewed-0", "renewed-1"]


def test_many_ask_at_one_time_and_each_is_answered() -> None:
    numbers = count()
    with answering(lambda: next(numbers)) as question, ThreadPoolExecutor(32) as threads:
        answers = [each.result(30) for each in [threads.submit(question) for _ in range(500)]]
    assert sorted(answers) == list(range(500))


def test_an_error_of_the_parent_is_raised_where_it_was_asked() -> None:
    def refuse() -> None:
        raise AccessRefusedError("the login has expired")

    with answering(refuse) as question, pytest.raises(AccessRefusedError, match="the login has expired"):
        question()


def test_answers_that_nobody_takes_any_more_do_not_keep_the_parent() -> None:
    def end() -> None:
        with answering(lambda: bytes(10_000)) as question:
            for _ in range(1_000):
                os.write(question.descriptor, b"?")

    ends = threading.Thread(target=end, daemon=True)
    ends.start()
    ends.join(20)
    assert not ends.is_alive()

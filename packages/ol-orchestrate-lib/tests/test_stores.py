"""The behavior of every object store, on a folder, on two S3 servers and on Cloud Storage."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from io import BytesIO, RawIOBase
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest

from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    BadInputError,
    MissingObjectError,
    PipelineError,
    SettingsError,
    SourceGoneError,
)
from ol_orchestrate.lib.stores import ObjectStore, StoreAccess, join_url, open_store, split_url
from ol_orchestrate.lib.stores import folder_store as folder_module
from ol_orchestrate.lib.stores.path import StorePath

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from ol_orchestrate.testing.servers import S3Server

LARGE = 20 << 20
"""More than one part of an upload, and more than one block of a download."""


@pytest.fixture(params=["folder", "moto", "rclone", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store below a prefix, empty."""
    match request.param:
        case "folder":
            return open_store(f"file://{tmp_path}/store")
        case "gcs":
            for name, value in request.getfixturevalue("gcs_server").environment.items():
                monkeypatch.setenv(name, value)
            return open_store(f"gs://{request.getfixturevalue('gcs_bucket')}/some/prefix")
        case _:
            server = request.getfixturevalue("moto_server" if request.param == "moto" else "rclone_s3_server")
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            bucket = f"bucket-{os.urandom(6).hex()}"
            boto3.client("s3").create_bucket(Bucket=bucket)
            return open_store(f"s3://{bucket}/some/prefix")


def content(store: ObjectStore, key: str) -> bytes:
    return b"".join(store.read(key))


def test_an_object_that_was_deleted_while_it_was_read_is_gone_for_good(store: ObjectStore) -> None:
    store.write("table", b"id\n1\n")
    reader = store.read("table")
    store.delete("table")
    with pytest.raises(SourceGoneError, match="deleted while it was read") as caught:
        list(reader)
    assert not caught.value.is_transient


class BreakingFile(RawIOBase):
    """A file whose disk fails in the middle."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size - self._left

    def seek(self, offset: int, whence: int = 0) -> int:
        self._left = self._size - offset if whence == 0 else -offset
        return self.tell()

    def read(self, size: int = -1) -> bytes:
        if self._left < self._size // 2:
            raise OSError(5, "Input/output error")
        size = min(size, self._left) if size >= 0 else self._left
        self._left -= size
        return bytes(size)


class TestEveryStore:
    def test_what_is_written_is_found_listed_and_read(self, store: ObjectStore) -> None:
        store.write("a/b c/ü+.tsv", b"some bytes")
        found = store.find("a/b c/ü+.tsv")
        assert found is not None
        assert (found.key, found.size) == ("a/b c/ü+.tsv", 10)
        assert [each.key for each in store.list()] == ["a/b c/ü+.tsv"]
        assert content(store, "a/b c/ü+.tsv") == b"some bytes"

    def test_a_folder_lists_its_own_objects_as_they_are_found(self, store: ObjectStore) -> None:
        keys = ["a/b c/1.tsv", "a/b c/2.tsv"]
        for key in (*keys, "a/b c/deeper/3.tsv", "a/b c4.tsv", "a/5.tsv"):
            store.write(key, key.encode())
        listed = {each.key: (each.size, each.modified.timestamp()) for each in store.list_folder("a/b c")}
        found = [each for each in map(store.find, keys) if each]
        assert listed.keys() == {each.key for each in found} == set(keys)
        for each in found:
            size, modified = listed[each.key]
            assert size == each.size
            assert abs(modified - each.modified.timestamp()) < 1
        assert store.list_folder("nothing") == []

    def test_an_empty_object_is_written_and_read(self, store: ObjectStore) -> None:
        store.write("empty", b"")
        assert content(store, "empty") == b""

    def test_a_large_file_comes_back_as_it_was(self, store: ObjectStore, tmp_path: Path) -> None:
        data = os.urandom(LARGE)
        (tmp_path / "large").write_bytes(data)
        with (tmp_path / "large").open("rb") as file:
            store.write("large", file)
        assert hashlib.sha256(content(store, "large")).digest() == hashlib.sha256(data).digest()

    def test_what_is_not_there_is_not_found(self, store: ObjectStore) -> None:
        assert store.find("nothing") is None
        assert store.find("nothing", with_metadata=True) is None
        assert list(store.list("nothing/")) == []
        with pytest.raises(MissingObjectError, match="nothing"):
            store.read("nothing")

    def test_a_folder_of_objects_is_no_object(self, store: ObjectStore) -> None:
        store.write("folder/object", b"1")
        assert store.find("folder") is None

    def test_an_object_is_replaced(self, store: ObjectStore) -> None:
        store.write("key", b"before")
        before = store.find("key")
        store.write("key", b"after it")
        after = store.find("key")
        assert before is not None
        assert after is not None
        assert before.version != after.version
        assert before.modified <= after.modified
        assert content(store, "key") == b"after it"

    def test_metadata_is_kept_with_the_object_and_goes_with_it(self, store: ObjectStore) -> None:
        store.write("key", b"1", metadata={"version": "abc"})
        found = store.find("key", with_metadata=True)
        assert found is not None
        assert found.metadata["version"] == "abc"
        store.write("key", b"2")
        found = store.find("key", with_metadata=True)
        assert found is not None
        assert "version" not in found.metadata

    def test_what_is_deleted_is_gone_and_nothing_beside_it(self, store: ObjectStore) -> None:
        store.write("a/key", b"1", metadata={"version": "abc"})
        store.write("a/key.more", b"2")
        store.delete("a/key")
        assert store.find("a/key") is None
        assert [each.key for each in store.list()] == ["a/key.more"]
        store.write("a/key", b"3")
        found = store.find("a/key", with_metadata=True)
        assert found is not None
        assert "version" not in found.metadata

    def test_deleting_what_is_not_there_does_nothing(self, store: ObjectStore) -> None:
        store.write("folder/object", b"1")
        store.delete("nothing")
        store.delete("folder/nothing")
        if store.url.startswith("file://"):
            store.delete("folder")
        assert content(store, "folder/object") == b"1"

    def test_listing_is_by_prefix_and_goes_over_pages(self, store: ObjectStore) -> None:
        keys = {f"many/{number:04}" for number in range(1100)} if "file://" in store.url else {"many/1", "many/2"}
        for key in keys:
            store.write(key, b"")
        store.write("manyother", b"")
        store.write("other/many/1", b"")
        assert {each.key for each in store.list("many/")} == keys
        assert {each.key for each in store.list("man")} == {*keys, "manyother"}

    def test_an_interrupted_write_leaves_no_object(self, store: ObjectStore) -> None:
        with pytest.raises((PipelineError, OSError)):
            store.write("key", cast("Any", BreakingFile(LARGE)))
        assert store.find("key") is None
        assert list(store.list()) == []

    def test_an_interrupted_write_leaves_the_object_that_was_there(self, store: ObjectStore) -> None:
        store.write("key", b"before")
        with pytest.raises((PipelineError, OSError)):
            store.write("key", cast("Any", BreakingFile(LARGE)))
        assert content(store, "key") == b"before"

    def test_a_path_streams_the_object(self, store: ObjectStore, request: pytest.FixtureRequest) -> None:
        if "rclone" in request.node.callspec.id:
            pytest.skip("rclone answers 200 where S3 answers 206: to a range that happens to be the whole object")
        store.write("some/object.txt", b"line one\nline two\n")
        path = StorePath.of(store, "some/object.txt")
        assert str(path).removeprefix("file://") == join_url(store.url, "some/object.txt").removeprefix("file://")
        assert path.name == "object.txt"
        assert path.exists()
        assert not StorePath.of(store, "some/other.txt").exists()
        with path.open("rb") as file:
            assert file.readline() == b"line one\n"
            assert file.read() == b"line two\n"
        assert path.read_bytes() == b"line one\nline two\n"
        assert path.store is store
        assert path.key == "some/object.txt"
        sibling = path.parent / "sibling.txt"
        store.write("some/sibling.txt", b"1")
        assert isinstance(sibling, StorePath)
        assert sibling.key == "some/sibling.txt"
        assert sibling.read_text() == "1"
        assert {each.name for each in path.parent.iterdir()} == {"object.txt", "sibling.txt"}

    def test_a_path_is_not_pickled(self, store: ObjectStore) -> None:
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(StorePath.of(store, "key"))

    @pytest.mark.parametrize("key", ["../up", "a/../../b", "/absolute", "a//b", "a/./b", "a\nb", "", ".hidden", "a/.b"])
    def test_a_key_that_leads_elsewhere_or_is_hidden_is_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(BadInputError):
            store.write(key, b"1")
        with pytest.raises(BadInputError):
            store.delete(key)
        with pytest.raises(BadInputError):
            store.find(key)
        with pytest.raises(BadInputError):
            store.read(key)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket", ("s3", "bucket", "")),
        ("s3://bucket/a/b/", ("s3", "bucket", "a/b")),
        ("gs://bucket/COLD", ("gs", "bucket", "COLD")),
        ("file:///tmp/x/", ("file", "", "/tmp/x")),  # noqa: S108 - only a name here
        ("file:///", ("file", "", "/")),
    ],
)
def test_each_url_opens_its_store(url: str, parts: tuple[str, str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["", "bucket", "http://x/y", "s3://", "file://relative", "s3:/bucket", "/tmp"])  # noqa: S108
def test_urls_of_no_store_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadInputError, match="s3://bucket/prefix"):
        open_store(url)


def test_the_endpoint_of_a_profile_is_used(
    moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(f"[profile there]\nregion = us-east-1\nendpoint_url = {moto_server.endpoint_url}\n")
    credentials.write_text("[there]\naws_access_key_id = testing\naws_secret_access_key = canary-secret\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    boto3.Session(profile_name="there").client("s3").create_bucket(Bucket="profile-bucket")
    store = open_store("s3://profile-bucket", StoreAccess(aws_profile="there"))
    store.write("key", b"1")
    assert content(store, "key") == b"1"
    with StorePath.of(store, "key").open("rb") as file:
        assert file.read() == b"1"
    assert "canary-secret" not in repr(store) + repr(StorePath.of(store, "key")) + repr(
        StorePath.of(store, "key").storage_options
    )


def test_no_credentials_say_what_to_set(monkeypatch: pytest.MonkeyPatch, moto_server: S3Server) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.endpoint_url)
    with pytest.raises(AccessRefusedError, match="AWS_PROFILE"):
        open_store("s3://bucket").find("key")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [(("testing", "wrong", None), "SignatureDoesNotMatch"), (("nobody", "testing-secret", None), "InvalidAccessKeyId")],
)
def test_a_store_that_refuses_says_why_and_what_to_do(
    guarded_s3_server: S3Server, keys: tuple[str, str, None], reason: str
) -> None:
    def store(keys: tuple[str, str, None]) -> ObjectStore:
        endpoint, region = guarded_s3_server.endpoint_url, guarded_s3_server.region
        access = StoreAccess(aws_keys=keys, aws_endpoint_url=endpoint, aws_region=region)
        return open_store("s3://bucket/lake", access)

    store((guarded_s3_server.access_key_id, guarded_s3_server.secret_access_key, None)).write("key", b"1")
    refused = store(keys)
    asked: list[tuple[Callable[[], object], str]] = [
        (lambda: refused.write("key", b"2"), reason),
        (lambda: list(refused.list()), reason),
        (lambda: refused.delete("key"), reason),
        # What answers a HEAD has no text.
        (lambda: refused.find("key"), "403"),
        (lambda: refused.read("key"), "403"),
    ]
    for ask, why in asked:
        with pytest.raises(AccessRefusedError, match=rf"^s3://bucket/lake.* refuses access \({why}.*Check") as caught:
            ask()
        assert "testing-secret" not in str(caught.value)


def test_an_unknown_profile_is_named(moto_server: S3Server) -> None:
    del moto_server
    with pytest.raises(SettingsError, match="no-such-profile"):
        open_store("s3://bucket", StoreAccess(aws_profile="no-such-profile")).find("key")


def test_a_missing_bucket_is_named(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PipelineError, match="no-such-bucket"):
        open_store("s3://no-such-bucket").write("key", b"1")


def test_nothing_is_connected_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for url in ("s3://bucket", "gs://bucket", "file:///nowhere"):
        assert StorePath.of(open_store(url), "key").name == "key"


class TestFolder:
    def test_a_run_that_writes_nothing_deletes_what_a_dead_process_left(self, tmp_path: Path) -> None:
        unfinished = tmp_path / "store" / ".unfinished"
        unfinished.mkdir(parents=True)
        (unfinished / "dead").touch()
        os.utime(unfinished / "dead", (0, 0))
        store = open_store(f"file://{tmp_path}/store")
        assert store.abort_old_uploads() is None
        assert list(unfinished.iterdir()) == []
        unfinished.rmdir()
        assert store.abort_old_uploads() is None
        assert not unfinished.exists()

    def test_what_a_dead_writer_left_is_swept_and_a_living_one_is_spared(self, tmp_path: Path) -> None:
        unfinished = tmp_path / "store" / ".unfinished"
        unfinished.mkdir(parents=True)
        dead = unfinished / "dead"
        dead.write_bytes(b"half of an obj")
        os.utime(dead, (0, 0))
        with living_writer(unfinished / "living"):
            os.utime(unfinished / "living", (0, 0))
            open_store(f"file://{tmp_path}/store").write("key", b"1")
            assert sorted(path.name for path in unfinished.iterdir()) == ["living"]

    def test_a_folder_that_was_emptied_meanwhile_is_written_to_again(self, tmp_path: Path) -> None:
        store = open_store(f"file://{tmp_path}/store")
        store.write("a/b", b"1")
        shutil.rmtree(tmp_path / "store")
        store.write("a/b", b"2")
        assert (tmp_path / "store/a/b").read_bytes() == b"2"

    @pytest.mark.parametrize("umask", [0o000, 0o022])
    def test_files_and_folders_of_a_store_are_for_its_user_alone(self, tmp_path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            open_store(f"file://{tmp_path}/new/store").write("a/b/key", b"1", metadata={"version": "1"})
        finally:
            os.umask(before)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
        folders = dict.fromkeys(("new", "store", ".unfinished", "a", "b"), 0o700)
        assert modes == {**folders, "key": 0o600, ".key.metadata": 0o600}

    def test_an_existing_folder_keeps_its_mode(self, tmp_path: Path) -> None:
        (tmp_path / "store" / "a").mkdir(parents=True)
        for folder in (tmp_path / "store", tmp_path / "store" / "a"):
            folder.chmod(0o755)
        open_store(f"file://{tmp_path}/store").write("a/key", b"1")
        assert [(tmp_path / each).stat().st_mode & 0o777 for each in ("store", "store/a")] == [0o755, 0o755]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt before `with`
    def test_an_interrupt_at_any_line_leaves_nothing_unfinished(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # An interrupt at the end of `with` keeps the lock; other tests share it.
        monkeypatch.setattr(folder_module, "_opening", threading.RLock())
        unfinished = tmp_path / "store" / ".unfinished"
        interrupted = 0
        while _interrupted_at_line(interrupted, tmp_path / "store"):
            assert not unfinished.exists() or list(unfinished.iterdir()) == []
            interrupted += 1
        assert interrupted > 20
        assert b"".join(open_store(f"file://{tmp_path}/store").read("key")) == b"new"

    def test_a_file_where_a_folder_should_be_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_bytes(b"")
        with pytest.raises(PipelineError, match=str(tmp_path)):
            open_store(f"file://{tmp_path}/store").write("key", b"1")


def _interrupted_at_line(number: int, folder: Path) -> bool:
    """Write an object, and interrupt that at a line of the store's module; `False` where it has fewer lines."""
    left = number

    def interrupt(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal left
        if event == "line" and frame.f_code.co_filename == folder_module.__file__:
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        return interrupt

    store = open_store(f"file://{folder}")
    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        store.write("key", BytesIO(b"new"), metadata={"version": "1"})
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


class living_writer:  # noqa: N801 - reads like a function
    """An unfinished file that another process has locked."""

    def __init__(self, path: Path) -> None:
        program = (
            "import fcntl, sys\n"
            "file = open(sys.argv[1], 'xb')\n"
            "fcntl.flock(file, fcntl.LOCK_EX)\n"
            "print('locked', flush=True)\n"
            "sys.stdin.read()\n"
        )
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"locked\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def test_bytes_from_the_middle_of_a_file_to_its_end(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    file = BytesIO(b"skipped|kept")
    file.seek(8)
    store.write("key", file)
    assert content(store, "key") == b"kept"


@pytest.mark.parametrize("server", ["gcs_server", "moto_server"])
def test_a_missing_bucket_is_an_error_that_names_it(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in request.getfixturevalue(server).environment.items():
        monkeypatch.setenv(name, value)
    scheme = "gs" if server == "gcs_server" else "s3"
    with pytest.raises(
        MissingObjectError, match=r"^..://nowhere/COLD: there is no such bucket. Create it, or correct its name$"
    ):
        list(open_store(f"{scheme}://nowhere/COLD").list())


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.find("key"),
        lambda store: list(store.list()),
        lambda store: store.read("key"),
        lambda store: store.write("key", b""),
        lambda store: store.delete("key"),
        lambda store: store.abort_old_uploads(),
    ],
    ids=["find", "list", "read", "write", "delete", "abort"],
)
@pytest.mark.parametrize(
    ("url", "variable"), [("s3://bucket/a", "AWS_ENDPOINT_URL"), ("gs://bucket/a", "STORAGE_EMULATOR_HOST")]
)
def test_an_endpoint_with_credentials_is_refused_without_repeating_them(
    url: str, variable: str, ask: Callable[[ObjectStore], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://user:hidden@127.0.0.1:1")
    for name, value in (("REGION", "us-east-1"), ("ACCESS_KEY_ID", "testing"), ("SECRET_ACCESS_KEY", "testing-secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    told = ""
    try:
        told = str(ask(open_store(url)))
    except BadInputError as error:
        told = str(error)
    assert "hidden" not in told
    if told != "None":  # nothing is aborted on Cloud Storage
        assert re.search(rf"{variable}: the address 'http://…@127\.0\.0\.1:1'.*is refused", told)


def test_an_endpoint_that_is_no_address_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hidden@127.0.0.1 :1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(BadInputError, match="AWS_ENDPOINT_URL is no address that can be used") as caught:
        open_store("s3://bucket/a").delete("key")
    assert "hidden" not in str(caught.value)

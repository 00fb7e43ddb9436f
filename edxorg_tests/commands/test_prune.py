"""`edxorg prune` against a model of what landed over months."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from edxorg.lib.lake.pruning import find_superseded, remove
from ol_orchestrate.lib.errors import ServiceError
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from edxorg_tests.support.shell import Shell
    from ol_orchestrate.testing.servers import S3Server

DAY = 86_400

PLACES = {
    "edxorg/raw_data/db_table/auth_user/prod/MITx-1-1T2024": "tsv",
    "edxorg/raw_data/db_table/brand_new/edge/MITx-1-1T2024": "tsv",
    "edxorg/raw_data/course_xml/prod/MITx-1-1T2024": "xml.tar.gz",
    "edxorg/raw_data/forum_mongo/prod/MITx-1-1T2024": "mongo",
    "edxorg/processed_data/course_blocks/MITx-1-1T2024|prod": "json",
    "edxorg/api_data/program_metadata": "json",
}

ALWAYS_KEPT = (
    "edxorg/raw_data/tracking_logs/normalized_mitx-edx-events-2024-01-30.log.gz",
    "edxorg/processed_data/course_static_assets_manifest/prod/MITx-1-1T2024/manifest.json",
    f"edxorg/rejects/db_table/auth_user/prod/MITx-1-1T2024/{'a' * 64}.ndjson",
    f"edxorg/rejects/db_table/auth_user/prod/MITx-1-1T2024/{'b' * 64}.ndjson",
    "edxorg/reports/mitx-2024-01-31.tar.gz.html",
)


@dataclass
class Model:
    """A landing zone over the months; says what is current and when each object was last written."""

    folder: Path
    written: dict[str, int] = field(default_factory=dict)
    """Days ago, by key."""
    current: dict[str, str] = field(default_factory=dict)
    versions: int = 0

    def write(self, key: str, days_ago: int) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)
        seconds = time.time() - days_ago * DAY - 60
        os.utime(path, (seconds, seconds))
        self.written[key] = days_ago

    def live(self, rng: random.Random) -> None:
        for days_ago in sorted(rng.sample(range(200), 25), reverse=True):
            place = rng.choice(list(PLACES))
            match rng.choice(["update", "update", "revert", "same again"]):
                case "revert" if earlier := [key for key in self.written if key.startswith(f"{place}/")]:
                    self.current[place] = rng.choice(earlier)
                    self.write(self.current[place], days_ago)
                case "same again" if place in self.current:
                    pass  # equal content is not written again
                case _:
                    self.versions += 1
                    version = sha256(str(self.versions).encode()).hexdigest()
                    self.current[place] = f"{place}/{version}.{PLACES[place]}"
                    self.write(self.current[place], days_ago)

    def expected(self, keep: int) -> set[str]:
        young = {key for key, days_ago in self.written.items() if days_ago < keep}
        return young | set(self.current.values()) | set(ALWAYS_KEPT)


def stored(folder: Path) -> set[str]:
    """The keys of all objects, reports of archives included."""
    return {
        key
        for path in folder.rglob("*")
        if path.is_file() and "/." not in f"/{(key := path.relative_to(folder).as_posix())}"
    }


@pytest.mark.parametrize("seed", range(12))
def test_only_superseded_versions_go_and_only_old_ones(edxorg: Shell, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a story
    model, keep = Model(tmp_path), rng.choice([0, 30, 90])
    for number, key in enumerate(ALWAYS_KEPT):
        model.write(key, 300 + number)
    model.live(rng)
    arguments = ["--keep", f"{keep}d", "--landing-zone", str(tmp_path)]
    assert edxorg("prune", *arguments, "--dry-run")[0] == 0
    assert stored(tmp_path) == set(model.written)
    assert edxorg("prune", *arguments)[0] == 0
    assert stored(tmp_path) == model.expected(keep)


def test_prune_says_what_it_frees(edxorg: Shell, tmp_path: Path) -> None:
    model = Model(tmp_path)
    (place, extension), *_ = PLACES.items()
    for days_ago in (100, 95, 91, 1):
        model.write(f"{place}/{sha256(bytes(days_ago)).hexdigest()}.{extension}", days_ago)
    code, printed, _ = edxorg("prune", "--keep", "92d", "--landing-zone", tmp_path, "--dry-run")
    assert code == 0
    assert "2 superseded versions would be deleted, 0.0 MB" in printed
    code, printed, _ = edxorg("prune", "--keep", "92d", "--landing-zone", tmp_path)
    assert code == 0
    assert "auth_user" in printed
    assert "2 superseded versions deleted" in printed


def test_nothing_goes_while_a_run_has_not_finished(edxorg: Shell, tmp_path: Path) -> None:
    model = Model(tmp_path)
    (place, extension), *_ = PLACES.items()
    for days_ago in (100, 1):
        model.write(f"{place}/{sha256(bytes(days_ago)).hexdigest()}.{extension}", days_ago)
    model.write("edxorg/unfinished/some-run.0.json", 0)
    code, _, errors = edxorg("prune", "--keep", "0d", "--landing-zone", tmp_path)
    assert code == 1
    assert "has not finished" in errors
    assert stored(tmp_path) == set(model.written)


def test_no_more_goes_once_a_run_has_begun(tmp_path: Path) -> None:
    model = Model(tmp_path)
    for number in range(200):
        for name, days_ago in (("a", 100), ("b", 1)):
            model.write(f"edxorg/raw_data/db_table/auth_user/prod/MITx-{number}-1T2024/{name * 64}.tsv", days_ago)
    store = open_store(f"file://{tmp_path}")
    removing = remove(store, find_superseded(store, datetime.now(UTC)))
    next(removing)
    model.write("edxorg/unfinished/some-run.0.json", 0)
    with pytest.raises(ServiceError, match="has not finished"):
        list(removing)
    assert len(stored(tmp_path)) > len(model.written) - 100


def test_of_two_versions_as_new_as_each_other_none_goes(edxorg: Shell, tmp_path: Path) -> None:
    model = Model(tmp_path)
    (place, extension), *_ = PLACES.items()
    for name in "ab":
        model.write(f"{place}/{name * 64}.{extension}", 9)
        os.utime(tmp_path / f"{place}/{name * 64}.{extension}", (1, 1))
    assert edxorg("prune", "--keep", "0d", "--landing-zone", tmp_path)[0] == 0
    assert stored(tmp_path) == set(model.written)


def test_a_bucket_is_pruned_too(
    edxorg: Shell, moto_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{s3_bucket}/lake")
    place = next(iter(PLACES))
    store.write(f"{place}/{'a' * 64}.tsv", b"a")
    time.sleep(1.1)  # the server's clock has seconds
    store.write(f"{place}/{'b' * 64}.tsv", b"b")
    assert edxorg("prune", "--keep", "0d", "--landing-zone", store.url)[0] == 0
    assert [each.key for each in store.list()] == [f"{place}/{'b' * 64}.tsv"]


@pytest.mark.parametrize("keep", ["", "90", "-1d", "d", "1w"])
def test_a_number_of_days_has_to_be_one(edxorg: Shell, keep: str) -> None:
    assert edxorg("prune", "--keep", keep)[0] == 2

"""The jobs that faults are put into: what they read, how they run, and what they leave."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._grpc.impl import get_external_sensor_execution

from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.object_keys import COURSE_KEYS, COURSE_STRUCTURE, COURSE_XML, RUN_MARKS
from edxorg.lib.settings import Settings
from edxorg.location import EDXORG
from edxorg.samples.catalogue_server import SampleCatalogue, serve_sample_catalogue
from edxorg_tests.faults.proxies import Protocol, Proxies, Proxy
from edxorg_tests.faults.servers import GPG_SECRET, MOUNT, RECIPIENT, Bucket, Folder, keep_in_vault
from edxorg_tests.support.archives import POST, TABLE, is_hidden, table_name, write_archive, write_zip
from edxorg_tests.support.course_files import PARTITION, STRUCTURE_OUTPUTS, XML_OUTPUTS, course_xml, structure
from edxorg_tests.support.location import EVENTS, QUIET
from ol_orchestrate.landing.records import metadata_of
from ol_orchestrate.testing.scripted import Response, serving

if TYPE_CHECKING:
    from pathlib import Path

    from dagster_shared.error import SerializableErrorInfo

    from edxorg_tests.faults.servers import Servers

DAY = "2024-01-31"
ARCHIVE, PACKAGE, LOG = f"mitx-{DAY}.tar.gz", f"mitx-{DAY}.zip", f"mitx-edx-events-{DAY}.log.gz"
LARGE = TABLE + b"".join(b"%d\tAda Lovelace, of whom there are many in this table\n" % row for row in range(110_000))
"""A table that S3 gets in parts."""


class Ran(NamedTuple):
    """What became of a run or of a tick.

    Attributes:
        failures: Why its steps failed at last.
        said: Its log.
        again: The steps that were tried again.
        requested: The runs that a tick asked for.
    """

    succeeded: bool
    failures: list[str]
    said: list[str]
    again: int
    requested: list[str]


class State(NamedTuple):
    """What a job leaves: objects by key, and the latest recorded versions by asset and partition.

    Attributes:
        lost: Recorded objects that are not there.
    """

    objects: dict[str, bytes]
    recorded: dict[tuple[str, str], str]
    partitions: list[str]
    lost: list[str]


class Trial(ABC):
    """A job in a world of its own; a context manager.

    Attributes:
        name: Its name in the table.
        scheme: Of its source and its landing zone.
        changes: True if there is a second version of its source.
        independent: The number of its steps that do not wait for each other, and each ask for the same.
        through_vault: True if Vault keeps the credentials for its source.
        uses_temporary_files: True if it has whole objects in temporary files.
        proxies: Before all servers.
    """

    name: ClassVar[str]
    scheme: ClassVar[str] = "s3"
    changes: ClassVar[bool] = False
    independent: ClassVar[int] = 1
    through_vault: ClassVar[bool] = False
    uses_temporary_files: ClassVar[bool] = False

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.servers = servers
        self.folder = folder
        self.stack = ExitStack()
        self.source: Bucket | Folder
        self.lake: Bucket | Folder
        self.source, self.lake = self._place("source"), self._place("lake")
        self.proxies = Proxies({self.source.name: "source", self.lake.name: "landing zone"})
        self.proxies.change = lambda: self.bring(1)
        self.before: dict[Protocol, Proxy] = {}
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.secret = f"pipelines/edx/google-{secrets.token_hex(6)}"
        self.instance: dg.DagsterInstance

    def _place(self, name: str) -> Bucket | Folder:
        if self.scheme == "file":
            return Folder(self.folder / name)
        return Bucket(self.servers.s3 if self.scheme == "s3" else self.servers.gcs, self.scheme)

    def __enter__(self) -> Self:
        self.stack.enter_context(self.proxies)
        upstream = {Protocol.S3: self.servers.s3, Protocol.GCS: self.servers.gcs, Protocol.VAULT: self.servers.vault}
        if self.through_vault:
            token = Response(body=b'{"access_token": "ya29.token", "expires_in": 3600}')
            token.headers["Content-Type"] = "application/json"  # type: ignore[index]
            upstream[Protocol.GOOGLE] = self.stack.enter_context(serving(lambda _: token)).url
        upstream |= self.more_servers()
        certificate = self.servers.certificate
        self.before = {each: self.proxies.before(each, url, certificate) for each, url in upstream.items()}
        tempfile.tempdir = str(self.temporary)
        self.instance = self.stack.enter_context(self.make_instance())
        self.bring(0)
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def more_servers(self) -> dict[Protocol, str]:
        """Start further servers; return their addresses."""
        return {}

    def make_instance(self) -> dg.DagsterInstance:
        """Make the instance of all runs."""
        return dg.DagsterInstance.ephemeral()

    @abstractmethod
    def bring(self, version: int) -> None:
        """Put a version of the source there: the first one is 0, and another one 1."""

    @abstractmethod
    def run(self) -> Ran:
        """Run the job once."""

    def settings(self) -> dict[str, Any]:
        """Return further settings."""
        return {}

    def names(self) -> list[str]:
        """Return what else a message can name as the place of a fault."""
        ports = [server.port for each in self.before.values() for server in (each.clear, each.untrusted)]
        return [*(f"127.0.0.1:{port}" for port in ports), str(self.temporary)]

    def definitions(self) -> dg.Definitions:
        """Return the location, for the addresses of this moment."""
        urls = {protocol: proxy.url for protocol, proxy in self.before.items()}
        variables = {
            "AWS_ENDPOINT_URL": urls[Protocol.S3],
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_REGION": "us-east-1",
            **self.servers.login,
        }
        if self.through_vault:
            account = {
                "client_email": "loader@simeon.iam.gserviceaccount.com",
                "private_key": self.servers.google_key,
                "token_uri": f"{urls[Protocol.GOOGLE]}/token",
            }
            keep_in_vault(self.servers, self.secret, account)
            # Where Google's client and obstore look for storage with credentials.
            variables |= {"API_ENDPOINT_OVERRIDE": urls[Protocol.GCS], "GOOGLE_BASE_URL": urls[Protocol.GCS]}
        elif self.scheme == "gs":
            variables["STORAGE_EMULATOR_HOST"] = urls[Protocol.GCS]
        os.environ.update(variables | self.variables(urls))
        return build_definitions(
            Settings(
                archive_url=self.source.url,
                landing_zone_url=f"{self.lake.url}/zone",
                program_reports_url=f"{self.source.url}/reports",
                program_reports_destination_url=f"{self.lake.url}/copies",
                program_reports_profile=None,
                archive_source_configured=True,
                google_secret_path=f"{MOUNT}/{self.secret}",
                gpg_secret_path=f"{MOUNT}/{GPG_SECRET}",
                vault={"address": urls[Protocol.VAULT], "auth_method": "approle"},
                workers=1,
                **self.settings(),
            )
        )

    def variables(self, urls: dict[Protocol, str]) -> dict[str, str]:
        """Return further variables, for servers at these addresses."""
        del urls
        return {}

    def execute(self, job: dg.JobDefinition, partition: str | None = None) -> Ran:
        """Run a job in this process."""
        result = job.execute_in_process(
            instance=self.instance, partition_key=partition, raise_on_error=False, run_config=QUIET
        )
        data = [event.step_failure_data for event in result.get_step_failure_events()]
        failures = [
            (each.user_failure_data.description if each.user_failure_data else None) or str(each.error) for each in data
        ]
        again = sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)
        said = [each.user_message for each in self.instance.all_logs(result.run_id) if each.user_message]
        return Ran(result.success, failures, said, again, [])

    def state(self) -> State:
        """Return what there is now."""
        everything = self.lake.objects()
        objects = {
            key: self._without_names(content)
            for key, content in everything.items()
            if not is_hidden(name := key.removeprefix("zone/")) and not name.startswith(f"{RUN_MARKS}/")
        }
        recorded, lost = {}, []
        for asset in self.instance.all_asset_keys():
            records = self.instance.fetch_materializations(asset, limit=1000).records
            for each in reversed(records):
                made = each.asset_materialization
                key = made.metadata.get("object_key") if made else None
                if made is None or key is None:
                    continue
                recorded[asset.to_user_string(), made.partition or ""] = (made.tags or {})["dagster/data_version"]
                if f"zone/{key.value}" not in everything:
                    lost.append(f"{asset.to_user_string()} {made.partition}: {key.value}")
        partitions = self.instance.get_dynamic_partitions("course_and_source")
        return State(objects, recorded, sorted(partitions), lost)

    def _without_names(self, content: bytes) -> bytes:
        """Return content without what differs from one trial to another."""
        content = re.sub(rb'"retrieved_at": ?"[^"]*"', b'"retrieved_at":""', content)
        for name in (self.source.name, self.lake.name):
            content = content.replace(name.encode(), b"NAME")
        return content


def members(version: int) -> dict[str, bytes]:
    """Return the files of an archive."""
    found = {}
    for number in range(3):
        course = f"MITx-{number}x-2020"
        change = b"3\tBarbara\n" if version and number == 1 else b""
        found[table_name(course=course)] = TABLE + change
        found[table_name("teams", course=course, site="edge")] = TABLE + b"too\tmany\tfields\n" + TABLE * 20 + change
        found[f"{course}-course_structure-prod-analytics.json"] = b'{"changed": %d}' % bool(change)
        found[f"{course}-prod.mongo"] = POST
    return found


class Archive(Trial):
    name = "archive, S3"
    changes = True

    def bring(self, version: int) -> None:
        made = write_archive(self.folder / ARCHIVE, self.members(version))
        self.source.put(ARCHIVE, made.read_bytes())

    def members(self, version: int) -> dict[str, bytes]:
        return {**members(version), table_name("large", course="MITx-0x-2020"): LARGE}

    def run(self) -> Ran:
        self.instance.add_dynamic_partitions("edxorg_archive", [ARCHIVE])
        return self.execute(self.definitions().resolve_job_def("retrieve_edxorg_raw_data"), ARCHIVE)


class ArchiveInGCS(Archive):
    name = "archive, Cloud Storage"
    scheme = "gs"

    def members(self, version: int) -> dict[str, bytes]:
        return members(version)


class Package(Trial):
    name = "package, S3 and Vault"
    changes = True

    def bring(self, version: int) -> None:
        made = {
            f"{name}.gpg": _encrypted(self.servers, content)
            for name, content in members(version).items()
            if "0x" in name or "1x" in name
        }
        self.source.put(PACKAGE, write_zip(self.folder / PACKAGE, made).read_bytes())

    def settings(self) -> dict[str, Any]:
        return {"archive_name": "mitx-{date}.zip"}

    def run(self) -> Ran:
        self.instance.add_dynamic_partitions("edxorg_archive", [PACKAGE])
        return self.execute(self.definitions().resolve_job_def("retrieve_edxorg_raw_data"), PACKAGE)


_messages: dict[bytes, bytes] = {}


def _encrypted(servers: Servers, content: bytes) -> bytes:
    if content not in _messages:
        _messages[content] = servers.gnupg.message(content, RECIPIENT)
    return _messages[content]


HOME = "home"
"""A home of Dagster with its tables, which takes seconds to make: each trial that needs one has a copy."""


def make_home(folder: Path) -> None:
    """Make it."""
    home = folder / HOME
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_dynamic_partitions("any")
        instance.all_asset_keys()


def encrypt_once(servers: Servers) -> None:
    """Make all messages before the processes of the rounds are forked, which share them."""
    for version in (0, 1):
        for content in members(version).values():
            _encrypted(servers, content)


class Log(Trial):
    name = "log, S3"
    changes = True

    def bring(self, version: int) -> None:
        lines = [*EVENTS * 50, b"no event", *([b'{"name": "c", "time": "2024-05-06T01:02:04+00:00"}'] * version)]
        self.source.put(LOG, gzip.compress(b"\n".join([*lines, b""]), mtime=0))

    def run(self) -> Ran:
        self.instance.add_dynamic_partitions("edxorg_tracking_log", [LOG])
        return self.execute(self.definitions().resolve_job_def("refresh_edxorg_tracking_logs"), LOG)


class LogThroughVault(Log):
    name = "log, Cloud Storage by Vault"
    scheme = "gs"
    through_vault = True


class CourseContent(Trial):
    name = "course content, S3"

    def bring(self, version: int) -> None:
        del version
        self.instance.add_dynamic_partitions("course_and_source", [PARTITION])
        for asset, content in ((COURSE_STRUCTURE, structure()), (COURSE_XML, course_xml())):
            version_of_it = hashlib.sha256(content).hexdigest()
            course_id, _, site = PARTITION.rpartition("|")
            key = f"{asset}/{site}/{course_id}/{version_of_it}"
            self.lake.put(f"zone/{key}", content)
            url = f"{self.lake.url}/zone"
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    dg.AssetKey.from_user_string(asset),
                    partition=PARTITION,
                    metadata=metadata_of(url, key, len(content)),
                    tags=EDXORG.tags.of(version_of_it, url),
                )
            )

    def run(self) -> Ran:
        job = self.definitions().resolve_implicit_global_asset_job_def()
        outputs = {
            dg.AssetKey.from_user_string(COURSE_KEYS.output(each)) for each in (*STRUCTURE_OUTPUTS, *XML_OUTPUTS)
        }
        return self.execute(job.get_subset(asset_selection=outputs), PARTITION)


class Catalogue(Trial):
    name = "catalog, API and S3"
    independent = 2
    served: SampleCatalogue

    def more_servers(self) -> dict[Protocol, str]:
        self.served = self.stack.enter_context(serve_sample_catalogue(programs=25, courses=45))
        return {Protocol.API: self.served.url}

    def bring(self, version: int) -> None:
        del version

    def variables(self, urls: dict[Protocol, str]) -> dict[str, str]:
        return {
            "EDXORG_API_URL": urls[Protocol.API],
            "EDXORG_API_TOKEN_URL": f"{urls[Protocol.API]}/oauth2/access_token",
            "EDXORG_API_CLIENT_ID": self.served.client_id,
            "EDXORG_API_CLIENT_SECRET": self.served.client_secret,
        }

    def run(self) -> Ran:
        return self.execute(self.definitions().resolve_job_def("edxorg_api_daily_job"))


class Reports(Trial):
    name = "program reports, S3"
    changes = True

    def bring(self, version: int) -> None:
        for number in range(6):
            changed = version if number == 2 else 0
            self.source.put(f"reports/report-{number}.csv", b"id,grade\n%d,%d\n" % (number, changed) * 2_000)

    def run(self) -> Ran:
        return self.execute(self.definitions().resolve_job_def("sync_edxorg_program_reports"))


class Tick(Trial):
    """A sensor's tick."""

    sensor: ClassVar[str]

    def make_instance(self) -> dg.DagsterInstance:
        home = self.folder / "home"
        shutil.copytree(self.folder.parent / HOME, home)
        return dg.DagsterInstance.from_config(str(home))

    def run(self) -> Ran:
        repository = self.definitions().get_repository_def()
        origin, nothing = RegisteredCodeLocationOrigin("edxorg"), (None,) * 5
        answer = get_external_sensor_execution(repository, origin, self.instance.get_ref(), self.sensor, *nothing)
        if not isinstance(answer, SensorExecutionData):
            return Ran(succeeded=False, failures=[_text_of(answer.error)], said=[], again=0, requested=[])
        requested = [json.dumps([each.partition_key, each.run_config]) for each in answer.run_requests or []]
        return Ran(succeeded=True, failures=[], said=[answer.skip_message or ""], again=0, requested=sorted(requested))


def _text_of(error: SerializableErrorInfo | None) -> str:
    """Return what the UI shows of a tick that failed: the error below Dagster's own, without our classes."""
    while error is not None and error.cause is not None:
        error = error.cause
    return re.sub(r"^ol_orchestrate\.[\w.]+: ", "", error.message if error else "").strip()


class TickOfArchives(Tick):
    name = "tick for archives, S3"
    sensor = "gcs_edxorg_archive_sensor"

    def bring(self, version: int) -> None:
        del version
        for day in range(10, 17):
            self.source.put(f"mitx-2024-01-{day}.tar.gz", b"archive")


class TickThroughVault(TickOfArchives):
    name = "tick for archives, Cloud Storage by Vault"
    scheme = "gs"
    through_vault = True


class TickOfReports(Tick):
    name = "tick for program reports, S3"
    sensor = "edxorg_program_reports_sensor"

    def bring(self, version: int) -> None:
        del version
        for number in range(5):
            self.source.put(f"reports/report-{number}.csv", b"id\n")


class ArchiveOnDisk(Archive):
    name = "archive, folders"
    scheme = "file"

    def members(self, version: int) -> dict[str, bytes]:
        return members(version)


class LogOnDisk(Log):
    name = "log, folders"
    scheme = "file"


class CatalogueOnDisk(Catalogue):
    name = "catalog, folders"
    scheme = "file"


class ReportsOnDisk(Reports):
    name = "program reports, folders"
    scheme = "file"
    uses_temporary_files = True


TRIALS: dict[str, type[Trial]] = {
    each.name: each
    for each in (
        Archive,
        ArchiveInGCS,
        Package,
        Log,
        LogThroughVault,
        CourseContent,
        Catalogue,
        Reports,
        TickOfArchives,
        TickThroughVault,
        TickOfReports,
        ArchiveOnDisk,
        LogOnDisk,
        CatalogueOnDisk,
        ReportsOnDisk,
    )
}

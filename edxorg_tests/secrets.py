"""Runs all jobs with marked secrets, well and with each service failing, and searches all that they leave behind.

`uv run python -m edxorg_tests.secrets` takes minutes. Vault, S3, the edX API, the webhook and those who are told of
failures are one server on loopback, which repeats all secrets of its client whenever it refuses a request.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter, OrderedDict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import click
import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._grpc.impl import get_external_sensor_execution

from edxorg.commands.homes import dagster_instance
from edxorg.commands.main import main as edxorg_command
from edxorg.components.edxorg_location import build_definitions
from edxorg.lib.settings import Settings
from edxorg.samples.sample_catalogue import Catalogue
from edxorg.samples.university import University
from edxorg_tests.support.archives import TABLE, encrypted, table_name, tar_bytes, write_zip
from edxorg_tests.support.course_files import (
    COURSE,
    PARTITION,
    STRUCTURE_OUTPUTS,
    XML_OUTPUTS,
    asset_key,
    course_xml,
    structure,
)
from edxorg_tests.support.leaks import as_repeated, leaks, spellings, texts_below, texts_of, written_to
from ol_orchestrate import alerts, error_reports
from ol_orchestrate.lib import redaction, retrying
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.vault_client import AuthMethod, VaultClient
from ol_orchestrate.testing.openpgp_keys import GnuPG
from ol_orchestrate.testing.scripted import Request, Response, ScriptedS3, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

IN_VARIABLES = ("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_JWT", "VAULT_AUTH_GITHUB_TOKEN")
OF_AWS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
OF_THE_PROFILE = ("profile_key", "profile_token")
OF_GOOGLE = ("private_key_id", "client_email", "google_client_id")
OF_THE_API = ("client_id", "client_secret", "access_token")
NAMES = (
    *(*IN_VARIABLES, *OF_AWS, *OF_THE_PROFILE, *OF_GOOGLE, *OF_THE_API),
    *("other_client_id", "other_client_secret", "more_of_the_secret"),
    *("passphrase", "wrong_passphrase", "broken_key", "passport_of_structure", "passport_of_policy"),
    *("webhook_secret", "other_webhook_secret", "alert_address", "other_alert_address", "broken_alert_address"),
    *("sentry_key", "proxy_password", "user_in_url", "password_in_url", "token_in_url"),
    *("user_of_redirect", "password_of_redirect", "token_of_redirect"),
)

UNSENT = {
    *("AWS_SECRET_ACCESS_KEY", "passphrase", "wrong_passphrase", "broken_key", "more_of_the_secret"),
    *("webhook_secret", "other_webhook_secret", "passport_of_structure", "passport_of_policy", "broken_alert_address"),
    *("user_in_url", "password_in_url", "token_in_url"),
    *("user_of_redirect", "password_of_redirect", "token_of_redirect", "private_key_id", "google_client_id"),
}
"""Secrets that are used without being sent anywhere, or must not be sent."""

HELD: Mapping[str, tuple[str, ...]] = {
    "tokens": ("client_id", "client_secret"),
    "webhook": ("webhook_secret",),
    "alerts": ("alert_address",),
}
OTHERS_HELD = {
    "tokens": ("other_client_id", "other_client_secret", "proxy_password"),
    "webhook": ("other_webhook_secret",),
    "alerts": ("other_alert_address",),
}
"""The same if secrets come from variables and files."""

SOURCE, REPORTS, BUNDLES, LAKE = "course-data", "edx-reports", "bundles", "lake"
COLD = f"/{SOURCE}/COLD"
ENDS = (".zip", ".tar.gz", ".log.gz")
OURS = {".dagster/repository": "__repository__@edxorg"}
SENSORS = {
    "archives": ("gcs_edxorg_archive_sensor", "retrieve_edxorg_raw_data"),
    "logs": ("gcs_edxorg_tracking_log_sensor", "refresh_edxorg_tracking_logs"),
    "reports": ("edxorg_program_reports_sensor", "sync_edxorg_program_reports"),
    "bundles": ("edxorg_course_bundle_sensor", "edx_gcs_course_retrieval"),
}
CONTENT = {
    "structure": {*map(asset_key, STRUCTURE_OUTPUTS)},
    "content": {*map(asset_key, XML_OUTPUTS)},
    "webhook": {dg.AssetKey(["edxorg", "course_content_webhook"])},
}
PARTS = (*SENSORS, "catalogue", *CONTENT)
COMMANDS = ("doctor", "status", "list", "inspect", "archive", "log", "report", "prune", "query")
ALERTS, ERROR_REPORTS = "edxorg_failure_alerts_sensor", "edxorg_error_reports_sensor"
CATALOGUE_JOB = "edxorg_api_daily_job"

PASSPORTS_LAND = ("/raw_data/course_xml/", "/raw_data/course_structure/")
"""Where passports may be: these objects land as they came."""


@dataclass
class Marked:
    """The secrets, and a GnuPG home with the key that opens packages.

    Attributes:
        values: The marked values by their names.
        google_key: Google's private key, whose lines are among the values, as are those of the key for packages.
    """

    gnupg: GnuPG
    values: dict[str, str] = field(default_factory=lambda: {name: f"{name}+{secrets.token_hex(20)}/" for name in NAMES})
    google_key: str = ""
    package_key: str = ""

    def __post_init__(self) -> None:
        self.gnupg.make_key("edx@example.org", passphrase=self["passphrase"])
        self.package_key = self.gnupg.private_key("edx@example.org", self["passphrase"]).decode()
        key = rsa.generate_private_key(65537, 2048)
        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.google_key = key.private_bytes(serialization.Encoding.PEM, form, none).decode()
        self.values |= {
            f"{name}, line {number}": line
            for name, text in (("google_key", self.google_key), ("package_key", self.package_key))
            for number, line in enumerate(text.splitlines())
            if len(line) >= redaction.MIN_LINE and not line.startswith("-")
        }

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def spelled(self, *names: str) -> list[str]:
        return [form for name in names for form in sorted(as_repeated(self[name]))]


class Services:
    """Vault, S3, the edX API, the webhook, and the receivers of alerts and error reports.

    Attributes:
        fails: The names of the services that fail.
        mood: The way in which they fail.
        held: The names of the secrets that the client of a service holds.
        failed: How often each service failed in each way.
        seen: The secrets that came with requests.
        sent: What the receivers got.
    """

    def __init__(self, marked: Marked) -> None:
        self.marked = marked
        self.url = ""
        self.s3 = ScriptedS3()
        self.fails: tuple[str, ...] = ()
        self.mood = ""
        self.held = HELD
        self.failed: Counter[tuple[str, str]] = Counter()
        self.seen: set[str] = set()
        self.sent: list[tuple[str, bytes]] = []
        university = University(seed=0, courses=3)
        catalogue = Catalogue(university, 3, 2)
        self._records = {"programs": catalogue.programs, "courses": catalogue.courses}

    def __call__(self, request: Request) -> Response:
        name, answer, names = self._service(request)
        told = "\n".join(
            [request.path, *request.query.values(), *request.headers.values(), request.body.decode("latin-1")]
        )
        self.seen |= {
            each for each, value in self.marked.values.items() if any(form in told for form in spellings(value))
        }
        if name in {"webhook", "alerts", "errors"}:
            self.sent.append((name, request.body))
        if name not in self.fails:
            return answer(request)
        self.failed[name, self.mood] += 1
        return self._failure(request, self.marked.spelled(*names), is_store=answer is self.s3)

    def _service(self, request: Request) -> tuple[str, Callable[[Request], Response], tuple[str, ...]]:
        """The name of the service that a request is for, what answers there, and the secrets that it knows."""
        token = {"access_token": self.marked["access_token"], "expires_in": 300}
        of_vault = (*IN_VARIABLES, *OF_THE_API, "passphrase", "webhook_secret", "alert_address")
        named = (
            ("/api/7/envelope", "errors", lambda _: _json({}), ("sentry_key",)),
            ("/api/", "api", self._api, (*OF_THE_API, "more_of_the_secret")),
            ("/oauth2/", "tokens", lambda _: _json(token), self.held["tokens"]),
            ("/v1/", "vault", self._vault, of_vault),
            ("/hook/", "webhook", lambda _: _json({}), self.held["webhook"]),
            ("/alerts/", "alerts", lambda _: _json({}), self.held["alerts"]),
            ("/google/", "google", lambda _: Response(403), (*OF_GOOGLE, "google_key, line 1")),
            (f"/{LAKE}", "lake", self.s3, OF_AWS),
        )
        for start, name, answer, names in named:
            if request.path.startswith(start):
                return name, answer, names
        if "profile-id" in request.headers.get("authorization", ""):
            self.seen |= {"profile_key"}
        return "listing" if "list-type" in request.query else "objects", self.s3, OF_THE_PROFILE

    def _vault(self, request: Request) -> Response:
        path, marked = request.path, self.marked
        if path.startswith("/v1/sys/internal/ui/mounts/"):
            mount = path.removeprefix("/v1/sys/internal/ui/mounts/").split("/")[0]
            return _json({"data": {"path": f"{mount}/", "type": "kv", "options": {"version": "2"}}})
        client = {"id": marked["client_id"], "secret": marked["client_secret"], "url": self.url}
        kept: dict[str, dict[str, Any]] = {
            "gcp-oauth-client": {**self.google},
            "edx-oauth-client": {**client, "deep": {"more": marked["more_of_the_secret"]}},
            "shared_hmac": {"learn": {"token": marked["webhook_secret"]}},
            "gpg": {"private_key": marked.package_key, "passphrase": marked["passphrase"]},
            "alerts": {"urls": f"{self.url}/alerts/{marked['alert_address']}"},
        }
        secret = kept.get(path.rpartition("/")[2])
        if secret is None:
            return _refusal(403, [*request.headers.values(), *marked.spelled(*IN_VARIABLES)])
        return _json({"data": {"data": secret}})

    @property
    def google(self) -> dict[str, str]:
        named = {"client_id": "google_client_id", "private_key_id": "private_key_id", "client_email": "client_email"}
        fields = {name: self.marked[of] for name, of in named.items()}
        of_account = {"type": "service_account", "project_id": "p", "private_key": self.marked.google_key}
        return {**of_account, "token_uri": f"{self.url}/google/token", **fields}

    def _api(self, request: Request) -> Response:
        records = self._records["programs" if "programs" in request.path else "courses"]
        return _json({"count": len(records), "next": None, "previous": None, "results": records})

    def _failure(self, request: Request, known: list[str], *, is_store: bool) -> Response:
        told = [*known, *request.headers.values(), request.body.decode("latin-1")[:5000]]
        match self.mood:
            case "refused":
                return _refusal(403, told, is_store=is_store)
            case "down":
                return _refusal(503, told, is_store=is_store)
            case "nonsense":
                return Response(200, f"<html>{' '.join(told)}".encode())
            case "redirected":
                marked = self.marked
                user, password = (quote(marked[f"{part}_of_redirect"], safe="") for part in ("user", "password"))
                target = f"http://{user}:{password}@127.0.0.1:1/?token={quote(marked['token_of_redirect'], safe='')}"
                return Response(307, " ".join(told).encode(), {"Location": target})
        return Response(0)


def _refusal(status: int, told: list[str], *, is_store: bool = False) -> Response:
    if is_store:
        message = " ".join(told).replace("&", "&amp;").replace("<", "&lt;")
        return Response(status, f"<Error><Code>InvalidToken</Code><Message>{message}</Message></Error>".encode())
    body = json.dumps({"errors": told, "detail": " ".join(told)}).encode()
    return Response(status, body, {"Content-Type": "application/json", "Retry-After": "0"})


def _json(content: object) -> Response:
    return Response(200, json.dumps(content).encode(), {"Content-Type": "application/json"})


class Outage(NamedTuple):
    """Services that fail together, where none hides another's failure, and what uses them."""

    services: tuple[str, ...]
    parts: tuple[str, ...]
    commands: tuple[str, ...]


OUTAGES = (
    Outage(("vault",), ("archives", "catalogue", "webhook"), ("doctor", "inspect")),
    Outage(
        ("listing", "tokens", "webhook", "alerts", "errors"), ("archives", "catalogue", "webhook"), ("doctor", "list")
    ),
    Outage(("objects", "api"), PARTS[:5], ("doctor", "inspect", "archive")),
    Outage(("lake",), (*SENSORS, "structure", "content"), ("doctor", "log", "query")),
)
MOODS = ("refused", "redirected", "nonsense", "down", "silent")


class Trials:
    """A location with marked secrets, its home, and all that it prints.

    Args:
        folder: Gets the home, the keys and what is printed.
        services: What the location talks to.
        patch: Sets variables and shortens waits.
    """

    def __init__(self, folder: Path, services: Services, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.services = services
        self.marked = services.marked
        self.home = folder / "home"
        self.printed = folder / "printed"
        self.keys = folder / "keys"
        self.snapshots = folder / "snapshots"
        for each in (self.keys, self.snapshots):
            each.mkdir()
        self.results: Counter[tuple[str, str]] = Counter()
        self._patch = patch
        self._days = 0
        self._cursors: dict[str, str | None] = {}
        patch.setattr(retrying, "PAUSE", 0.001)
        patch.setattr(retrying, "PATIENCE", 1.0)
        patch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
        patch.setattr(alerts, "SETTLED_AFTER", 0)
        patch.setattr(error_reports, "SECONDS_TO_SEND", 3)  # and no thread of it is left when secrets are forgotten
        patch.setattr(ScriptDirectory, "from_config", cache(ScriptDirectory.from_config))  # as for all tests
        self.set_variables()

    def set_variables(self) -> None:
        marked, url = self.marked, self.services.url
        profile = ["[profile edxorg]", "aws_access_key_id = profile-id"]
        profile += [
            f"aws_secret_access_key = {marked['profile_key']}",
            f"aws_session_token = {marked['profile_token']}",
        ]
        variables = {
            **{name: marked[name] for name in (*IN_VARIABLES, *OF_AWS)},
            "AWS_ACCESS_KEY_ID": "environment-id",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": self.file("aws", "\n".join(profile)),
            "AWS_ENDPOINT_URL": url,
            "DAGSTER_HOME": str(self.home),
            "EDXORG_ALERT_SECRET_PATH": "secret-data/alerts",
            "EDXORG_ARCHIVE_NAME": "mitx-{date}.tar.gz, mitx-{date}.zip",
            "EDXORG_ARCHIVE_PROFILE": "edxorg",
            "EDXORG_ARCHIVE_URL": f"s3://{SOURCE}/COLD",
            "EDXORG_COURSE_BUNDLES_DESTINATION_URL": f"s3://{LAKE}/bundles",
            "EDXORG_COURSE_BUNDLES_URL": f"s3://{BUNDLES}",
            "EDXORG_COURSE_WEBHOOK_URL": f"{url}/hook/",
            "EDXORG_GPG_SECRET_PATH": "secret-data/gpg",
            "EDXORG_LANDING_ZONE_URL": f"s3://{LAKE}/zone",
            "EDXORG_PROGRAM_REPORTS_DESTINATION_URL": f"s3://{LAKE}/copies",
            "EDXORG_PROGRAM_REPORTS_URL": f"s3://{REPORTS}/MITx",
            "EDXORG_RUNS_A_TICK": "2",  # an outage leaves more, and each takes a minute
            "EDXORG_WORKERS": "1",
            "NO_PROXY": "127.0.0.1",
            "SENTRY_DSN": url.replace("://", f"://{quote(marked['sentry_key'], safe='')}@") + "/7",
            "VAULT_ADDR": url,
        }
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def file(self, name: str, content: str) -> str:
        path = self.keys / name
        path.write_text(content)
        return str(path)

    def bring_files(self) -> None:
        """Publish the files of another week."""
        self._days += 1
        for path, content in self.files(self._days).items():
            self.services.s3(Request("PUT", path, {}, {}, content))

    def files(self, week: int) -> dict[str, bytes]:
        """The files of a week, by bucket and key."""
        marked, title = self.marked, f"Week {week}"
        table = TABLE + b"%d\tLinus\n" % week
        policy = {"course/2012_Fall": {"tags": ["x"], "lti_passports": [f"a:b:{marked['passport_of_policy']}"]}}
        policies = {"policies/2012_Fall/policy.json": json.dumps(policy).encode()}
        structured = structure(title).replace(b"SECRET", marked["passport_of_structure"].encode())
        members = {
            table_name(): table,
            table_name(course="MITx-7.00x-2012_Fall"): b"no table\n1\t2\t3\n",
            f"{COURSE}-course_structure-prod-analytics.json": structured,
            f"{COURSE}-course-prod-analytics.xml.tar.gz": course_xml(title, policies),
        }
        package = write_zip(
            self.keys / "package", encrypted([(table_name("grades"), table)], marked.gnupg, "edx@example.org")
        )
        day = date(2020, 1, 1) + timedelta(weeks=week)
        event = json.dumps({"name": title, "time": f"{day}T01:02:03+00:00"}).encode()
        return {
            f"{COLD}/mitx-{day}.tar.gz": gzip.compress(tar_bytes(members), mtime=0),
            f"{COLD}/mitx-{day}.zip": package.read_bytes(),
            f"{COLD}/mitx-edx-events-{day}.log.gz": gzip.compress(event + b"\n", mtime=0),
            f"/{REPORTS}/MITx/report-{day}.csv": table,
            f"/{BUNDLES}/{day}/MITx-{week}.tar.gz": table,
        }

    def command(self, *arguments: object) -> None:
        """Call the command in this process."""
        with self.forgotten(f"edxorg {arguments[0]}") as failed:
            self._patch.setattr(sys, "argv", ["edxorg", *map(str, arguments)])
            try:
                edxorg_command()
            except SystemExit as stop:
                failed.extend([stop.code] if stop.code else [])

    @contextmanager
    def forgotten(self, name: str) -> Iterator[list[object]]:
        """Begin without the secrets that were read before, as a process of its own does; count the result."""
        self._patch.setattr(redaction, "_known", OrderedDict())
        failed: list[object] = []
        yield failed
        self.results[name, "fails" if failed else "works"] += 1

    def day(self, *parts: str, partition: str = PARTITION) -> None:
        """Bring files, let the sensors of these parts tick and run what they ask for, and run the other parts' jobs."""
        self.bring_files()
        with dagster_instance(self.home) as instance:
            definitions = build_definitions(Settings())
            repository = definitions.get_repository_def()
            snapshots = [
                RepositorySnap.from_def(repository),
                *(each.get_job_snapshot() for each in repository.get_all_jobs()),
            ]
            (self.snapshots / str(self._days)).write_text("\n".join(map(dg.serialize_value, snapshots)))
            self._tell(instance, repository)
            for part in parts:
                if part in SENSORS:
                    job = definitions.resolve_job_def(SENSORS[part][1])
                    for request in self._tick(instance, repository, SENSORS[part][0]):
                        self._run(instance, job, request)
                elif part == "catalogue":
                    self._run(instance, definitions.resolve_job_def(CATALOGUE_JOB), dg.RunRequest())
                else:
                    instance.add_dynamic_partitions("course_and_source", [partition])
                    job = definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection=CONTENT[part])
                    self._run(instance, job, dg.RunRequest(partition_key=partition))
            self._tell(instance, repository)

    def _tell(self, instance: dg.DagsterInstance, repository: Any) -> None:  # noqa: ANN401
        """Tell of the failures since the last time."""
        self._tick(instance, repository, ALERTS)
        if repository.has_sensor_def(ERROR_REPORTS):
            with (
                self.forgotten(ERROR_REPORTS),
                dg.build_sensor_context(instance, cursor=self._cursors.get(ERROR_REPORTS)) as context,
            ):
                self._cursors[ERROR_REPORTS] = repository.get_sensor_def(ERROR_REPORTS).evaluate_tick(context).cursor

    def _tick(self, instance: dg.DagsterInstance, repository: Any, sensor: str) -> list[Any]:  # noqa: ANN401
        origin, cursor = RegisteredCodeLocationOrigin("edxorg"), self._cursors.get(sensor)
        with self.forgotten(sensor) as failed:
            answer = get_external_sensor_execution(
                repository, origin, instance.get_ref(), sensor, None, None, cursor, [sensor, str(self._days)], None
            )
            error = None if isinstance(answer, SensorExecutionData) else answer.error
            status = TickStatus.FAILURE if error else TickStatus.SUCCESS
            instance.create_tick(TickData(sensor, sensor, InstigatorType.SENSOR, status, 0.0, [], error=error))
            with (self.snapshots / "ticks").open("a") as file:
                file.write(f"{dg.serialize_value(answer)}\n")
            if not isinstance(answer, SensorExecutionData):
                failed.append(error)
                return []
        self._cursors[sensor] = answer.cursor
        for event in answer.asset_events:
            assert isinstance(event, dg.AssetMaterialization)
            instance.report_runless_asset_event(event)
        for partitions in answer.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(partitions.partitions_def_name, list(partitions.partition_keys))
        return list(answer.run_requests or [])

    def _run(self, instance: dg.DagsterInstance, job: Any, request: dg.RunRequest) -> None:  # noqa: ANN401
        # Without the tags of its runs, a sensor asks for the same files again.
        tags = {**OURS, **request.tags, **({"dagster/run_key": request.run_key} if request.run_key else {})}
        with self.forgotten(job.name) as failed:
            result = job.execute_in_process(
                instance=instance,
                partition_key=request.partition_key,
                run_config=request.run_config,
                tags=tags,
                raise_on_error=False,
            )
            failed.extend([] if result.success else [result.run_id])

    def commands(self, *names: str) -> None:
        """Call these commands on new files."""
        self.bring_files()
        objects = [key for key in self.services.s3.objects if key.startswith(f"/{SOURCE}/")]
        package, archive, log = (f"s3:/{max(key for key in objects if key.endswith(end))}" for end in ENDS)
        arguments = {
            "inspect": ("--verbose", package),
            "archive": ("archive", archive, package, "--verbose"),
            "log": ("tracking-log", log, "--json"),
            "prune": ("--keep", "1d"),
            "query": ("SELECT count(*) FROM auth_user",),
        }
        for name in names:
            self.command("ingest" if name in {"archive", "log"} else name, *arguments.get(name, ()))

    def leaks(self) -> list[str]:
        """The secrets that are in anything that was left behind, and where."""
        passports = {name for name in self.marked.values if name.startswith("passport")}
        found = leaks(self.marked.values, self.left_behind())
        for path, (_, _, content) in self.services.s3.objects.items():
            if path.startswith(f"/{LAKE}/"):
                marked = self.marked.values
                if any(folder in path for folder in PASSPORTS_LAND):
                    marked = {name: value for name, value in marked.items() if name not in passports}
                found += leaks(marked, [*texts_of(path, content), (path, path)])
        return found

    def left_behind(self) -> Iterator[tuple[str, str]]:
        for folder in (self.home, self.printed, self.snapshots):
            yield from texts_below(folder)
        for number, (name, body) in enumerate(self.services.sent):
            yield from texts_of(f"message {number} to {name}", body)


def with_other_secrets(trials: Trials) -> None:
    """Secrets from variables and files, some of them wrong, and a proxy that refuses."""
    marked, url = trials.marked, trials.services.url
    api = {"URL": url, "TOKEN_URL": f"{url}/oauth2/access_token"}
    api |= {"CLIENT_ID": marked["other_client_id"], "CLIENT_SECRET": marked["other_client_secret"]}
    variables = {
        **{f"EDXORG_API_{name}": value for name, value in api.items()},
        "EDXORG_ALERT_URLS": f"{url}/alerts/{quote(marked['other_alert_address'], safe='')}",
        "EDXORG_COURSE_WEBHOOK_SECRET": marked["other_webhook_secret"],
        "EDXORG_GPG_KEY_FILE": trials.file("key", marked.package_key),
        "EDXORG_GPG_PASSPHRASE_FILE": trials.file("passphrase", marked["passphrase"]),
    }
    wrong = {
        "EDXORG_ALERT_URLS": f"slack://{marked['broken_alert_address']}",
        "EDXORG_GPG_PASSPHRASE_FILE": trials.file("wrong", f"{marked['wrong_passphrase']}\n"),
        "EDXORG_API_URL": "http://api.example",
        "EDXORG_API_TOKEN_URL": "http://api.example/oauth2/access_token",
        "HTTP_PROXY": url.replace("://", f"://user:{quote(marked['proxy_password'], safe='')}@"),
        "HTTPS_PROXY": f"http://user:{quote(marked['proxy_password'], safe='')}@127.0.0.1:1",
        "SENTRY_DSN": f"https://{marked['sentry_key']}",
    }
    broken = {
        "EDXORG_GPG_KEY_FILE": trials.file("broken", f"-----BEGIN PGP\n\n{marked['broken_key']}\n{marked.package_key}"),
        "EDXORG_API_URL": "https://api.example",
        "EDXORG_API_TOKEN_URL": "https://api.example/oauth2/access_token",
        "EDXORG_ARCHIVE_URL": "gs://bucket/COLD",
    }
    services = trials.services
    services.held, services.mood = OTHERS_HELD, "refused"
    with pytest.MonkeyPatch.context() as patch:
        for changed in (variables, wrong, broken):
            for name, value in changed.items():
                patch.setenv(name, value)
            services.fails = ("tokens",) if changed is wrong else ("webhook",)
            trials.day("archives", "catalogue", "webhook")
            trials.commands("doctor", "inspect", "list")
    services.held, services.fails = HELD, ()


def with_logins(trials: Trials) -> None:
    """Each way to log in to Vault, refused."""
    for method in AuthMethod:
        jwt = trials.file("jwt", trials.marked["VAULT_JWT"])
        client = VaultClient(address=trials.services.url, auth_method=method, role="r", jwt_path=jwt)
        with trials.forgotten(f"login by {method}") as failed:
            try:
                client.read("refused/x")
            except PipelineError as error:
                failed.append(error)
                (trials.snapshots / f"login-{method}").write_text(f"{error!r} {error} {error.__cause__!r} {client!r}")


def with_secrets_in_addresses(trials: Trials) -> None:
    """Addresses with users, passwords and tokens, wherever one can be given."""
    marked = trials.marked
    user, password, token = (quote(marked[f"{part}_in_url"], safe="") for part in ("user", "password", "token"))
    for scheme in ("s3", "gs", "https", "file"):
        for form in (
            f"{user}:{password}@host.example/a",
            f"host.example/a?X-Amz-Signature={token}",
            f"host:{password}/a",
        ):
            url = f"{scheme}://{form}"
            archive = (
                f"{url}/mitx-2024-01-31.tar.gz" if "?" not in url else url.replace("/a?", "/mitx-2024-01-31.tar.gz?")
            )
            for arguments in (
                ("ingest", "archive", archive),
                ("inspect", archive),
                ("query", "SELECT 1", "--landing-zone", url),
                ("report", "--landing-zone", url),
                ("prune", "--keep", "1d", "--landing-zone", url),
            ):
                trials.command(*arguments)
            for name in (
                *("EDXORG_ARCHIVE_URL", "EDXORG_LANDING_ZONE_URL", "EDXORG_PROGRAM_REPORTS_URL", "EDXORG_API_URL"),
                *("EDXORG_COURSE_WEBHOOK_URL", "VAULT_ADDR", "AWS_ENDPOINT_URL", "EDXORG_API_TOKEN_URL"),
            ):
                with pytest.MonkeyPatch.context() as inner:
                    inner.setenv(name, url)
                    trials.command("doctor")


@contextmanager
def trials_in(folder: Path, kind: type[Trials] | None = None) -> Iterator[Trials]:
    """Make secrets and services, and collect all that is printed until the block ends."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpg-", ignore_cleanup_errors=True)))
        home.joinpath("gpg-agent.conf").write_text("s2k-count 65536\n")
        kill = ["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"]
        stack.callback(subprocess.run, kill, check=False)
        services = Services(Marked(GnuPG(home)))
        server = stack.enter_context(serving(services))
        services.url = server.url
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        trials = (kind or Trials)(folder, services, patch)
        stack.enter_context(written_to(trials.printed))
        yield trials


def failing(trials: Trials, outages: Iterable[Outage], mood: str) -> None:
    """The parts and the commands that use services, while these fail in one way."""
    trials.services.mood = mood
    for outage in outages:
        trials.services.fails = outage.services
        trials.day(*outage.parts)
        trials.commands(*outage.commands)
    trials.services.fails = ()


def missing(trials: Trials, failed: Iterable[tuple[Outage, str]], names: Iterable[str]) -> list[str]:
    """What should have happened in the trials, and did not, so that a search proves nothing."""
    counted, results = trials.services.failed, trials.results
    jobs = (*(job for _, job in SENSORS.values()), CATALOGUE_JOB, "__ASSET_JOB", ALERTS)
    return [
        *(f"{each} was never {mood}" for outage, mood in failed for each in outage.services if not counted[each, mood]),
        *(f"{job} never {result}" for job in jobs for result in ("works", "fails") if not results[job, result]),
        *(f"{name} was never sent" for name in names if name not in trials.services.seen),
    ]


@click.command()
def main() -> None:
    """Run everything, search, and print what was found."""
    sent = set(NAMES) - UNSENT
    terminal = os.fdopen(os.dup(2), "w", buffering=1)  # all else that is printed is searched
    with terminal, tempfile.TemporaryDirectory(prefix="edxorg-secrets-") as temporary:
        with trials_in(Path(temporary)) as trials:
            steps: list[Callable[[], None]] = [
                partial(trials.day, *PARTS),
                partial(trials.commands, *COMMANDS),
                partial(with_other_secrets, trials),  # before others have failed alike, of which nobody is told again
                *(partial(failing, trials, [outage], mood) for mood in MOODS for outage in OUTAGES),
                partial(with_logins, trials),
                partial(with_secrets_in_addresses, trials),
            ]
            started = time.monotonic()
            for done, step in enumerate(steps):
                passed = time.monotonic() - started
                left = f", about {passed / done * (len(steps) - done):.0f} s left" if done else ""
                print(f"step {done + 1} of {len(steps)}; {passed:.0f} s{left}", file=terminal)
                step()
        found = trials.leaks()
        texts = sum(1 for _ in trials.left_behind())
    for (name, result), count in sorted(trials.results.items()):
        print(f"{name:36} {result} {count:5,}")  # noqa: T201
    wrong = [*missing(trials, product(OUTAGES, MOODS), sent), *found]
    print(f"{len(trials.marked.values)} marked secrets in {texts:,} texts: {len(found)} found")  # noqa: T201
    print("\n".join(wrong))  # noqa: T201
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

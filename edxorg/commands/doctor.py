"""`edxorg doctor` checks the settings and the connections, and says what to do about each that fails."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import click
from rich.markup import escape

from edxorg.commands import console, homes, runs
from edxorg.lib.alert_addresses import alert_addresses, are_alerts_configured
from edxorg.lib.catalogue import PROGRAMS
from edxorg.lib.private_keys import private_keys
from edxorg.lib.settings import ALERTS, Environment, Settings
from edxorg.lib.settings.sources import Given
from ol_orchestrate.lib.errors import MissingObjectError, PipelineError, ServiceError, SettingsError
from ol_orchestrate.lib.notifying import service_of
from ol_orchestrate.lib.openpgp import KeyRing
from ol_orchestrate.lib.redaction import redact
from ol_orchestrate.lib.stores import StoreAccess, open_store, split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import dagster as dg

    from ol_orchestrate.lib.openedx_api import OpenEdxApi

PROBE = "edxorg/doctor"
"""Key of the object that is written to check the permission."""

API_VARIABLES = ("EDXORG_API_URL", "EDXORG_API_TOKEN_URL", "EDXORG_API_CLIENT_ID", "EDXORG_API_CLIENT_SECRET")

SECONDS_OF_LIFE = 300
"""Age at which Dagster takes the heartbeat of a daemon for that of a dead one."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """A connection that must work.

    Attributes:
        name: Its name for the user.
        where: The place that is connected to.
        run: Returns the finding, or raises `PipelineError`.
        needed_for: What does not work without it.
        optional: True if all else works without it, so that its failure is none of the command.
    """

    name: str
    where: str
    run: Callable[[], str]
    needed_for: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class NotSetUp:
    """A part that needs settings which nobody has given."""

    name: str
    remedy: str


@click.command()
def command() -> None:
    """Check each setting and each connection.

    They are Vault, archives, private keys, landing zone, program reports, the edX API, the course webhook, alerts and
    Dagster with its daemon. This reads and lists, and sends no message; in the landing zone it writes one small object
    and leaves it there, named edxorg/doctor. A part that is not set up is no failure: it is listed with what to set.
    """
    settings = Settings()
    console.out.print(f"Environment: [bold]{settings.environment}[/]")
    for name, value, place in Given.shown(settings):
        console.out.print(f"{name}: {escape(value)} [dim](from {escape(place)})[/]", soft_wrap=True, highlight=False)
    parts = list(_Doctor(settings).parts())
    failed = 0
    for part in parts:
        if isinstance(part, DoctorCheck):
            failed += not _passes(part)
    if missing := [part for part in parts if isinstance(part, NotSetUp)]:
        console.out.print("\nNot set up, and needed only for what they name:")
        for each in missing:
            console.out.print(f"- [bold]{each.name}[/]: {escape(each.remedy)}", soft_wrap=True, highlight=False)
    sys.exit(1 if failed else 0)


def _passes(check: DoctorCheck) -> bool:
    """Run a check and print its finding."""
    try:
        with console.err.status(f"Checking {check.name} …"):
            finding = check.run()
    except PipelineError as error:
        mark = "-" if check.optional else "[red]✗[/]"
        lines = [f"{mark} [bold]{check.name}[/] {check.where}", f"  {escape(str(error))}"]
        lines.append(f"  [dim]Needed for {check.needed_for}.[/]")
    else:
        lines = [f"[green]✓[/] [bold]{check.name}[/] {check.where}: {finding}"]
    for line in lines:
        console.out.print(line, soft_wrap=True, highlight=False)
    return check.optional or len(lines) == 1


class _Doctor:
    """Finds out which parts of a location are set up, and how to check them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._given = {name for name, _, _ in Given.shown(settings)}

    @cached_property
    def _definitions(self) -> dg.Definitions:
        with console.loading("Starting Dagster"):
            from edxorg.components.edxorg_location import build_definitions  # noqa: PLC0415

            return build_definitions(self._settings)

    def parts(self) -> Iterator[DoctorCheck | NotSetUp]:
        """Yield all parts, in the order of a first deployment."""
        yield self._vault()
        yield from self._sources()
        yield self._private_keys()
        yield self._landing_zone()
        yield from self._program_reports()
        yield from self._course_bundles()
        yield self._api()
        yield from self._webhook()
        yield self._alerts()
        yield from self._dagster()

    def _vault(self) -> DoctorCheck | NotSetUp:
        vault, path = self._settings.vault, self._settings.api_secret_path or self._settings.google_secret_path
        if not vault.address:
            return NotSetUp("Vault", "set VAULT_ADDR and VAULT_AUTH_METHOD, if secrets are kept there")
        if not path:
            return NotSetUp("Vault", "set EDXORG_API_SECRET_PATH or another path of a secret, to read one")
        return DoctorCheck(
            "Vault",
            f"{vault.address} ({vault.auth_method})",
            lambda: _fields(vault.client().read(path)),
            "the API and the archive bucket, unless their own variables are set",
        )

    def _sources(self) -> Iterator[DoctorCheck | NotSetUp]:
        settings = self._settings
        if not settings.archive_url:
            yield NotSetUp("archives and logs", "set EDXORG_ARCHIVE_URL to their folder: s3://, gs:// or file://")
        elif settings.archive_source_configured:
            needed_for = "the archive job, the tracking logs and their sensors"
            yield self._source("archives and logs", settings.archive_url, needed_for)
        else:
            yield NotSetUp(
                "archives and logs",
                f"to read {settings.archive_url}, set GOOGLE_APPLICATION_CREDENTIALS, or VAULT_ADDR where Vault has "
                "them; for another folder, set EDXORG_ARCHIVE_URL",
            )
        if settings.tracking_log_url:
            yield self._source("tracking logs", settings.tracking_log_url, "the tracking logs and their sensor")

    def _source(self, name: str, url: str, needed_for: str) -> DoctorCheck:
        return DoctorCheck(name, url, lambda: _listing(url, runs.access(url, self._settings)), needed_for)

    def _private_keys(self) -> DoctorCheck | NotSetUp:
        settings = self._settings
        if settings.gpg_key_file or (settings.gpg_secret_path and settings.vault.address):
            return DoctorCheck(
                "private keys",
                settings.gpg_key_file or f"{settings.gpg_secret_path} in Vault",
                lambda: _keys(settings),
                "files that edX encrypts",
            )
        return NotSetUp(
            "private keys", "set EDXORG_GPG_KEY_FILE, or EDXORG_GPG_SECRET_PATH in Vault, for files that edX encrypts"
        )

    def _landing_zone(self) -> DoctorCheck | NotSetUp:
        url = self._settings.landing_zone_url
        if "landing_zone_url" not in self._given and url.startswith("file://") and not _folder(url).exists():
            return NotSetUp("landing zone", f"set EDXORG_LANDING_ZONE_URL; else {url} is made by the first run")
        return self._destination("landing zone", url, "everything that lands", self._access)

    def _access(self, url: str) -> StoreAccess:
        access: StoreAccess = (self._definitions.resources or {})["io_manager"].access(url)
        return access

    def _destination(self, name: str, url: str, needed_for: str, access: Callable[[str], StoreAccess]) -> DoctorCheck:
        def check() -> str:
            if url.startswith("file:") and not _folder(url).exists():
                return "there is no such folder yet; the first run makes it"
            return _round_trip(url, access(url))

        return DoctorCheck(name, url, check, needed_for)

    def _program_reports(self) -> Iterator[DoctorCheck | NotSetUp]:
        settings = self._settings
        source, destination = settings.program_reports_url, settings.program_reports_destination_url
        profile = settings.program_reports_profile
        if not source:
            yield NotSetUp("program reports", "set EDXORG_PROGRAM_REPORTS_URL to their folder")
        elif (
            self._given.isdisjoint({"program_reports_url", "program_reports_profile"})
            and settings.environment is Environment.DEV
            and profile not in _aws_profiles()
        ):
            yield NotSetUp(
                "program reports",
                f"to copy those of {source}, make the AWS profile {profile} (`aws configure --profile {profile}`); for "
                "others, set EDXORG_PROGRAM_REPORTS_URL and EDXORG_PROGRAM_REPORTS_PROFILE",
            )
        else:
            access = StoreAccess(aws_profile=profile, aws_profile_setting="EDXORG_PROGRAM_REPORTS_PROFILE")
            yield DoctorCheck("program reports", source, partial(_listing, source, access), "the program reports")
            yield self._destination("their destination", destination, "the program reports", lambda _: StoreAccess())

    def _course_bundles(self) -> Iterator[DoctorCheck]:
        source, destination = self._settings.course_bundles_url, self._settings.course_bundles_destination_url
        if source:
            yield self._source("course bundles", source, "the course bundles")
            yield self._destination("their copies", destination, "the course bundles", self._access)

    def _api(self) -> DoctorCheck | NotSetUp:
        settings = self._settings
        in_vault = settings.vault.address and settings.api_secret_path
        if not in_vault and not any(os.environ.get(name) for name in API_VARIABLES):
            remedy = f"for the catalogue, set {', '.join(API_VARIABLES)}; or VAULT_ADDR and EDXORG_API_SECRET_PATH"
            return NotSetUp("edX API", remedy)
        return DoctorCheck(
            "edX API",
            "Discovery API",
            lambda: _catalogue((self._definitions.resources or {})["edxorg_api"].client),
            "the catalogue",
        )

    def _webhook(self) -> Iterator[DoctorCheck]:
        if url := self._settings.course_webhook.url:
            needed_for = "messages about new versions of courses"
            yield DoctorCheck("course webhook", url, lambda: self._signed_for(url), needed_for)

    def _signed_for(self, url: str) -> str:
        vault = (self._definitions.resources or {})["vault"]
        from edxorg.assets.course_webhook import webhook_secret  # noqa: PLC0415 - loads Dagster

        webhook_secret(self._settings, vault)
        return f"there is a secret to sign with; {_found(url)}"

    def _alerts(self) -> DoctorCheck | NotSetUp:
        settings = self._settings
        if are_alerts_configured(settings):
            where = "EDXORG_ALERT_URLS" if os.environ.get(ALERTS) else f"{settings.alert_secret_path} in Vault"
            return DoctorCheck("alerts", where, lambda: _services(settings), "messages about what fails")
        remedy = "to be told of what fails, set EDXORG_ALERT_URLS, or EDXORG_ALERT_SECRET_PATH in Vault"
        return NotSetUp("alerts", remedy)

    def _dagster(self) -> Iterator[DoctorCheck | NotSetUp]:
        home = homes.home_folder()
        if not os.environ.get("DAGSTER_HOME"):
            yield NotSetUp(
                "Dagster",
                f"set DAGSTER_HOME to the folder with its dagster.yaml; else commands keep their runs in {home}",
            )
            return
        yield DoctorCheck("Dagster", str(home), _dagster_instance, "runs, and all that they record")
        if homes.is_made(home):
            yield DoctorCheck(
                "Dagster's daemon",
                str(home),
                lambda: _daemon(home),
                "sensors, schedules and automation; commands do without",
                optional=self._settings.environment is Environment.DEV,
            )
            yield DoctorCheck(
                "killed runs",
                str(home),
                lambda: _killed_runs(home),
                "runs to go on by themselves after one was killed; commands do without",
                optional=self._settings.environment is Environment.DEV,
            )


def _fields(secret: dict[str, object]) -> str:
    return f"a secret with {len(secret)} fields"


def _keys(settings: Settings) -> str:
    with KeyRing(private_keys(settings)) as ring:
        return f"opened a message made for each of them: {', '.join(ring.check())}"


def _folder(url: str) -> Path:
    return Path(split_url(url)[2])


def _aws_profiles() -> list[str]:
    import botocore.session  # noqa: PLC0415 - 0.3 s

    return botocore.session.Session().available_profiles


def _listing(url: str, access: StoreAccess) -> str:
    if url.startswith("file:") and not _folder(url).is_dir():
        raise MissingObjectError(f"{_folder(url)}: there is no such folder. Make it, or correct the URL")
    first = next(open_store(url, access).list(), None)
    return "at least one object" if first else "it can be listed, and is empty"


def _round_trip(url: str, access: StoreAccess) -> str:
    store = open_store(url, access)
    content = uuid4().hex.encode()
    store.write(PROBE, content)
    if b"".join(store.read(PROBE)) != content:
        raise ServiceError(f"{url}: the object that was written reads differently. Check the store")
    return f"wrote and read {PROBE}"


def _catalogue(api: OpenEdxApi) -> str:
    with api:
        first = next(iter(api.pages(PROGRAMS.path, PROGRAMS.page)))
    return f"{first.count:,} programs"


def _found(url: str) -> str:
    """Look up the host of an address, to which nothing is sent.

    Raises:
        ServiceError: There is no such host.
    """
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        raise ServiceError(f"{host}: there is no such host. Correct the address, and check the network") from None
    return "its host is found, and nothing was sent"


def _services(settings: Settings) -> str:
    addresses = alert_addresses(settings)
    for address in addresses:
        service_of(address)
    return f"{len(addresses)} addresses that messages can be sent to; none was sent"


@contextmanager
def _opened(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance of `DAGSTER_HOME`.

    Raises:
        ServiceError: Its storage cannot be used.
    """
    import dagster as dg  # noqa: PLC0415

    try:
        homes.make_storage(home)
        with dg.DagsterInstance.get() as instance:
            yield instance
    except Exception as error:  # noqa: BLE001 - of any storage
        first_line = redact(str(error)).strip().partition("\n")[0]
        raise ServiceError(f"{home}: Dagster's storage cannot be used: {first_line}. Check dagster.yaml") from None


def _dagster_instance() -> str:
    """Count the runs that an instance keeps.

    Raises:
        MissingObjectError: The folder is not there.
        ServiceError: The storage cannot be used.
    """
    home = homes.given_home()
    if not homes.is_made(home):
        return "the folder is empty; the first run makes Dagster's files in it"
    with _opened(home) as instance:
        return f"{instance.get_runs_count():,} runs"


def _daemon(home: Path) -> str:
    """Look for the latest sign of life of Dagster's daemon.

    Raises:
        ServiceError: There is none, or it is too old.
    """
    with _opened(home) as instance:
        beats = instance.get_daemon_heartbeats()
    age = time.time() - max((beat.timestamp for beat in beats.values()), default=0)
    if age < SECONDS_OF_LIFE:
        return f"alive, {age:.0f} seconds ago: {', '.join(sorted(beats))}"
    since = f"for {age / 60:,.0f} minutes" if beats else "yet"
    raise ServiceError(f"no daemon has given a sign of life {since}. Start `dagster-daemon run`, or `dg dev`")


def _killed_runs(home: Path) -> str:
    """Say what becomes of a run whose process is gone.

    Raises:
        SettingsError: It counts as started for ever, or holds its slot of a pool for ever.
        ServiceError: The storage cannot be used.
    """
    with _opened(home) as instance:
        frees_slots = instance.run_monitoring_settings.get("free_slots_after_run_end_seconds")
        monitors = instance.run_monitoring_enabled and frees_slots
        looks = instance.run_monitoring_poll_interval_seconds
        launcher = type(instance.run_launcher).__name__
        sees = instance.run_launcher.supports_check_run_worker_health
    if not monitors:
        raise SettingsError(
            f"{home / 'dagster.yaml'}: a run that is killed holds its slot of the pool for ever, and no archive starts "
            "after it. Take the sections run_monitoring, run_retries and concurrency from deploy/dagster.yaml"
        )
    if not sees:
        return f"each ends when the time of its job is over, since {launcher} cannot see that it is gone"
    return f"each fails and frees its slot within {looks + frees_slots} s, and starts anew"

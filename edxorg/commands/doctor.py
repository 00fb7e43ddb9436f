"""`edxorg doctor` checks the settings and the connections, and says what to do about each that fails."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click
from rich.markup import escape

from edxorg.commands import console, runs
from edxorg.lib.catalogue import PROGRAMS
from edxorg.lib.private_keys import private_keys
from edxorg.lib.settings import Settings
from edxorg.lib.settings.sources import Given
from ol_orchestrate.lib.errors import MissingObjectError, PipelineError, ServiceError
from ol_orchestrate.lib.openpgp import KeyRing
from ol_orchestrate.lib.stores import StoreAccess, open_store, split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ol_orchestrate.lib.openedx_api import OpenEdxApi

PROBE = "edxorg/doctor"
"""Key of the object that is written to check the permission."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """A connection that must work."""

    name: str
    where: str
    run: Callable[[], str]
    """Returns the finding, or raises `PipelineError`."""
    needed_for: str


@click.command()
def command() -> None:
    """Check each setting and each connection: Vault, archives, private keys, landing zone, program reports, API.

    Reads and lists; in the landing zone it writes one small object and leaves it there, named edxorg/doctor.
    """
    settings = Settings()
    console.out.print(f"Environment: [bold]{settings.environment}[/]")
    for name, value, place in Given.shown(settings):
        console.out.print(f"{name}: {escape(value)} [dim](from {escape(place)})[/]", soft_wrap=True, highlight=False)
    failed = 0
    for check in _checks(settings):
        with console.err.status(f"Checking {check.name} …"):
            try:
                lines = [f"[green]✓[/] [bold]{check.name}[/] {check.where}: {check.run()}"]
            except PipelineError as error:
                failed += 1
                lines = [f"[red]✗[/] [bold]{check.name}[/] {check.where}", f"  {escape(str(error))}"]
                lines.append(f"  [dim]Needed for {check.needed_for}.[/]")
        for line in lines:
            console.out.print(line, soft_wrap=True, highlight=False)
    sys.exit(1 if failed else 0)


def _checks(settings: Settings) -> Iterator[DoctorCheck]:
    from edxorg.components.edxorg_location import build_definitions  # noqa: PLC0415 - loads Dagster

    definitions = build_definitions(settings)
    resources, source_access = definitions.resources or {}, runs.access_to_sources(definitions)
    vault, api = resources["vault"], resources["edxorg_api"]
    landing_zone = resources["io_manager"]
    if settings.vault.address and settings.api_secret_path:
        path = settings.api_secret_path
        yield DoctorCheck(
            "Vault",
            f"{settings.vault.address} ({settings.vault.auth_method})",
            lambda: _fields(vault.read(path)),
            "the API and the archive bucket, unless their own variables are set",
        )
    if settings.archive_url:
        yield _store_check(
            "archives and logs",
            settings.archive_url,
            _listing,
            source_access,
            "the archive job, the tracking logs and their sensors",
        )
    if settings.tracking_log_url:
        yield _store_check(
            "tracking logs", settings.tracking_log_url, _listing, source_access, "the tracking logs and their sensor"
        )
    if settings.gpg_key_file or (settings.gpg_secret_path and settings.vault.address):
        yield DoctorCheck(
            "private keys",
            settings.gpg_key_file or f"{settings.gpg_secret_path} in Vault",
            lambda: _keys(settings),
            "files that edX encrypts",
        )
    yield _store_check(
        "landing zone", settings.landing_zone_url, _round_trip, landing_zone.access, "everything that lands"
    )
    if settings.program_reports_url:
        yield _store_check(
            "program reports",
            settings.program_reports_url,
            _listing,
            lambda _: StoreAccess(aws_profile=settings.program_reports_profile),
            "the program reports",
        )
        yield _store_check(
            "their destination",
            settings.program_reports_destination_url,
            _round_trip,
            lambda _: StoreAccess(),
            "the program reports",
        )
    yield DoctorCheck(
        "edX API",
        "Discovery API",
        lambda: _catalogue(api.client),
        "the catalogue. Without Vault, set EDXORG_API_URL, EDXORG_API_TOKEN_URL, EDXORG_API_CLIENT_ID and "
        "EDXORG_API_CLIENT_SECRET",
    )


def _store_check(
    name: str,
    url: str,
    check: Callable[[str, StoreAccess], str],
    access: Callable[[str], StoreAccess],
    needed_for: str,
) -> DoctorCheck:
    """Check a store; its credentials may be secrets that cannot be read, so they are a part of the check."""
    return DoctorCheck(name, url, lambda: check(url, access(url)), needed_for)


def _fields(secret: dict[str, object]) -> str:
    return f"a secret with {len(secret)} fields"


def _keys(settings: Settings) -> str:
    with KeyRing(private_keys(settings)) as ring:
        return f"opened a message made for each of them: {', '.join(ring.check())}"


def _listing(url: str, access: StoreAccess) -> str:
    scheme, _, folder = split_url(url)
    if scheme == "file" and not Path(folder).is_dir():
        raise MissingObjectError(f"{folder}: there is no such folder. Make it, or correct the URL")
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

"""All that differs between environments, partners and machines, read once from the environment's variables.

No secret is among the settings: those are read when a run needs them, by whoever needs them. An address with a secret
in it is refused, whether it is a setting or one that only a vendor's client reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from edxorg.lib.members import EDX_NAMING, MemberNaming
from edxorg.lib.tables import Escapes, RowHash
from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.stores import split_url
from ol_orchestrate.lib.vault import AuthMethod

if TYPE_CHECKING:
    from collections.abc import Mapping


class SettingsError(BadInputError):
    """A variable whose value cannot be used."""


class Environment(StrEnum):
    """Where this code location runs."""

    DEV = "dev"
    CI = "ci"
    QA = "qa"
    PRODUCTION = "production"


LOCAL_FOLDER = ".edxorg"
"""Where everything goes in `dev`, in the working folder."""

_LANDING_ZONES = {
    Environment.CI: "s3://ol-data-lake-landing-zone-ci",
    Environment.QA: "s3://ol-data-lake-landing-zone-qa",
    Environment.PRODUCTION: "s3://ol-data-lake-landing-zone-production/edxorg-raw-data",
}

_VAULTS = {
    Environment.DEV: "",
    Environment.CI: "https://vault-ci.odl.mit.edu",
    Environment.QA: "https://vault-qa.odl.mit.edu",
    Environment.PRODUCTION: "https://vault-production.odl.mit.edu",
}

COURSE_XML_MAX_RATIO = "EDXORG_COURSE_XML_MAX_RATIO"

_ADDRESS = re.compile(r"EDXORG_\w*URL|VAULT_ADDR|AWS_ENDPOINT_URL\w*|STORAGE_EMULATOR_HOST")
"""Variables whose values are addresses, those that only the vendors' clients read included."""

_ARCHIVE_SOURCE = {"EDXORG_ARCHIVE_URL", "VAULT_ADDR", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"}
"""Variables any of which tells that there is an archive source to watch."""


@dataclass(frozen=True, slots=True)
class DatedFileName:
    """File names with a date in them.

    Attributes:
        pattern: A regular expression for the whole name, with a group `date` that reads `YYYY-MM-DD`.
        example: For people.
    """

    pattern: str
    example: str

    def date_in(self, name: str) -> date | None:
        """The date in a file name; `None` for a name of another kind."""
        match = re.fullmatch(self.pattern, name)
        if match is None:
            return None
        try:
            return date.fromisoformat(match["date"])
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How to log in to Vault; see `ol_orchestrate.resources.secrets.vault.Vault`."""

    address: str = ""
    namespace: str | None = None
    cacert: str | None = None
    auth_method: AuthMethod = AuthMethod.TOKEN
    role: str | None = None
    auth_mount: str | None = None
    jwt_path: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings. Another partner changes values here, not code."""

    environment: Environment = Environment.DEV
    archive_url: str = "gs://simeon-mitx-pipeline-main/COLD"
    landing_zone_url: str = ""
    program_reports_url: str = "s3://edx-program-reports/reports_v2/MITx/"
    program_reports_destination_url: str = ""
    program_reports_profile: str = "edxorg"
    archive_source_configured: bool = False
    vault: VaultSettings = field(default_factory=VaultSettings)
    google_secret: str = "secret-data/pipelines/edx/org/gcp-oauth-client"  # noqa: S105 - where it is, not what
    api_secret: str = "secret-data/pipelines/edx/edxorg/edx-oauth-client"  # noqa: S105
    catalogue_number: int = 10
    api_requests_per_hour: int = 190
    """The Discovery API allows 200."""
    escapes: Escapes = Escapes.KEEP
    row_hash: RowHash = RowHash.RECORD
    course_xml_max_ratio: int = 200
    """How many times larger than itself a course's export may be when it is unpacked: more is taken for a bomb."""
    archive_name: DatedFileName = DatedFileName(r"mitx-(?P<date>\d{4}-\d{2}-\d{2})\.tar\.gz", "mitx-2024-01-31.tar.gz")
    tracking_log_name: DatedFileName = DatedFileName(
        r"mitx-edx-events-(?P<date>\d{4}-\d{2}-\d{2})\.log\.gz", "mitx-edx-events-2024-01-31.log.gz"
    )
    member_naming: MemberNaming = EDX_NAMING

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, folder: Path | None = None) -> Self:
        """Read the variables.

        Args:
            environ: Such as `os.environ`. A variable set to nothing counts as not set.
            folder: What `dev` puts its folders in; the working folder by default.

        Raises:
            SettingsError: A value cannot be used. The message names the variable and what it can be.
        """
        given = {name: value for name, value in environ.items() if value}
        for name in filter(_ADDRESS.fullmatch, given):
            _refuse_credentials(given[name], name)
        environment = _choice(Environment, given, "DAGSTER_ENVIRONMENT", Environment.DEV)
        login = AuthMethod.TOKEN if environment is Environment.DEV else AuthMethod.KUBERNETES
        landing_zone, reports = _destinations(environment, folder or Path.cwd())
        defaults = cls()
        return cls(
            environment=environment,
            archive_url=_url(given, "EDXORG_ARCHIVE_URL", defaults.archive_url),
            landing_zone_url=_url(given, "EDXORG_LANDING_ZONE_URL", landing_zone),
            program_reports_url=_url(given, "EDXORG_PROGRAM_REPORTS_URL", defaults.program_reports_url),
            program_reports_destination_url=_url(given, "EDXORG_PROGRAM_REPORTS_DESTINATION_URL", reports),
            archive_source_configured=environment is not Environment.DEV
            or not given.keys().isdisjoint(_ARCHIVE_SOURCE),
            vault=VaultSettings(
                address=given.get("VAULT_ADDR", _VAULTS[environment]),
                namespace=given.get("VAULT_NAMESPACE"),
                cacert=given.get("VAULT_CACERT"),
                auth_method=_choice(AuthMethod, given, "VAULT_AUTH_METHOD", login),
                role=given.get("VAULT_ROLE"),
                auth_mount=given.get("VAULT_AUTH_MOUNT"),
                jwt_path=given.get("VAULT_JWT_PATH"),
            ),
            escapes=_choice(Escapes, given, "EDXORG_ESCAPES", Escapes.KEEP),
            row_hash=_choice(RowHash, given, "EDXORG_ROW_HASH", RowHash.RECORD),
            course_xml_max_ratio=_positive(given, COURSE_XML_MAX_RATIO, defaults.course_xml_max_ratio),
        )


def _destinations(environment: Environment, folder: Path) -> tuple[str, str]:
    """Landing zone, and where program reports go."""
    if environment is Environment.DEV:
        local = (folder / LOCAL_FOLDER).absolute()
        return f"file://{local}/landing-zone", f"file://{local}/program-reports"
    return _LANDING_ZONES[environment], f"s3://ol-data-lake-landing-zone-{environment}/edxorg-program-credentials"


Choice = TypeVar("Choice", bound=StrEnum)


def _choice(kind: type[Choice], given: Mapping[str, str], name: str, default: Choice) -> Choice:
    try:
        return kind(given.get(name, default))
    except ValueError:
        raise SettingsError(f"{name}={given[name]!r} is unknown: it can be {', '.join(kind)}") from None


def _positive(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise SettingsError(f"{name}={text!r} is no limit: it can be a whole number, 1 or more")
    return int(text)


def _refuse_credentials(address: str, name: str) -> None:
    try:
        refuse_credentials(address, name)
    except BadInputError as error:
        raise SettingsError(str(error)) from None


def _url(given: Mapping[str, str], name: str, default: str) -> str:
    url = given.get(name, default)
    try:
        split_url(url)
    except BadInputError as error:
        raise SettingsError(f"{name}: {error}") from None
    return url.rstrip("/")

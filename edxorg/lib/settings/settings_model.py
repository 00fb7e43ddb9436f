"""The settings as fields. Another partner changes values from outside, not code.

No secret is among them: a run reads its secrets when it needs them. An address with a secret in it is
refused, whether it is a setting or one that only a vendor's client reads.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edxorg.lib.course_message import DEFAULT_BODY, SHOWN_VALUES, VALUES
from edxorg.lib.settings.file_names import FileNames
from edxorg.lib.settings.sources import InstitutionDefaults, SettingsFile, Variables, mistakes
from edxorg.lib.tables import Escapes, RowHash
from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import BadInputError, SettingsError
from ol_orchestrate.lib.json_template import JsonTemplate, check_placeholders
from ol_orchestrate.lib.stores import split_url
from ol_orchestrate.lib.vault_client import AuthMethod, VaultClient

COURSE_XML_MAX_RATIO = "EDXORG_COURSE_XML_MAX_RATIO"


_NAME = r"[A-Za-z][A-Za-z0-9_]{0,49}"
_INSTITUTION = r"[A-Za-z0-9_-]{1,50}"
_OWNER = r"team:[\w.-]+|[^@\s]+@[^@\s]+"
_HEADER = "[A-Za-z0-9-]{1,100}"
_PATTERN = {"type": "string", "pattern": r"\{date\}|\(\?P<date>"}


class Environment(StrEnum):
    """The environment that this code location runs in."""

    DEV = "dev"
    CI = "ci"
    QA = "qa"
    PRODUCTION = "production"


def _store_url(url: str) -> str:
    # A relative path would mean another folder to each process.
    if url.startswith("/"):
        url = f"file://{url}"
    try:
        split_url(url)
    except BadInputError as error:
        raise ValueError(str(error)) from None
    return url.rstrip("/")


def _address(address: str) -> str:
    try:
        refuse_credentials(address)
    except BadInputError as error:
        raise ValueError(str(error)) from None
    if not address.startswith(("http://", "https://")):
        raise ValueError("it has to begin with https:// or http://")
    return address


def _webhook_url(url: str) -> str:
    check_placeholders(url, VALUES)
    return _address(url)


def _webhook_body(text: str) -> str:
    JsonTemplate.parse(text, VALUES)
    return text


def _json_text(value: Any) -> Any:  # noqa: ANN401 - pydantic's
    return json.dumps(value) if isinstance(value, dict | list) else value


def _header(name: str) -> str:
    if not re.fullmatch(_HEADER, name):
        raise ValueError(f"{name!r} is no name of a header: use letters, digits and hyphens")
    if name.lower() in {"host", "content-length", "content-type"}:
        raise ValueError(f"{name!r} is a header of every message: use another one for the signature")
    return name


def _identifier(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            f"{name!r} cannot lead the names of jobs and assets: use letters, digits and underscores, a letter first"
        )
    return name


def _institution(name: str) -> str:
    if not re.fullmatch(_INSTITUTION, name):
        raise ValueError(f"{name!r} is no name of an institution: use letters, digits, hyphens and underscores")
    return name.lower()


def _owner(owner: str | None) -> str | None:
    if owner is not None and not re.fullmatch(_OWNER, owner):
        raise ValueError(f"{owner!r} is no owner: write an e-mail address, or team:name")
    return owner


def _file_names(names: Any) -> FileNames:  # noqa: ANN401 - pydantic's
    if isinstance(names, FileNames):
        return names
    if isinstance(names, str) or (isinstance(names, list | tuple) and all(isinstance(each, str) for each in names)):
        return FileNames.parse(names)
    raise ValueError("it has to be a pattern such as delftx-{date}.zip, or a list of them")


def _courses(text: str) -> str:
    """Spell course keys as in names of files, those of CCX coaches' sections too."""
    names = re.split(r"[,\s]+", text.strip())
    keys = (name.removeprefix("course-v1:").removeprefix("ccx-v1:") for name in names)
    return " ".join(re.sub(r"[+/]|(?<=\+ccx)@", "-", key) for key in keys)


def _none_if_empty(value: Any) -> Any:  # noqa: ANN401 - pydantic's
    return None if value == "" else value


def _text_like(pattern: str, *other_types: str) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", *other_types], "pattern": f"^({pattern})$"})


Optional = BeforeValidator(_none_if_empty)
StoreUrl = Annotated[
    str, AfterValidator(_store_url), WithJsonSchema({"type": "string", "pattern": "^((s3|gs|file)://|/)"})
]
OptionalUrl = Annotated[
    str,
    AfterValidator(lambda url: url and _store_url(url)),
    BeforeValidator(lambda url: "" if url is None else url),
    WithJsonSchema({"type": ["string", "null"], "pattern": "^((s3|gs|file)://|/|$)"}),
]
OptionalText = Annotated[str | None, Optional]
Courses = Annotated[str, AfterValidator(_courses)]
Names = Annotated[
    FileNames,
    BeforeValidator(_file_names),
    WithJsonSchema({"if": {"type": "array"}, "then": {"items": _PATTERN}, "else": _PATTERN}),
]


class VaultSettings(BaseModel):
    """The way to log in to Vault; see `ol_orchestrate.resources.secrets.vault.Vault`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str | None, AfterValidator(lambda address: address and _address(address)), Optional] = Field(
        default=None,
        description="Vault's address; there is no Vault where it is empty",
        json_schema_extra={"variable": "VAULT_ADDR"},
    )
    namespace: OptionalText = Field(
        default=None,
        description="A namespace of Vault Enterprise or OpenBao",
        json_schema_extra={"variable": "VAULT_NAMESPACE"},
    )
    cacert: OptionalText = Field(
        default=None,
        description="A file of certificate authorities to trust",
        json_schema_extra={"variable": "VAULT_CACERT"},
    )
    auth_method: AuthMethod = Field(
        default=AuthMethod.TOKEN,
        description="The way to log in",
        json_schema_extra={"variable": "VAULT_AUTH_METHOD"},
    )
    role: OptionalText = Field(
        default=None, description="The role to log in to", json_schema_extra={"variable": "VAULT_ROLE"}
    )
    auth_mount: OptionalText = Field(
        default=None,
        description="Where the login method is mounted, below auth/",
        json_schema_extra={"variable": "VAULT_AUTH_MOUNT"},
    )
    jwt_path: OptionalText = Field(
        default=None,
        description="A file with the JSON web token, for kubernetes and jwt",
        json_schema_extra={"variable": "VAULT_JWT_PATH"},
    )

    def client(self) -> VaultClient:
        """Return a client, which logs in when it first reads a secret."""
        return VaultClient(
            address=self.address,
            namespace=self.namespace,
            cacert=self.cacert,
            auth_method=self.auth_method,
            role=self.role,
            mount=self.auth_mount,
            jwt_path=self.jwt_path,
        )


class CourseWebhookSettings(BaseModel):
    """The message about a new version of a course's export; see `edxorg.lib.course_message`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str | None, AfterValidator(lambda url: url and _webhook_url(url)), Optional] = Field(
        default=None,
        description="The address that is told of each new version of a course's export by POST; no one is told where "
        f"it is empty. Values of the message can be parts of its path: {SHOWN_VALUES}",
    )
    body: Annotated[str, AfterValidator(_webhook_body), BeforeValidator(_json_text), WithJsonSchema({})] = Field(
        default=DEFAULT_BODY, description="The message, JSON with the same values in its texts"
    )
    source: str = Field(default="", description="The value `{source}`")
    header: Annotated[str, _text_like(_HEADER), AfterValidator(_header)] = Field(
        default="X-Signature", description="The header with the HMAC-SHA256 of the message in hexadecimal digits"
    )
    secret_path: OptionalText = Field(
        default=None,
        description="Path in Vault of the secret to sign with, unless EDXORG_COURSE_WEBHOOK_SECRET holds it",
    )
    secret_field: str = Field(default="secret", description="The field of that secret; `a.b` is field b of field a")


class Settings(BaseSettings):
    """The settings: from attributes, else a file, else variables, else what the institution has by default.

    Raises:
        SettingsError: One cannot be used, or is none. The message names each, and what to do.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="EDXORG_", hide_input_in_errors=True)
    outside: ClassVar[tuple[type[SettingsFile | Variables], ...]] = (SettingsFile, Variables)

    institution: Annotated[str, AfterValidator(_institution), _text_like(_INSTITUTION)] = Field(
        default="mit",
        description="Whose defaults apply: `mit`, or a name of your own, for which nothing of MIT's does",
    )
    environment: Environment = Field(
        default=Environment.DEV,
        description="The environment that Dagster runs in",
        json_schema_extra={"variable": "DAGSTER_ENVIRONMENT"},
    )
    name: Annotated[str, AfterValidator(_identifier), _text_like(_NAME)] = Field(
        default="edxorg",
        description="What asset keys, partition sets, pools, jobs and sensors begin with; another one for each "
        "location of a Dagster instance",
    )
    archive_url: OptionalUrl = Field(
        default="",
        description="The folder with archives and tracking logs, in it or below: gs://, s3://, file:// or a whole path",
    )
    tracking_log_url: OptionalUrl = Field(
        default="", description="The folder with tracking logs, if it is another one; folders below are looked into"
    )
    archive_profile: OptionalText = Field(default=None, description="The AWS profile to read these folders with")
    archive_is_public: bool = Field(
        default=False, description="Whether these folders are read without credentials, as public buckets allow"
    )
    archive_name: Names = Field(
        description="How archives are named: a pattern or several, `{date}` being YYYY-MM-DD and `{site}` prod or "
        "edge; or a regular expression with a group `date`",
    )
    tracking_log_name: Names = Field(description="How tracking logs are named, likewise")
    archive_source_configured: bool = Field(
        default=False,
        description="Whether there are sensors for archives and logs. By default there are outside of `dev`, and where "
        "an archive URL, Vault, Google's credentials or an emulator is set",
    )
    landing_zone_url: StoreUrl = Field(description="Where everything lands: s3://, gs://, file:// or a whole path")
    program_reports_url: OptionalUrl = Field(default="", description="Where program reports come from")
    program_reports_destination_url: StoreUrl = Field(description="Where program reports go")
    program_reports_profile: OptionalText = Field(
        default=None, description="The AWS profile to read program reports with"
    )
    course_bundles_url: OptionalUrl = Field(
        default="", description="Where course bundles come from; there is no job for them where it is empty"
    )
    course_bundles_destination_url: StoreUrl = Field(description="Where course bundles go")
    vault: VaultSettings = Field(default_factory=VaultSettings, description="Vault, and how to log in there")
    google_secret_path: OptionalText = Field(
        default=None, description="Path in Vault of a Google service account's fields"
    )
    api_secret_path: OptionalText = Field(
        default=None, description="Path in Vault of the OAuth client for the edX API: id, secret, url"
    )
    gpg_key_file: OptionalText = Field(
        default=None,
        description="A file with the private keys that open edX's encrypted files, as gpg --export-secret-keys "
        "makes it",
    )
    gpg_passphrase_file: OptionalText = Field(
        default=None, description="A file with the passphrase of these keys, or several, one a line"
    )
    gpg_secret_path: OptionalText = Field(
        default=None,
        description="Path in Vault of these keys, if there is no file: private_key and perhaps "
        "passphrase (or several, one a line)",
    )
    alert_secret_path: OptionalText = Field(
        default=None,
        description="Path in Vault of the addresses at which operators are told of failures, in the field `urls`; "
        "EDXORG_ALERT_URLS gives them without Vault",
    )
    course_webhook: CourseWebhookSettings = Field(
        default_factory=CourseWebhookSettings, description="Messages about new versions of courses"
    )
    error_reports: bool = Field(
        default=False,
        description="Whether failed runs are reported to Sentry, which needs the extra `sentry`. By default they are "
        "where SENTRY_DSN is set",
    )
    catalogue_number: Annotated[int | None, Field(ge=1), Optional] = Field(
        default=None, description="Your catalogue's number in the Discovery API; courses need one"
    )
    api_requests_per_hour: int = Field(
        default=190, ge=1, description="Requests to the edX API, which allows 200 an hour"
    )
    owner: Annotated[str | None, AfterValidator(_owner), Optional, _text_like(f"{_OWNER}|", "null")] = Field(
        default=None, description="Owner of all assets: an e-mail address, or team:name"
    )
    courses: Courses = Field(
        default="",
        description="The courses to deliver from archives, all by default: names as in file names, course keys, or "
        "patterns such as `MITx-6.00x-*`, with spaces between them",
    )
    escapes: Escapes = Field(default=Escapes.KEEP, description="Tables' backslash escapes")
    row_hash: RowHash = Field(
        default=RowHash.RECORD, description="The row hash; `concatenated` is that of an older pipeline"
    )
    course_xml_max_ratio: int = Field(
        default=200,
        ge=1,
        le=999_999_999,
        description="How many times larger than itself a course's export may be when it is unpacked; a larger one is "
        "refused as a bomb",
    )
    source_interval_seconds: Annotated[int, Field(ge=1)] = Field(
        default=3600, description="Seconds between two looks of the sensors at archives and at tracking logs"
    )
    archive_max_age_days: Annotated[int, Field(ge=1)] = Field(
        default=8,
        description="Days after which the last archive counts as stale in the UI; never in `dev`. Archives come once a "
        "week, and with 7 days each that is some hours late would raise an alarm",
    )
    tracking_log_max_age_days: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Days after which the last tracking log counts as stale in the UI; never in `dev`"
    )
    catalogue_max_age_hours: Annotated[int, Field(ge=1)] = Field(
        default=26,
        description="Hours after which the last complete catalogue counts as stale in the UI; it is asked for once a "
        "day. Never in `dev`",
    )
    runs_a_tick: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=50, description="Runs that a sensor asks for at most at one tick; the next tick goes on"
    )
    logs_a_run: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=25, description="Tracking logs in one run of a backfill, so that Dagster is loaded once for all of them"
    )
    courses_a_run: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=250, description="Courses whose content one run brings up to date after an archive"
    )
    follow_code_versions: bool = Field(
        default=False,
        description="Whether automation brings the content of all courses up to date after a release that reads them "
        "better",
    )
    workers: Annotated[int | None, Field(ge=1, le=64), Optional] = Field(
        default=None,
        description="Worker processes of a run; by default as many as the container has processors, four at most, "
        "two for an archive to gs://",
    )

    @property
    def logs_url(self) -> str:
        """The folder of the tracking logs."""
        return self.tracking_log_url or self.archive_url

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - whatever the fields take
        """Read what `attributes` does not give from the file and the variables."""
        try:
            super().__init__(**attributes)
        except ValidationError as error:
            raise SettingsError(mistakes(type(self), error, attributes)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in their order: the first one that gives a value wins."""
        del env_settings, dotenv_settings, file_secret_settings
        outside = (source(settings_cls) for source in cls.outside)
        return (init_settings, *outside, InstitutionDefaults(settings_cls))

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        self.archive_name.refuse_overlap(self.tracking_log_name)
        return self


class DefaultSettings(Settings):
    """The settings of a laptop, whatever file and variables say."""

    outside = ()

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - or mypy takes pydantic's, which asks for fields
        super().__init__(**attributes)

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from edxorg.lib.settings import Environment, Settings, SettingsError
from edxorg.lib.tables import Escapes, RowHash

HERE = Path("/here")


def settings(**environ: str) -> Settings:
    return Settings.from_environ(environ, folder=HERE)


def test_nothing_set_is_a_laptop() -> None:
    found = settings()
    assert found.environment is Environment.DEV
    assert found.archive_url == "gs://simeon-mitx-pipeline-main/COLD"
    assert found.landing_zone_url == "file:///here/.edxorg/landing-zone"
    assert found.program_reports_destination_url == "file:///here/.edxorg/program-reports"
    assert found.program_reports_url == "s3://edx-program-reports/reports_v2/MITx"
    assert not found.archive_source_configured
    assert found.vault.auth_method == "token"
    assert (found.escapes, found.row_hash) == (Escapes.KEEP, RowHash.RECORD)


@pytest.mark.parametrize(
    ("environment", "landing_zone", "reports"),
    [
        (
            "ci",
            "s3://ol-data-lake-landing-zone-ci",
            "s3://ol-data-lake-landing-zone-ci/edxorg-program-credentials",
        ),
        (
            "qa",
            "s3://ol-data-lake-landing-zone-qa",
            "s3://ol-data-lake-landing-zone-qa/edxorg-program-credentials",
        ),
        (
            "production",
            "s3://ol-data-lake-landing-zone-production/edxorg-raw-data",
            "s3://ol-data-lake-landing-zone-production/edxorg-program-credentials",
        ),
    ],
)
def test_each_environment_has_its_places(environment: str, landing_zone: str, reports: str) -> None:
    found = settings(DAGSTER_ENVIRONMENT=environment)
    assert found.landing_zone_url == landing_zone
    assert found.program_reports_destination_url == reports
    assert found.archive_source_configured
    assert found.vault.auth_method == "kubernetes"


def test_variables_win_and_an_empty_one_counts_as_not_set() -> None:
    found = settings(
        EDXORG_LANDING_ZONE_URL="gs://lake/below/",
        EDXORG_ARCHIVE_URL="",
        EDXORG_ESCAPES="decode",
        EDXORG_ROW_HASH="concatenated",
        EDXORG_COURSE_XML_MAX_RATIO="1000",
        VAULT_AUTH_METHOD="approle",
    )
    assert found.landing_zone_url == "gs://lake/below"
    assert found.archive_url == "gs://simeon-mitx-pipeline-main/COLD"
    assert not found.archive_source_configured
    assert (found.escapes, found.row_hash) == (Escapes.DECODE, RowHash.CONCATENATED)
    assert found.course_xml_max_ratio == 1_000
    assert found.vault.auth_method == "approle"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("VAULT_ADDR", "address"),
        ("VAULT_NAMESPACE", "namespace"),
        ("VAULT_CACERT", "cacert"),
        ("VAULT_ROLE", "role"),
        ("VAULT_AUTH_MOUNT", "auth_mount"),
        ("VAULT_JWT_PATH", "jwt_path"),
    ],
)
@pytest.mark.parametrize("environment", ["dev", "production"])
def test_each_variable_of_vault_is_read(environment: str, name: str, field: str) -> None:
    assert getattr(settings(**{"DAGSTER_ENVIRONMENT": environment, name: "given"}).vault, field) == "given"


@pytest.mark.parametrize(
    "name", ["EDXORG_ARCHIVE_URL", "VAULT_ADDR", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"]
)
def test_any_sign_of_an_archive_source_counts(name: str) -> None:
    assert settings(**{name: "file:///folder"}).archive_source_configured


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DAGSTER_ENVIRONMENT", "staging", "dev, ci, qa, production"),
        ("EDXORG_ESCAPES", "undo", "keep, decode"),
        ("EDXORG_ROW_HASH", "md5", "record, concatenated"),
        ("EDXORG_COURSE_XML_MAX_RATIO", "0", "a whole number, 1 or more"),
        ("EDXORG_COURSE_XML_MAX_RATIO", "200:1", "a whole number, 1 or more"),
        ("VAULT_AUTH_METHOD", "ldap", "token, kubernetes, aws-iam, jwt, approle, github"),
        ("EDXORG_LANDING_ZONE_URL", "/a/folder", "file:///folder"),
        ("EDXORG_PROGRAM_REPORTS_URL", "ftp://x", "s3://bucket/prefix"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_can(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        settings(**{name: value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mitx-2024-01-31.tar.gz", date(2024, 1, 31)),
        ("mitx-2024-02-31.tar.gz", None),
        ("mitx-2024-01-31.tar.gz.part", None),
        ("x-mitx-2024-01-31.tar.gz", None),
        ("internal-2024-01-31.zip", None),
        ("mitx-2024-01-31.tar.gz\n", None),
    ],
)
def test_the_date_in_an_archives_name(name: str, expected: date | None) -> None:
    assert Settings().archive_name.date_in(name) == expected


@pytest.mark.parametrize(
    "variable",
    [
        "EDXORG_ARCHIVE_URL",
        "EDXORG_LANDING_ZONE_URL",
        "EDXORG_PROGRAM_REPORTS_URL",
        "EDXORG_PROGRAM_REPORTS_DESTINATION_URL",
        "EDXORG_API_URL",
        "EDXORG_API_TOKEN_URL",
        "VAULT_ADDR",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "STORAGE_EMULATOR_HOST",
    ],
)
@pytest.mark.parametrize("address", ["https://user:hidden@h.example/x", "https://h.example/x?X-Amz-Signature=hidden"])
def test_an_address_with_credentials_is_refused_by_name_without_repeating_them(variable: str, address: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: .*h.example/x.*is refused") as caught:
        settings(**{variable: address})
    assert "hidden" not in repr(caught.value)


def test_a_proxy_may_hold_credentials() -> None:
    assert settings(HTTPS_PROXY="http://user:password@proxy.example:3128").vault.address == ""

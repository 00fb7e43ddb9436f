from __future__ import annotations

import os
import re
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from edxorg.lib.settings import DefaultSettings, Environment, FileNames, Settings, settings_pages
from edxorg.lib.settings.sources import Given, settings_of
from edxorg.lib.tables import Escapes, RowHash
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.lib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


MIT = ("mit", "MIT", "simeon", "ol-data", "edx-program-reports", "secret-data", "ol-data-lake")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and no variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    return tmp_path


def settings(**environ: str) -> Settings:
    os.environ.update(environ)
    return Settings()


def test_nothing_set_is_a_laptop(here: Path) -> None:
    found = settings()
    assert found.environment is Environment.DEV
    assert found.archive_url == "gs://simeon-mitx-pipeline-main/COLD"
    assert found.landing_zone_url == f"file://{here}/.edxorg/landing-zone"
    assert found.program_reports_destination_url == f"file://{here}/.edxorg/program-reports"
    assert found.program_reports_url == "s3://edx-program-reports/reports_v2/MITx"
    assert not found.archive_source_configured
    assert (found.vault.address, found.vault.auth_method) == (None, "token")
    assert (found.escapes, found.row_hash) == (Escapes.KEEP, RowHash.RECORD)


@pytest.mark.parametrize(
    ("environment", "landing_zone"),
    [
        ("ci", "s3://ol-data-lake-landing-zone-ci"),
        ("qa", "s3://ol-data-lake-landing-zone-qa"),
        ("production", "s3://ol-data-lake-landing-zone-production/edxorg-raw-data"),
    ],
)
def test_each_environment_has_its_places(environment: str, landing_zone: str) -> None:
    found = settings(DAGSTER_ENVIRONMENT=environment)
    assert found.landing_zone_url == landing_zone
    reports = f"s3://ol-data-lake-landing-zone-{environment}/edxorg-program-credentials"
    assert found.program_reports_destination_url == reports
    assert found.archive_source_configured
    assert (found.vault.address, found.vault.auth_method) == (f"https://vault-{environment}.odl.mit.edu", "kubernetes")


def test_variables_win_over_defaults() -> None:
    found = settings(
        EDXORG_LANDING_ZONE_URL="gs://lake/below/",
        EDXORG_ESCAPES="decode",
        EDXORG_ROW_HASH="concatenated",
        EDXORG_COURSE_XML_MAX_RATIO="1000",
        VAULT_AUTH_METHOD="approle",
    )
    assert found.landing_zone_url == "gs://lake/below"
    assert found.archive_url == "gs://simeon-mitx-pipeline-main/COLD"
    assert (found.escapes, found.row_hash) == (Escapes.DECODE, RowHash.CONCATENATED)
    assert found.course_xml_max_ratio == 1_000
    assert found.vault.auth_method == "approle"


def test_an_empty_variable_switches_a_default_off() -> None:
    found = settings(
        DAGSTER_ENVIRONMENT="production",
        VAULT_ADDR="",
        EDXORG_ARCHIVE_URL="",
        EDXORG_PROGRAM_REPORTS_PROFILE="",
        EDXORG_CATALOGUE_NUMBER="",
    )
    assert found.vault.address is None
    assert (found.archive_url, found.archive_source_configured) == ("", False)
    assert (found.program_reports_profile, found.catalogue_number) == (None, None)


def values() -> Iterator[tuple[str, str]]:
    """Something else than the default for each variable."""
    special = {
        "address": "https://vault.example",
        "url": "https://learn.example/hook",
        "body": '{"other":1}',
        "institution": "delftx",
        "environment": "qa",
        "archive_name": "x-{date}.zip",
        "tracking_log_name": "y-{date}.log.gz",
        "archive_is_public": "True",
        "error_reports": "True",
        "follow_code_versions": "True",
        "archive_source_configured": "True",
        "auth_method": "jwt",
        "escapes": "decode",
        "owner": "team:other",
        "row_hash": "concatenated",
    }
    for setting in settings_of(Settings):
        last = setting.path[-1]
        is_number = "int" in str(setting.field.annotation) or "float" in str(setting.field.annotation)
        other = (
            "7"
            if is_number or last == "catalogue_number"
            else f"s3://other/{last}"
            if last.endswith("url")
            else "other"
        )
        for variable in setting.variables:
            yield variable, special.get(last, other)


@pytest.mark.parametrize(("variable", "value"), list(values()))
def test_each_field_is_set_by_its_variable_and_by_its_attribute(variable: str, value: str) -> None:
    setting = next(each for each in settings_of(Settings) if variable in each.variables)
    assert str(setting.value(settings())) != value
    assert str(setting.value(settings(**{variable: value}))) == value
    del os.environ[variable]
    attributes: dict[str, Any] = {setting.path[-1]: value}
    for part in reversed(setting.path[:-1]):
        attributes = {part: attributes}
    assert str(setting.value(Settings(**attributes))) == value


def test_attributes_win_over_a_file_and_a_file_over_variables(here: Path) -> None:
    (here / "s.yaml").write_text(
        "landing_zone_url: s3://from-file\narchive_url: s3://from-file\nvault: {role: from-file}\n"
    )
    os.environ |= {
        "EDXORG_SETTINGS": "s.yaml",
        "EDXORG_LANDING_ZONE_URL": "s3://from-variable",
        "EDXORG_ARCHIVE_URL": "s3://from-variable",
        "EDXORG_CATALOGUE_NUMBER": "42",
        "VAULT_NAMESPACE": "from-variable",
    }
    found = Settings(archive_url="s3://from-attribute")
    assert found.archive_url == "s3://from-attribute"
    assert found.landing_zone_url == "s3://from-file"
    assert found.catalogue_number == 42
    assert (found.vault.role, found.vault.namespace) == ("from-file", "from-variable")
    assert list(Given.shown(Settings())) == [
        ("archive_url", "s3://from-file", "s.yaml"),
        ("landing_zone_url", "s3://from-file", "s.yaml"),
        ("vault.namespace", "from-variable", "VAULT_NAMESPACE"),
        ("vault.role", "from-file", "s.yaml"),
        ("catalogue_number", "42", "EDXORG_CATALOGUE_NUMBER"),
    ]
    assert DefaultSettings().catalogue_number == 10


def test_the_defs_yaml_of_a_component_is_a_file_of_settings(here: Path) -> None:
    (here / "defs.yaml").write_text(
        "type: another.Component\nattributes: {x: 1}\n---\n"
        "type: edxorg.components.EdxorgLocation\n"
        "attributes:\n  landing_zone_url: s3://{{ env.LAKE }}/x\n  catalogue_number: 42\n"
    )
    found = settings(EDXORG_SETTINGS=str(here / "defs.yaml"), LAKE="lake")
    assert (found.landing_zone_url, found.catalogue_number) == ("s3://lake/x", 42)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("archve_url: s3://x", "archve_url in .*s.yaml is no setting, did you mean archive_url?"),
        ("vault: {adress: x}", "vault.adress in .*s.yaml is no setting, did you mean vault.address?"),
        ("catalogue_number: ten", "catalogue_number in .*s.yaml: 'ten' does not fit: it can be a whole number"),
        ("a: [", "s.yaml is no YAML: .* line 1"),
        ("- a\n- b", "should hold the settings of one location"),
        ("landing_zone_url: s3://{{ env.NOT_SET }}", "set NOT_SET"),
        ("landing_zone_url: s3://{{ context.x }}", "only {{ env.NAME }} is rendered here"),
        ("archive_name: [1]", "archive_name in .*s.yaml: it has to be a pattern such as delftx-{date}.zip"),
        ("vault: here", "vault: it has attributes of its own"),
        ("archive_url: false", "archive_url in .*s.yaml: it has to be a text"),
        (None, "s.yaml cannot be read: No such file"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_in_one_line(here: Path, content: str | None, message: str) -> None:
    if content is not None:
        (here / "s.yaml").write_text(content)
    with pytest.raises(SettingsError, match=message) as caught:
        settings(EDXORG_SETTINGS="s.yaml")
    assert "\n" not in str(caught.value)


def test_an_attribute_without_a_value_says_which_variable_to_set() -> None:
    with pytest.raises(SettingsError, match=r"^landing_zone_url: it has no value: .* set the variable"):
        Settings(landing_zone_url=None)  # as Dagster renders a template of a variable that is unset


@pytest.mark.parametrize("attribute", ["archve_url", "landing_zone"])
def test_a_misspelt_attribute_is_named_with_the_nearest(attribute: str) -> None:
    nearest = {"archve_url": "archive_url", "landing_zone": "landing_zone_url"}[attribute]
    with pytest.raises(SettingsError, match=f"^{attribute} is no setting, did you mean {nearest}"):
        Settings(**{attribute: "s3://x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EDXORG_ARCHIVE_URL", "file:///folder"),
        ("VAULT_ADDR", "https://vault.example"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "key.json"),
        ("STORAGE_EMULATOR_HOST", "localhost:4443"),
    ],
)
def test_any_sign_of_an_archive_source_counts(name: str, value: str) -> None:
    assert settings(**{name: value}).archive_source_configured


def test_the_name_of_an_institution_is_read_in_any_case() -> None:
    assert settings(EDXORG_INSTITUTION="MIT") == settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DAGSTER_ENVIRONMENT", "staging", "dev, ci, qa, production"),
        ("EDXORG_ESCAPES", "undo", "keep, decode"),
        ("VAULT_ADDR", "ftp://vault", "begin with https://"),
        ("EDXORG_ROW_HASH", "md5", "record, concatenated"),
        ("EDXORG_COURSE_XML_MAX_RATIO", "0", "a whole number, 1 or more"),
        ("EDXORG_COURSE_XML_MAX_RATIO", "200:1", "a whole number, 1 or more"),
        ("EDXORG_WORKERS", "65", "64 at most"),
        ("EDXORG_CATALOGUE_NUMBER", "ten", "a whole number, 1 or more"),
        ("EDXORG_ARCHIVE_SOURCE_CONFIGURED", "perhaps", "true or false"),
        ("VAULT_AUTH_METHOD", "ldap", "token, kubernetes, aws-iam, jwt, approle, github"),
        ("EDXORG_LANDING_ZONE_URL", "a/folder", "file:///folder"),
        ("EDXORG_LANDING_ZONE_URL", "", "file:///folder"),
        ("EDXORG_PROGRAM_REPORTS_URL", "ftp://x", "s3://bucket/prefix"),
        ("EDXORG_ARCHIVE_NAME", "delftx.zip", "does not say where the date stands"),
        ("EDXORG_ARCHIVE_NAME", "a/{date}.zip", "has a slash"),
        ("EDXORG_ARCHIVE_NAME", "{date}-{day}.zip", "only {date} and {site} stand for something"),
        ("EDXORG_ARCHIVE_NAME", "(?P<date>.*", "is no regular expression"),
        ("EDXORG_ARCHIVE_NAME", "{date}.zip, {date}.zip, {date}(.zip", ""),
        ("EDXORG_ARCHIVE_NAME", r"{date}.zip (?P<date>.{10})\.zip", "'2024-01-31.zip' fits both '{date}.zip' and"),
        ("EDXORG_OWNER", "somebody", "an e-mail address, or team:name"),
        ("EDXORG_NAME", "a/b", "letters, digits and underscores"),
        ("EDXORG_INSTITUTION", "a b", "letters, digits"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_can(name: str, value: str, message: str) -> None:
    if not message:
        assert settings(**{name: value}).archive_name.example == "2024-01-31.zip or 2024-01-31(.zip"
        return
    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        settings(**{name: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"^DAGSTER_ENVIRONMENT: .*; EDXORG_WORKERS: "):
        settings(DAGSTER_ENVIRONMENT="x", EDXORG_WORKERS="none")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("EDXORG_ARCHVE_URL", "EDXORG_ARCHIVE_URL"),
        ("EDXORG_LANDING_ZONE", "EDXORG_LANDING_ZONE_URL"),
        ("EDXORG_API_CLIENT_SECRETS", "EDXORG_API_CLIENT_SECRET"),
        ("EDXORG_SETTING", "EDXORG_SETTINGS"),
        ("EDXORG_VAULT_ADRESS", "EDXORG_VAULT_ADDRESS"),
        ("EDXORG_NMAE", "EDXORG_NAME"),
    ],
)
def test_a_variable_that_is_none_is_named_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is no setting, did you mean {nearest}") as caught:
        settings(**{name: "canary"})
    assert "canary" not in str(caught.value)
    assert "EDXORG_LANDING_ZONE_URL, " in str(caught.value)


def test_a_variable_like_none_is_named_without_a_guess() -> None:
    with pytest.raises(SettingsError, match=r"^EDXORG_FOO is no setting \(docs/settings\.md describes all: EDXORG_"):
        settings(EDXORG_FOO="canary")


@pytest.mark.parametrize(("value", "url"), [("/data/lake/", "file:///data/lake"), ("lake", None)])
def test_a_place_can_be_the_whole_path_of_a_folder(value: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(SettingsError, match="'lake' is no URL of a store"):
            settings(EDXORG_LANDING_ZONE_URL=value)
        return
    found = settings(EDXORG_LANDING_ZONE_URL=value, EDXORG_ARCHIVE_URL=value)
    assert (found.landing_zone_url, found.archive_url) == (url, url)


@pytest.mark.parametrize("service", ["EDXORG", "EDXORG_USER_CODE"])
def test_what_kubernetes_sets_for_a_service_is_no_mistake(service: str) -> None:
    host = {f"{service}_SERVICE_HOST": "10.0.0.1", f"{service}_SERVICE_PORT_GRPC": "4000"}
    port = {f"{service}_PORT": "tcp://10.0.0.1:4000", f"{service}_PORT_4000_TCP_ADDR": "10.0.0.1"}
    assert settings(**host, **port).name == "edxorg"


@pytest.mark.parametrize("environment", ["dev", "ci", "qa", "production"])
def test_another_institution_has_nothing_of_mit(environment: str) -> None:
    found = settings(
        EDXORG_INSTITUTION="delftx",
        DAGSTER_ENVIRONMENT=environment,
        EDXORG_ARCHIVE_URL="s3://delftx-in/x",
        EDXORG_LANDING_ZONE_URL="gs://delftx-lake/raw",
    )
    # The names of all that comes from edX.org are no value of MIT's.
    texts = [str(setting.value(found)) for setting in settings_of(Settings)]
    assert [text for text in texts if any(word in text for word in MIT)] == []
    assert found.program_reports_destination_url == "gs://delftx-lake/raw/edxorg-program-credentials"
    assert (found.vault.address, found.program_reports_profile, found.program_reports_url) == (None, None, "")
    assert found.archive_name.date_in("delftx-2024-01-31.zip") == date(2024, 1, 31)


def test_files_of_an_institution_are_named_in_lower_case() -> None:
    found = settings(EDXORG_INSTITUTION="DelftX")

    assert found.archive_name.date_in("delftx-2024-01-31.zip") == date(2024, 1, 31)
    assert found.tracking_log_name.date_in("delftx-edge-events-2024-01-31.log.gz.gpg") == date(2024, 1, 31)


@pytest.mark.parametrize("environment", ["ci", "qa", "production"])
def test_another_institution_has_to_say_where(environment: str) -> None:
    with pytest.raises(SettingsError, match="set EDXORG_ARCHIVE_URL and EDXORG_LANDING_ZONE_URL"):
        settings(EDXORG_INSTITUTION="delftx", DAGSTER_ENVIRONMENT=environment)
    with pytest.raises(SettingsError, match="set EDXORG_LANDING_ZONE_URL,"):
        settings(EDXORG_ARCHIVE_URL="")


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("mitx-{date}.tar.gz", "mitx-2024-01-31.tar.gz", date(2024, 1, 31)),
        ("mitx-{date}.tar.gz", "mitx-2024-02-31.tar.gz", None),
        ("mitx-{date}.tar.gz", "mitx-2024-01-31.tar.gz.part", None),
        ("mitx-{date}.tar.gz", "x-mitx-2024-01-31.tar.gz", None),
        ("mitx-{date}.tar.gz", "mitx-2024-01-31.tarxgz", None),
        ("mitx-{date}.tar.gz", "mitx-2024-01-31.tar.gz\n", None),
        ("mitx-{date}.tar.gz", "mitx-٢٠٢٤-01-31.tar.gz", None),
        ("x-{site}-{date}.gz", "x-prod-2024-01-31.gz", date(2024, 1, 31)),
        ("x-{site}-{date}.gz", "x-stage-2024-01-31.gz", None),
        ("{date}/{date}".replace("/", "_"), "2024-01-31_2024-01-31", date(2024, 1, 31)),
        ("{date}/{date}".replace("/", "_"), "2024-01-31_2024-02-01", None),
        (r"d-(?P<date>\d{4}-\d{2}-\d{2})(-v\d{1,2})?\.zip", "d-2024-01-31-v12.zip", date(2024, 1, 31)),
        (r"d(?:-(?P<date>\d{4}-\d{2}-\d{2}))?\.zip", "d.zip", None),
        ("a-{date}.zip,b-{date}.zip", "b-2024-01-31.zip", date(2024, 1, 31)),
        ("a-{date}.zip b-{date}.zip", "b-2024-01-31.zip", date(2024, 1, 31)),
        ('["a-{date}.zip", "b, {date}.zip"]', "b, 2024-01-31.zip", date(2024, 1, 31)),
        (r"[ab]-(?P<date>[\d-]{10,10})\.zip", "b-2024-01-31.zip", date(2024, 1, 31)),
    ],
)
def test_the_date_in_a_files_name(pattern: str, name: str, expected: date | None) -> None:
    assert FileNames.parse(pattern).date_in(name) == expected


def test_archives_and_logs_of_one_pattern_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"'x-2024-01-31\.gz' fits both"):
        settings(EDXORG_ARCHIVE_NAME="x-{date}.gz", EDXORG_TRACKING_LOG_NAME=r"(?P<date>.*)\.log x-{date}.gz")


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


@pytest.mark.parametrize("field", ["archive_url", "program_reports_url"])
def test_an_attribute_with_credentials_is_refused_without_repeating_them(field: str) -> None:
    with pytest.raises(SettingsError, match="is refused") as caught:
        Settings(**{field: "s3://key:hidden@bucket/x"}, vault={"address": "https://user:hidden@h.example"})
    assert "hidden" not in repr(caught.value)


def test_a_proxy_may_hold_credentials() -> None:
    assert settings(HTTPS_PROXY="http://user:password@proxy.example:3128").vault.address is None


def test_the_pages_of_settings_are_written_from_the_fields() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_pages.markdown()
    assert (ROOT / ".env.example").read_text() == settings_pages.example()


@pytest.mark.parametrize(("institution", "name"), [("delft-x", "delft_x"), ("3mx", "edxorg_3mx")])
def test_a_scaffolded_file_has_each_setting_with_its_default(here: Path, institution: str, name: str) -> None:
    text = settings_pages.yaml_example("edxorg.components.EdxorgLocation", institution=institution)
    uncommented = re.sub(r"^  # (?=( *)[a-z_]+:( |$))", "  ", text, flags=re.MULTILINE)
    (here / "defs.yaml").write_text(uncommented)
    found = settings(EDXORG_SETTINGS=str(here / "defs.yaml"))
    assert found == Settings(institution=institution, name=name)
    assert {place for _, _, place in Given.shown(found)} == {str(here / "defs.yaml")}
    assert len(list(Given.shown(found))) == len(list(settings_of(Settings)))


@pytest.mark.parametrize(
    ("attributes", "mistaken"),
    [
        ({}, []),
        ({"archive_name": "x-{date}.zip", "catalogue_number": "{{ env.N }}", "vault": {"role": "r"}}, []),
        ({"archive_name": ["x-{date}.zip", "(?P<date>.*)"], "archive_url": "", "workers": None}, []),
        ({"archive_name": "x.zip"}, ["archive_name"]),
        ({"archive_name": ["x.zip"]}, ["archive_name"]),
        (
            {"landing_zone_url": "ftp://x", "escapes": "never", "workers": "two"},
            ["escapes", "landing_zone_url", "workers"],
        ),
        ({"vault": {"auth_method": "ldap"}}, ["vault"]),
        ({"name": "delft/x", "institution": "a/b", "owner": "nobody"}, ["institution", "name", "owner"]),
        ({"name": "{{ env.N }}", "institution": "delft-x", "owner": None}, []),
    ],
)
def test_the_schema_finds_mistakes_in_a_file_before_dagster_loads_it(
    attributes: dict[str, Any], mistaken: list[str]
) -> None:
    errors = Draft202012Validator(settings_pages.yaml_schema()).iter_errors(attributes)
    assert sorted({str(error.path[0]) for error in errors}) == mistaken
    (error,) = Draft202012Validator(settings_pages.yaml_schema()).iter_errors({"archve_url": "s3://x"})
    assert "'archve_url' was unexpected" in error.message

"""What the location is made of, loaded with nothing configured."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource
from pydantic import ValidationError

from edxorg.components import EdxorgLocation
from edxorg.components.edxorg_location import build_definitions
from edxorg.definitions import defs
from edxorg.lib import code_versions
from edxorg.lib.alert_addresses import alert_addresses
from edxorg.lib.dictionary import DICTIONARY
from edxorg.lib.settings import Settings
from edxorg.samples.sample_tables import TABLES
from edxorg_tests.support.course_files import STRUCTURE_OUTPUTS, XML_OUTPUTS
from edxorg_tests.support.repository import ROOT
from ol_orchestrate.io_managers.filepath import FileObjectIOManager
from ol_orchestrate.landing import course_outputs
from ol_orchestrate.lib.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

GOOGLE_SECRET = "secret-data/pipelines/edx/org/gcp-oauth-client"  # noqa: S105 - where it is, not what

COUNT = """
import json, os
before = set(os.listdir("."))
from edxorg.components import EdxorgLocation
from edxorg.components.edxorg_location import build_definitions
from edxorg.definitions import defs
from edxorg.lib.dictionary import DICTIONARY
from edxorg.lib.settings import Settings
from edxorg.samples.sample_tables import TABLES
repository = defs.get_repository_def()
print(json.dumps({
    "assets": len(defs.assets), "jobs": len(defs.jobs), "sensors": len(defs.sensors),
    "schedules": len(defs.schedules), "resources": sorted(defs.resources),
    "keys": sorted(key.to_user_string() for key in defs.resolve_all_asset_keys()),
    "job_names": sorted(job.name for job in repository.get_all_jobs()),
    "files": sorted(set(os.listdir(".")) - before),
}))
"""

KEYS = [
    "edxorg/api_data/course_metadata",
    "edxorg/api_data/course_run_metadata",
    "edxorg/api_data/courses_raw",
    "edxorg/api_data/program_course_metadata",
    "edxorg/api_data/program_metadata",
    "edxorg/api_data/programs_raw",
    "edxorg/processed_data/course_blocks",
    "edxorg/processed_data/course_certificate_signatory",
    "edxorg/processed_data/course_grading_policy",
    "edxorg/processed_data/course_metadata",
    "edxorg/processed_data/course_policy",
    "edxorg/processed_data/course_static_assets",
    "edxorg/processed_data/course_static_assets_manifest",
    "edxorg/processed_data/course_video",
    "edxorg/processed_data/course_xml_blocks",
    "edxorg/processed_data/flattened_course_structure",
    "edxorg/processed_data/forum_posts",
    "edxorg/raw_data/course_structure",
    "edxorg/raw_data/course_xml",
    "edxorg/raw_data/email_opt_in",
    "edxorg/raw_data/forum_mongo",
    "edxorg/raw_data/tracking_logs",
    "edxorg/raw_data_archive",
    "edxorg/raw_tracking_logs",
]


def load(folder: Path, *, warnings: str = "error", **variables: str) -> dict[str, object]:
    """Load the location in a process of its own, in an empty folder, without network, and count."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    command = [sys.executable, "-W", warnings, "-c", COUNT]
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode == 0:  # noqa: S607
        command = ["unshare", "-rn", *command]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    counted: dict[str, object] = json.loads(result.stdout)
    return counted


def test_definitions_with_nothing_configured(tmp_path: Path) -> None:
    counted = load(tmp_path)
    assert (counted["assets"], counted["jobs"], counted["sensors"], counted["schedules"]) == (9, 3, 1, 1)
    assert counted["resources"] == [
        "edxorg_api",
        "gcp_gcs",
        "gcs_input",
        "io_manager",
        "results_dir",
        "s3",
        "s3_download",
        "s3_upload",
        "s3file_io_manager",
        "vault",
    ]
    keys = counted["keys"]
    assert isinstance(keys, list)
    tables = [key for key in keys if key.startswith("edxorg/raw_data/db_table/")]
    assert len(tables) == 41
    assert sorted(set(keys) - set(tables)) == KEYS
    jobs = counted["job_names"]
    assert isinstance(jobs, list)
    assert {
        "retrieve_edxorg_raw_data",
        "refresh_edxorg_tracking_logs",
        "sync_edxorg_program_reports",
        "edxorg_api_daily_job",
    } <= set(jobs)
    assert counted["files"] == []


def test_an_unknown_environment_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="dev, ci, qa, production"):
        load(tmp_path, DAGSTER_ENVIRONMENT="staging")


def test_with_an_archive_source_there_are_sensors_for_it() -> None:
    found = build_definitions(Settings(archive_url="file:///archives"))
    assert [sensor.name for sensor in found.sensors or []] == [
        "edxorg_program_reports_sensor",
        "gcs_edxorg_archive_sensor",
        "gcs_edxorg_tracking_log_sensor",
        "default_automation_condition_sensor",
    ]


def test_the_resources_for_s3_are_what_code_for_dagsters_takes() -> None:
    resources = defs.resources or {}
    assert all(isinstance(resources[name], S3Resource) for name in ("s3", "s3_download", "s3_upload"))
    assert resources["s3_download"].profile_name == "edxorg"


@pytest.mark.parametrize(
    ("variable", "expected"), [({}, False), ({"EDXORG_ALERT_URLS": "https://hooks.example.org/T0"}, True)]
)
def test_operators_are_told_of_failures_where_they_say_where(
    variable: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, expected: bool
) -> None:
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    sensors = [sensor.name for sensor in build_definitions(Settings()).sensors or []]
    assert ("edxorg_failure_alerts_sensor" in sensors) == expected
    if expected:
        assert alert_addresses(Settings()) == ["https://hooks.example.org/T0"]


def test_the_default_io_manager_is_one_for_files() -> None:
    manager = (defs.resources or {})["io_manager"]
    assert isinstance(manager, FileObjectIOManager)
    assert (manager.url, manager.vault_gcs_token_path) == (Settings().landing_zone_url, GOOGLE_SECRET)


@pytest.mark.parametrize("name", ["s3", "s3_download", "s3_upload"])
def test_an_argument_that_an_account_lacks_is_an_error(name: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        type((defs.resources or {})[name])(profil_name="edxorg")


def test_dagster_finds_nothing_wrong() -> None:
    dg.Definitions.validate_loadable(defs)
    schedule = defs.resolve_schedule_def("edxorg_api_daily_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 5 * * *", "UTC")
    assert defs.resolve_job_def("retrieve_edxorg_raw_data").partitions_def == dg.DynamicPartitionsDefinition(
        name="edxorg_archive"
    )


def test_no_run_of_assets_evaluates_checks_that_run_by_themselves() -> None:
    everything = defs.resolve_implicit_global_asset_job_def()
    for definition in defs.assets or ():
        if isinstance(definition, dg.AssetsDefinition) and definition.is_executable:
            alone = everything.get_subset(asset_selection=set(definition.keys))
            assert [node.name for node in alone.nodes] == [definition.op.name]
    jobs = {job.name: {node.name for node in job.nodes} for job in defs.get_repository_def().get_all_jobs()}
    assert {name for name, nodes in jobs.items() if "list_failed_partitions" in nodes} == {"__ASSET_JOB"}


GROUPS = {
    "edxorg/raw_data_archive": "edxorg_archive",
    "edxorg/raw_data/db_table": "edxorg_archive",
    "edxorg/raw_data/email_opt_in": "edxorg_archive",
    "edxorg/raw_data/forum_mongo": "edxorg_archive",
    "edxorg/processed_data/forum_posts": "edxorg_archive",
    "edxorg/raw_data/course_structure": "edxorg_archive",
    "edxorg/raw_data/course_xml": "edxorg_archive",
    "edxorg/raw_tracking_logs": "edxorg_tracking_logs",
    "edxorg/raw_data/tracking_logs": "edxorg_tracking_logs",
    "edxorg/processed_data": "edxorg_course_content",
    "edxorg/api_data": "edxorg_catalogue",
}


def test_each_asset_shows_what_it_is_whose_it_is_and_its_columns() -> None:
    for spec in build_definitions(Settings(owner="team:data")).resolve_all_asset_specs():
        name = spec.key.to_user_string()
        assert spec.description, name
        assert spec.kinds, name
        assert spec.owners == ["team:data"], name
        assert spec.group_name == (GROUPS.get(name) or GROUPS[name.rpartition("/")[0]]), name
        columns = DICTIONARY[name].columns if name in DICTIONARY else ()
        schema = spec.metadata.get("dagster/column_schema")
        shown = schema.columns if schema else ()
        assert [column.name for column in shown] == [column.name for column in columns], name


@pytest.mark.parametrize(("environment", "days"), [("dev", [None, None]), ("qa", [timedelta(8), timedelta(3)])])
def test_the_last_archive_and_the_last_log_count_as_stale_at_some_age(
    environment: str, days: list[timedelta | None]
) -> None:
    location = build_definitions(Settings(environment=environment, tracking_log_max_age_days=3))
    policies = {spec.key.path[-1]: spec.freshness_policy for spec in location.resolve_all_asset_specs()}
    found = [policies.pop(name) for name in ("raw_data_archive", "raw_tracking_logs")]
    assert found == [each and dg.FreshnessPolicy.time_window(fail_window=each) for each in days]
    assert set(policies.values()) == {None}


def test_what_an_archive_becomes_is_shown_below_it() -> None:
    graph = defs.resolve_asset_graph()
    archive = dg.AssetKey(["edxorg", "raw_data_archive"])
    below = {key.to_user_string() for key in graph.get(archive).child_keys}
    assert below >= {f"edxorg/raw_data/{each}" for each in ("course_structure", "course_xml", "forum_mongo")}
    assert {f"edxorg/raw_data/db_table/{each}" for each in TABLES} <= below
    organizations = dg.AssetKey(["edxorg", "raw_data", "email_opt_in"])
    (courses,) = {graph.get(key).partitions_def for key in graph.get(archive).child_keys - {organizations}}
    assert courses == dg.DynamicPartitionsDefinition(name="course_and_source")
    assert graph.get(organizations).partitions_def == dg.DynamicPartitionsDefinition(name="edxorg_organization")
    blocks = graph.get(dg.AssetKey(["edxorg", "processed_data", "course_xml_blocks"]))
    assert {key.path[-1] for key in blocks.parent_keys} == {"course_xml"}


def names_of(definitions: dg.Definitions) -> dict[str, list[str]]:
    """All names that a Dagster instance knows of a location, by their kind."""
    repository = definitions.get_repository_def()
    jobs = repository.get_all_jobs()
    specs = definitions.resolve_all_asset_specs()
    names = {
        "keys": [spec.key.to_user_string() for spec in specs],
        "groups": [str(spec.group_name) for spec in specs],
        "partition sets": [getattr(spec.partitions_def, "name", "") for spec in specs if spec.partitions_def],
        "pools": [pool for job in jobs for pool in job.graph.pools],
        "jobs": [job.name for job in jobs if not job.name.startswith("__")],
        "sensors": [each.name for each in repository.sensor_defs if each.name != "default_automation_condition_sensor"],
        "schedules": [each.name for each in repository.schedule_defs],
    }
    return {kind: sorted(of_kind) for kind, of_kind in names.items()}


def test_the_page_of_names_has_those_of_the_location_and_no_others() -> None:
    text = (ROOT / "docs/reference/assets.md").read_text(encoding="utf-8")
    page = set(re.findall("`([^`]+)`", text.partition("## Names for other code locations")[0]))
    configured = {"course_bundles_url": "file:///bundles", "course_webhook": {"url": "https://learn.example"}}
    found = build_definitions(Settings(archive_url="file:///archives", error_reports=True, **configured))
    names = names_of(found)
    keys = {re.sub("(?<=/db_table/).*", "{table}", key) for key in names["keys"]}
    checks = {key.name for key in found.resolve_asset_graph().asset_check_keys}
    others = {*chain.from_iterable(names[kind] for kind in names if kind != "keys"), *(found.resources or {}), *checks}
    assert sorted(others - page) == []
    assert sorted(name for name in page if re.match("edxorg/(raw|processed|api|course)_", name)) == sorted(keys)


def test_the_name_of_a_location_leads_all_its_names() -> None:
    given: dict[str, Any] = {"archive_url": "s3://x", "course_bundles_url": "s3://y", "error_reports": True}
    given["course_webhook"] = {"url": "https://z.example"}
    location = EdxorgLocation(name="delftx", institution="delftx", catalogue_number=42, **given)
    other, default = names_of(location.definitions()), names_of(EdxorgLocation(**given).definitions())
    for kind, names in other.items():
        assert names, kind
        assert all("delftx" in name for name in names), kind
        assert not any("edxorg" in name or "mit" in name for name in names), kind
        assert set(names).isdisjoint(default[kind])
        assert len(names) == len(default[kind])
    dg.Definitions.validate_loadable(location.definitions())


def test_every_asset_has_the_owner_of_the_settings() -> None:
    specs = EdxorgLocation(owner="a@b.example").definitions().resolve_all_asset_specs()
    assert {tuple(spec.owners) for spec in specs} == {("a@b.example",)}


def test_a_component_of_attributes_gives_what_the_environment_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = {
        "archive_url": "s3://in/{{ env.FOLDER }}",
        "catalogue_number": "{{ env.NUMBER }}",
        "archive_name": ["a-{date}.zip", "b-{date}.zip"],
        "vault": {"address": "https://v.example"},
    }
    monkeypatch.setenv("FOLDER", "x")
    monkeypatch.setenv("NUMBER", "42")
    component = EdxorgLocation.from_attributes_dict(attributes=attributes)
    assert component.settings == Settings(
        archive_url="s3://in/x",
        catalogue_number=42,
        archive_name="a-{date}.zip b-{date}.zip",
        vault={"address": "https://v.example"},
    )
    assert names_of(component.definitions()) == names_of(EdxorgLocation(archive_url="s3://x").definitions())


def test_a_variable_that_is_not_set_is_no_empty_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    for attributes in ({"archive_profile": "{{ env.NOT_SET }}"}, {"vault": {"role": "{{ env.NOT_SET }}"}}):
        with pytest.raises(SettingsError, match=r"cannot be rendered: set NOT_SET$"):
            EdxorgLocation.from_attributes_dict(attributes=attributes)
    monkeypatch.setenv("NOT_SET", "")
    assert EdxorgLocation.from_attributes_dict(attributes=attributes).settings.vault.role is None


def test_the_launchpad_scaffolds_each_option_of_an_archive_with_its_description() -> None:
    (step,) = defs.resolve_job_def("retrieve_edxorg_raw_data").all_node_defs
    assert isinstance(step, dg.OpDefinition)
    config = step.config_schema.config_type
    assert config is not None
    fields = getattr(config, "fields", {})
    assert {name: field.default_value for name, field in fields.items() if field.default_provided} == {
        "escapes": "keep",
        "row_hash": "record",
        "dialect": {},
        "supersede": False,
    }
    assert all(field.description for field in fields.values())


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_the_outputs_of_a_course_are_selected_together_as_the_page_says() -> None:
    page = (ROOT / "docs/reference/assets.md").read_text(encoding="utf-8")
    outputs = {key for key in KEYS if key.startswith("edxorg/processed_data/")} - {"edxorg/processed_data/forum_posts"}
    (selection,) = re.findall(r"dagster asset materialize .*--select '([^']+)'", page)
    chosen = dg.AssetSelection.from_string(selection).resolve(defs.resolve_asset_graph())
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(chosen))
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == outputs


def test_each_output_of_a_parser_has_the_version_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_versions, "OF_TABLES", "tables")
    monkeypatch.setattr(code_versions, "OF_FORUM_POSTS", "forums")
    monkeypatch.setattr(code_versions, "OF_TRACKING_LOGS", "logs")
    monkeypatch.setattr(course_outputs, "CODE_VERSION", "courses")
    graph = build_definitions(Settings()).resolve_asset_graph()
    versions = {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}
    expected = {
        **dict.fromkeys((output.asset for output in DICTIONARY.values() if "/db_table/" in output.asset), "tables"),
        **dict.fromkeys(
            (f"edxorg/processed_data/{output}" for output in (*STRUCTURE_OUTPUTS, *XML_OUTPUTS)), "courses"
        ),
        "edxorg/processed_data/forum_posts": "forums",
        "edxorg/raw_data/tracking_logs": "logs",
    }
    assert {asset: version for asset, version in versions.items() if version} == expected

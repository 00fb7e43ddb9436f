"""The code location as a component: assembles the definitions from the settings, and holds no logic."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import BaseModel, ConfigDict

from edxorg.assets.course_content import course_structure_rows
from edxorg.assets.course_webhook import course_content_webhook
from edxorg.assets.edxorg_api import catalogue_assets
from edxorg.assets.edxorg_archive import archive_members, course_exports, raw_data_archives, raw_tracking_logs
from edxorg.assets.tracking_logs import normalize_edxorg_tracking_log
from edxorg.jobs import max_runtime
from edxorg.jobs.course_bundles import edx_gcs_course_retrieval
from edxorg.jobs.edxorg_api_schedule import edxorg_api_daily_schedule
from edxorg.jobs.program_reports import sync_edxorg_program_reports
from edxorg.jobs.retrieve_edx_exports import retrieve_edxorg_raw_data
from edxorg.jobs.run_tags import run_tags
from edxorg.lib.alert_addresses import alert_addresses, are_alerts_configured
from edxorg.lib.job_names import LOG_JOB
from edxorg.lib.settings import COURSE_XML_MAX_RATIO, Environment, Settings
from edxorg.lib.settings.settings_pages import yaml_example, yaml_schema
from edxorg.lib.settings.sources import refuse_unset_variables
from edxorg.location import location_names
from edxorg.ops.checks import catalogue_age_check, raw_archive_checks, raw_log_checks
from edxorg.ops.ingest_archive import ARCHIVE_STEP
from edxorg.ops.program_reports import LazyS3Resource, StrictS3Resource
from edxorg.sensors.course_bundles import edxorg_course_bundle_sensor
from edxorg.sensors.object_storage import source_files_sensor
from edxorg.sensors.program_reports import edxorg_program_reports_sensor
from ol_orchestrate.alerts import failure_alerts_sensor
from ol_orchestrate.assets.openedx_course_archives import courserun_metadata
from ol_orchestrate.course_automation import CourseAutomationSensor
from ol_orchestrate.error_reports import failed_runs_sensor
from ol_orchestrate.failed_partitions import PartitionedJob, failed_partitions_check
from ol_orchestrate.io_managers.filepath import FileObjectIOManager
from ol_orchestrate.io_managers.gcs import GCSFileIOManager
from ol_orchestrate.lib.openedx import RatioLimit
from ol_orchestrate.resources.gcp_gcs import GCSConnection
from ol_orchestrate.resources.openedx import OpenEdxApiClientFactory
from ol_orchestrate.resources.outputs import SimpleResultsDir
from ol_orchestrate.resources.secrets.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.source_files import SourceFiles


class _Attributes(dg.Model):
    """The attributes in a `defs.yaml`; `Settings` itself checks them, once templates are rendered."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's
        """Return the schema that `dg check yaml` checks and the Dagster UI shows."""
        return yaml_schema()


class _SettingsScaffolder(dg.Scaffolder):
    """Writes a `defs.yaml` that shows each setting."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write it into the folder that is asked for."""
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = yaml_example(request.type_name, institution=request.target_path.name)
        (request.target_path / "defs.yaml").write_text(text)


@dg.scaffold_with(_SettingsScaffolder)
class EdxorgLocation(dg.Component):
    """All that brings one partner's data from edX.org into a data lake: assets, jobs, sensors and a schedule.

    Attributes are the settings; what they leave open is found as the commands find it, in the file that
    `EDXORG_SETTINGS` names, in variables `EDXORG_…`, and in the defaults. `name` leads the names of all definitions.
    """

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - whatever settings take
        """Read the settings that `attributes` does not give.

        Raises:
            SettingsError: One cannot be used, or is none.
        """
        self.settings = Settings(**attributes)

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the attributes in a `defs.yaml`."""
        return _Attributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Make it of a `defs.yaml`."""
        given = dict(attributes.model_extra or {}) if attributes is not None else {}
        refuse_unset_variables(given)
        return cls(**context.resolution_context.at_path("attributes").resolve_value(given))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions, for Dagster."""
        del context
        return self.definitions()

    def definitions(self) -> dg.Definitions:
        """Return the definitions."""
        return build_definitions(self.settings)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Return the location for these settings. Connects to nothing and reads no secret."""
    location = location_names(settings.name)
    archives = raw_data_archives(settings)
    logs = raw_tracking_logs(settings)
    normalized_log = normalize_edxorg_tracking_log(logs, settings)
    catalogue = catalogue_assets(settings)
    structure_rows = course_structure_rows(location, follow_code=settings.follow_code_versions)
    course_run = courserun_metadata(
        location,
        RatioLimit(settings.course_xml_max_ratio, COURSE_XML_MAX_RATIO),
        follow_code=settings.follow_code_versions,
    )
    messages = [course_content_webhook(settings)] if settings.course_webhook.url else []
    archive_job = retrieve_edxorg_raw_data(archives, settings)
    # Defined here, since Dagster has no public name for the type of such jobs.
    logs_job = dg.define_asset_job(
        location.of(LOG_JOB),
        selection=dg.AssetSelection.assets(normalized_log),
        description="Normalize the log of one day, the partition.",
        run_tags=run_tags(settings, source=settings.logs_url, destination=settings.landing_zone_url)
        | max_runtime.OTHERS,
    )
    reports_job = sync_edxorg_program_reports(settings)
    schedule = edxorg_api_daily_schedule(catalogue, settings, location)
    assets = [
        archives.asset(),
        logs.asset(),
        normalized_log,
        archive_members(location),
        structure_rows,
        course_exports(location),
        course_run,
        *catalogue,
        *messages,
    ]
    return dg.Definitions(
        assets=_owned(assets, settings.owner),
        asset_checks=[
            raw_archive_checks(archives),
            raw_log_checks(logs),
            *_catalogue_checks(settings, catalogue, schedule.job_name),
            failed_partitions_check(
                [structure_rows, course_run, normalized_log, *messages],
                [
                    PartitionedJob(
                        archive_job.name, location.of(ARCHIVE_STEP), archives.key(), archives.partitions_def()
                    )
                ],
            ),
        ],
        jobs=[
            archive_job,
            logs_job,
            reports_job,
            *([edx_gcs_course_retrieval(settings)] if settings.course_bundles_url else ()),
        ],
        sensors=[
            *_sensors(settings, (archives, archive_job.name), (logs, logs_job.name), [structure_rows, course_run])
        ],
        schedules=[schedule],
        resources=_resources(settings),
        executor=dg.in_process_executor,
    )


def _sensors(
    settings: Settings,
    archives: tuple[SourceFiles, str],
    logs: tuple[SourceFiles, str],
    courses: list[dg.AssetsDefinition],
) -> Iterator[dg.SensorDefinition]:
    """Yield the sensors of what is configured; those of archives and logs each for a job by its name."""
    yield edxorg_program_reports_sensor(settings)
    if settings.course_bundles_url:
        yield edxorg_course_bundle_sensor(settings)
    if settings.archive_source_configured:
        yield from _source_files_sensors(settings, archives, logs)
        yield CourseAutomationSensor(courses, courses_a_run=settings.courses_a_run, tags=max_runtime.OTHERS)
    location = location_names(settings.name)
    if are_alerts_configured(settings):
        name = location.of("edxorg_failure_alerts_sensor")
        yield failure_alerts_sensor(name, partial(alert_addresses, settings), location.permanent_failure)
    if settings.error_reports:
        name = location.of("edxorg_error_reports_sensor")
        if sensor := failed_runs_sensor(name, environment=settings.environment):
            yield sensor


def _source_files_sensors(
    settings: Settings, archives: tuple[SourceFiles, str], logs: tuple[SourceFiles, str]
) -> Iterator[dg.SensorDefinition]:
    location = location_names(settings.name)
    yield source_files_sensor(
        location.of("gcs_edxorg_archive_sensor"),
        *archives,
        settings.archive_url,
        other_names=settings.tracking_log_name,
        setting="EDXORG_ARCHIVE_URL",
        runs_a_tick=settings.runs_a_tick,
        interval_seconds=settings.source_interval_seconds,
    )
    yield source_files_sensor(
        location.of("gcs_edxorg_tracking_log_sensor"),
        *logs,
        settings.logs_url,
        other_names=settings.archive_name,
        setting="EDXORG_TRACKING_LOG_URL" if settings.tracking_log_url else "EDXORG_ARCHIVE_URL",
        runs_a_tick=settings.runs_a_tick,
        interval_seconds=settings.source_interval_seconds,
    )


def _catalogue_checks(
    settings: Settings, catalogue: list[dg.AssetsDefinition], job: str
) -> list[dg.AssetChecksDefinition]:
    if settings.environment is Environment.DEV:
        return []
    asset = next(iter(catalogue[0].specs)).key
    return [catalogue_age_check(asset, job, timedelta(hours=settings.catalogue_max_age_hours))]


def _owned(assets: list[dg.AssetsDefinition], owner: str | None) -> list[dg.AssetsDefinition]:
    if owner is None:
        return assets
    return [each.map_asset_specs(lambda spec: spec.replace_attributes(owners=[owner])) for each in assets]


def _resources(settings: Settings) -> dict[str, object]:
    vault = Vault(
        address=settings.vault.address,
        namespace=settings.vault.namespace,
        cacert=settings.vault.cacert,
        auth_method=settings.vault.auth_method,
        role=settings.vault.role,
        mount=settings.vault.auth_mount,
        jwt_path=settings.vault.jwt_path,
    )
    google_secret = settings.google_secret_path
    permanent_failure = location_names(settings.name).permanent_failure
    gcs = GCSConnection(vault=vault, secret_path=google_secret)
    landing_zone = FileObjectIOManager(
        url=settings.landing_zone_url,
        vault=vault if google_secret else None,
        vault_gcs_token_path=google_secret,
        permanent_failure_tag=permanent_failure,
    )
    return {
        "io_manager": landing_zone,
        "s3file_io_manager": landing_zone,
        "gcs_input": GCSFileIOManager(
            url=settings.archive_url or None,
            aws_profile=settings.archive_profile,
            unsigned=settings.archive_is_public,
            permanent_failure_tag=permanent_failure,
            gcs=gcs,
        ),
        "gcp_gcs": gcs,
        "vault": vault,
        "edxorg_api": OpenEdxApiClientFactory(
            deployment="edxorg",
            secret_path=settings.api_secret_path,
            vault=vault,
            requests_per_hour=settings.api_requests_per_hour,
        ),
        "s3": StrictS3Resource(),
        "s3_download": LazyS3Resource(profile_name=settings.program_reports_profile),
        "s3_upload": LazyS3Resource(),
        "results_dir": SimpleResultsDir(),
    }

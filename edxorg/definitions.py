"""The code location: assembles the definitions from the settings, and holds no logic."""

from __future__ import annotations

import dagster as dg

from edxorg.assets.course_content import flatten_edxorg_course_structure
from edxorg.assets.edxorg_api import catalogue_assets
from edxorg.assets.edxorg_archive import (
    dummy_edxorg_course_structure,
    dummy_edxorg_course_xml,
    raw_data_archives,
    raw_tracking_logs,
)
from edxorg.assets.tracking_logs import normalize_edxorg_tracking_log
from edxorg.jobs.edxorg_api import edxorg_api_daily_schedule
from edxorg.jobs.program_reports import sync_edxorg_program_reports
from edxorg.jobs.retrieve_edx_exports import refresh_edxorg_tracking_logs, retrieve_edxorg_raw_data
from edxorg.lib.settings import COURSE_XML_MAX_RATIO, Settings
from edxorg.ops.checks import raw_archive_checks, raw_log_checks
from edxorg.ops.program_reports import LazyS3Resource, StrictS3Resource
from edxorg.sensors.object_storage import source_files_sensor
from edxorg.sensors.program_reports import edxorg_program_reports_sensor
from ol_orchestrate.assets.openedx_course_archives import courserun_metadata
from ol_orchestrate.failed_partitions import failed_partitions_check
from ol_orchestrate.io_managers.filepath import FileObjectIOManager
from ol_orchestrate.io_managers.gcs import GCSFileIOManager
from ol_orchestrate.lib.openedx import RatioLimit
from ol_orchestrate.resources.gcp_gcs import GCSConnection
from ol_orchestrate.resources.openedx import OpenEdxApiClientFactory
from ol_orchestrate.resources.outputs import SimpleResultsDir
from ol_orchestrate.resources.secrets.vault import Vault


def build_definitions(settings: Settings) -> dg.Definitions:
    """The location for these settings. Connects to nothing and reads no secret."""
    archives = raw_data_archives(settings)
    logs = raw_tracking_logs(settings)
    normalized_log = normalize_edxorg_tracking_log(logs, settings)
    catalogue = catalogue_assets(settings)
    course_run = courserun_metadata(RatioLimit(settings.course_xml_max_ratio, COURSE_XML_MAX_RATIO))
    archive_job = retrieve_edxorg_raw_data(archives, settings)
    logs_job = refresh_edxorg_tracking_logs(normalized_log)
    reports_job = sync_edxorg_program_reports(settings)
    archive_source_sensors = (
        source_files_sensor("gcs_edxorg_archive_sensor", archives, archive_job, other_names=settings.tracking_log_name),
        source_files_sensor("gcs_edxorg_tracking_log_sensor", logs, logs_job, other_names=settings.archive_name),
    )
    return dg.Definitions(
        assets=[
            archives.asset(),
            logs.asset(),
            normalized_log,
            dummy_edxorg_course_structure,
            flatten_edxorg_course_structure,
            dummy_edxorg_course_xml,
            course_run,
            *catalogue,
        ],
        asset_checks=[
            raw_archive_checks(archives.key(), archives.partitions_def()),
            raw_log_checks(logs.key(), logs.partitions_def()),
            failed_partitions_check([flatten_edxorg_course_structure, course_run, normalized_log]),
        ],
        jobs=[archive_job, logs_job, reports_job],
        sensors=[
            edxorg_program_reports_sensor(reports_job, settings),
            *(archive_source_sensors if settings.archive_source_configured else ()),
        ],
        schedules=[edxorg_api_daily_schedule(catalogue)],
        resources=_resources(settings),
        executor=dg.in_process_executor,
    )


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
    gcs = GCSConnection(vault=vault, secret_path=google_secret)
    return {
        "io_manager": FileObjectIOManager(
            url=settings.landing_zone_url,
            vault=vault if google_secret else None,
            vault_gcs_token_path=google_secret,
        ),
        "s3file_io_manager": FileObjectIOManager(url=settings.landing_zone_url),
        "gcs_input": GCSFileIOManager(url=settings.archive_url or None, aws_profile=settings.archive_profile, gcs=gcs),
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


defs = build_definitions(Settings())

"""Tells a webhook of each new version of a course's export."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from edxorg.lib.course_message import CourseVersion
from edxorg.lib.object_keys import COURSE_CONTENT_WEBHOOK, COURSE_XML
from edxorg.lib.settings import COURSE_XML_MAX_RATIO, Settings
from edxorg.lib.settings.sources import COURSE_WEBHOOK_SECRET
from edxorg.location import location_names
from ol_orchestrate.automation import on_new_version
from ol_orchestrate.dagster_tags import SENSOR
from ol_orchestrate.failures import RETRIES, as_dagster_failure
from ol_orchestrate.landing.course_outputs import course_of
from ol_orchestrate.landing.records import latest_materialization
from ol_orchestrate.landing_zone import LandingZone
from ol_orchestrate.lib.course_partition import Site
from ol_orchestrate.lib.errors import AccessRefusedError, MissingObjectError
from ol_orchestrate.lib.json_template import JsonTemplate, fill_url
from ol_orchestrate.lib.openedx import RatioLimit
from ol_orchestrate.lib.record_tags import DATA_VERSION
from ol_orchestrate.lib.vault_client import field_of
from ol_orchestrate.lib.webhook import send_signed
from ol_orchestrate.resources.secrets.vault import Vault

ANNOUNCED = "announced_record"
"""Metadata of a message's record: the number of the export's record that the message was about."""

AUTOMATED = frozenset({"dagster/from_automation_condition", SENSOR})
"""Tags of runs that the automation sensor has started, on Dagster's daemon or in the code server."""


def course_content_webhook(settings: Settings) -> dg.AssetsDefinition:
    """Define the asset of the messages, for settings that name a webhook."""
    location = location_names(settings.name)
    webhook = settings.course_webhook
    url = webhook.url or ""
    key, course_xml = location.key(COURSE_CONTENT_WEBHOOK), location.key(COURSE_XML)

    @dg.asset(
        key=key,
        deps=[course_xml],
        group_name=location.group("course_content"),
        partitions_def=location.courses,
        description="Tells a webhook of each new version of the course XML of a course on edX's production site.",
        kinds={"webhook"},
        automation_condition=on_new_version(once_more=False),
        output_required=False,  # nothing is recorded of a course on Edge
        retry_policy=RETRIES,
    )
    def course_content_webhook(
        context: dg.AssetExecutionContext, s3file_io_manager: dg.ResourceParam[LandingZone], vault: Vault
    ) -> Iterator[dg.MaterializeResult[None]]:
        with as_dagster_failure(context.op_execution_context, location.permanent_failure):
            course = course_of(context.partition_key)
            if course.site is not Site.PROD:
                context.log.info("Nobody is told of courses on %s", course.site)
                return
            record = latest_materialization(context.instance, course_xml, context.partition_key)
            if record is None or record.asset_materialization is None:
                raise MissingObjectError(
                    f"{course_xml.to_user_string()} has no materialization for partition {context.partition_key!r}: "
                    "deliver an archive with this course first"
                )
            if AUTOMATED & context.run.tags.keys() and _announced(context, key) == record.storage_id:
                context.log.info("An earlier message was about this version already")
                return
            recorded = record.asset_materialization
            version = CourseVersion(
                course=course,
                path=s3file_io_manager.find(context.instance, course_xml, context.partition_key),
                object_key=str(recorded.metadata["object_key"].value),
                version=(recorded.tags or {})[DATA_VERSION],
                recorded_at=datetime.fromtimestamp(record.timestamp, UTC).isoformat(timespec="seconds"),
                ratio_limit=RatioLimit(settings.course_xml_max_ratio, COURSE_XML_MAX_RATIO),
            )
            values = version.values(webhook.source)
            message = JsonTemplate.parse(webhook.body, values).fill(values)
            address = fill_url(url, values)
            status = send_signed(message, url=address, header=webhook.header, secret=webhook_secret(settings, vault))
            yield dg.MaterializeResult(
                data_version=dg.DataVersion(version.version),
                metadata={
                    "address": address,
                    "message": message.decode(),
                    "status": status,
                    ANNOUNCED: record.storage_id,
                },
            )

    return course_content_webhook


def _announced(context: dg.AssetExecutionContext, key: dg.AssetKey) -> object:
    """Return the number of the record that the latest message was about."""
    latest = latest_materialization(context.instance, key, context.partition_key)
    if latest is None or latest.asset_materialization is None:
        return None
    announced = latest.asset_materialization.metadata.get(ANNOUNCED)
    return announced.value if announced else None


def webhook_secret(settings: Settings, vault: Vault) -> str:
    """Return the secret to sign with.

    Raises:
        AccessRefusedError: There is none, or Vault does not give it.
    """
    if secret := os.environ.get(COURSE_WEBHOOK_SECRET):
        return secret
    path = settings.course_webhook.secret_path
    if not (path and settings.vault.address):
        raise AccessRefusedError(
            f"There is no secret to sign messages with: set {COURSE_WEBHOOK_SECRET}, or VAULT_ADDR and "
            "EDXORG_COURSE_WEBHOOK_SECRET_PATH"
        )
    return field_of(vault.read(path), settings.course_webhook.secret_field, path)

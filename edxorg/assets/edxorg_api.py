"""The edX catalogue, from the Discovery API: two listings, each of them two tables and its records as they came."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import dagster as dg

from edxorg.lib.catalogue import (
    COURSE_METADATA,
    COURSE_RUN_METADATA,
    COURSES_RAW,
    PROGRAM_COURSE_METADATA,
    PROGRAM_METADATA,
    PROGRAMS,
    PROGRAMS_RAW,
    ApiListing,
    Collected,
    collect,
    courses_of,
)
from edxorg.lib.dictionary import DICTIONARY
from edxorg.lib.object_keys import SOURCE, api_data_asset, api_data_key
from edxorg.lib.settings import Settings
from edxorg.location import location_names
from ol_orchestrate.described import column_schema, described
from ol_orchestrate.failures import RETRIES, as_dagster_failure
from ol_orchestrate.landing.land import Artifact, land, recorded_version
from ol_orchestrate.landing_zone import LandingZone
from ol_orchestrate.lib.stores import ObjectStore
from ol_orchestrate.lib.versions import VersionedObjects
from ol_orchestrate.location_names import LocationNames
from ol_orchestrate.resources.openedx import OpenEdxApiClientFactory

ROWS = {
    PROGRAM_METADATA.name: "programs",
    PROGRAM_COURSE_METADATA.name: "program_courses",
    PROGRAMS_RAW: "programs",
    COURSE_METADATA.name: "courses",
    COURSE_RUN_METADATA.name: "course_runs",
    COURSES_RAW: "courses",
}
"""The name of the number of rows in each output's metadata."""


def catalogue_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Programs, and the courses of the settings' catalogue, if they name one."""
    location = location_names(settings.name)
    programs = _assets_of(location.of("edxorg_program_metadata"), PROGRAMS, location)
    if settings.catalogue_number is None:
        return [programs]
    name = "edxorg_mitx_course_metadata" if settings.name == SOURCE else location.of("edxorg_course_metadata")
    return [programs, _assets_of(name, courses_of(settings.catalogue_number), location)]


def _assets_of(name: str, listing: ApiListing[Any], location: LocationNames) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=name,
        specs=[_spec(name, location) for name in (listing.records.name, listing.parts.name, listing.raw)],
        description=f"Asks the Discovery API for all pages of `{listing.path}`.",
        retry_policy=RETRIES,
    )
    def assets(
        context: dg.AssetExecutionContext,
        edxorg_api: OpenEdxApiClientFactory,
        s3file_io_manager: dg.ResourceParam[LandingZone],
    ) -> Iterator[dg.MaterializeResult[None]]:
        with as_dagster_failure(context.op_execution_context, location.permanent_failure):
            pages = edxorg_api.client.pages(listing.path, listing.page)
            with collect(listing, pages, retrieved_at=_start_of_run(context)) as collected:
                yield from _land(context, s3file_io_manager.store(), collected, location)

    return assets


def _spec(name: str, location: LocationNames) -> dg.AssetSpec:
    spec = dg.AssetSpec(
        location.key(api_data_asset(name)),
        group_name=location.group("catalogue"),
        skippable=True,  # nothing is recorded of a listing that is as it was
    )
    return described(spec, DICTIONARY[api_data_asset(name)])


def _schema(name: str) -> dg.TableSchema | None:
    output = DICTIONARY[api_data_asset(name)]
    return column_schema(output) if output.columns else None


def _start_of_run(context: dg.AssetExecutionContext) -> datetime:
    """Return the start in whole seconds, which is the same for all assets and attempts of the run."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if record is None or record.start_time is None:
        raise ValueError(f"run {context.run.run_id} has not started")
    return datetime.fromtimestamp(int(record.start_time), UTC)


def _land(
    context: dg.AssetExecutionContext, landing_zone: ObjectStore, collected: Collected, location: LocationNames
) -> list[dg.MaterializeResult[None]]:
    """Put all outputs into the landing zone before any is recorded; return what is to be recorded of them."""
    results = []
    rows = {ROWS[output.name]: output.row_count for output in collected}
    for output in collected:
        name = output.name
        asset = location.key(api_data_asset(name))
        result = land(
            asset,
            Artifact(
                version=output.version,
                content=output.content.reader(),
                row_count=output.row_count,
                schema=_schema(name),
                metadata={**rows, "repeated": output.repeated, "source": location.source},
            ),
            recorded_version(context.instance, asset, landing_zone.url, location.tags),
            to=VersionedObjects(landing_zone, partial(api_data_key, name)),
            tags=location.tags,
        )
        context.log.info("%s: %d rows, %s", name, output.row_count, "new" if result else "as before")
        if result:
            results.append(result)
    return results

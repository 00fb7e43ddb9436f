"""The op that copies course bundles, one at a time through the run's folder."""

import dagster as dg

from edxorg.lib.object_keys import SOURCE
from edxorg.lib.settings import Settings
from edxorg.location import location_names
from ol_orchestrate.copy_runs import CopyConfig, CopyRuns
from ol_orchestrate.failures import RETRIES, as_dagster_failure
from ol_orchestrate.landing_zone import LandingZone
from ol_orchestrate.lib.reconciled_copies import ReconciledCopies
from ol_orchestrate.resources.outputs import SimpleResultsDir


def bundle_runs(settings: Settings) -> CopyRuns:
    """Return the runs that copy course bundles."""
    named = location_names(settings.name).of("edxorg_course_bundle_retrieval")
    job = "edx_gcs_course_retrieval" if settings.name == SOURCE else named
    return CopyRuns(job=job, op="copy_course_bundles", noun="bundles", runs_a_tick=settings.runs_a_tick)


def bundles_of(settings: Settings, source: LandingZone, destination: LandingZone) -> ReconciledCopies:
    """Return the bundles and their copies, with the credentials of the archives and of the landing zone.

    Raises:
        PipelineError: Vault does not give the credentials.
    """
    return ReconciledCopies.between(
        settings.course_bundles_url,
        source.access(settings.course_bundles_url),
        settings.course_bundles_destination_url,
        destination.access(settings.course_bundles_destination_url),
    )


def copy_op(settings: Settings) -> dg.OpDefinition:
    """Make the op that copies."""
    runs = bundle_runs(settings)

    @dg.op(name=runs.op, out=dg.Out(dg.Nothing), retry_policy=RETRIES)
    def copy_course_bundles(
        context: dg.OpExecutionContext,
        config: CopyConfig,
        gcs_input: dg.ResourceParam[LandingZone],
        s3file_io_manager: dg.ResourceParam[LandingZone],
        results_dir: SimpleResultsDir,
    ) -> dg.Output[None]:
        """Copy bundles, one after the other, each checked by both stores; fail at the end if any was not copied."""
        with as_dagster_failure(context, location_names(settings.name).permanent_failure):
            bundles = bundles_of(settings, gcs_input, s3file_io_manager)
            return runs.copy(context, bundles, config.keys, results_dir.path)

    return copy_course_bundles

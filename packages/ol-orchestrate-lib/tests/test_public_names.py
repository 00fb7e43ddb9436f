"""What other code locations import from here; a name that goes breaks them."""

from importlib import import_module

import pytest
from dagster_gcp.gcs import GCSResource

from ol_orchestrate.resources.gcp_gcs import GCSConnection


@pytest.mark.parametrize(
    "name",
    [
        "assets.openedx_course_archives.extract_edxorg_courserun_metadata",
        "io_managers.filepath.FileObjectIOManager",
        "io_managers.filepath.S3FileObjectIOManager",
        "io_managers.gcs.GCSFileIOManager",
        "lib.openedx.read_course",
        "partitions.edxorg.course_and_source_partitions",
        "resources.gcp_gcs.GCSConnection",
        "resources.openedx.OpenEdxApiClient",
        "resources.openedx.OpenEdxApiClientFactory",
        "resources.outputs.DailyResultsDir",
        "resources.outputs.SimpleResultsDir",
        "resources.secrets.vault.Vault",
    ],
)
def test_it_is_there(name: str) -> None:
    module, _, attribute = f"ol_orchestrate.{name}".rpartition(".")
    assert hasattr(import_module(module), attribute)


def test_a_connection_is_what_code_for_googles_resource_takes() -> None:
    assert issubclass(GCSConnection, GCSResource)

"""The names that other code locations import from here; a name that goes breaks them."""

from importlib import import_module

import pytest
from dagster_gcp.gcs import GCSResource
from pydantic import BaseModel, ValidationError

from ol_orchestrate.io_managers.filepath import FileObjectIOManager, S3FileObjectIOManager
from ol_orchestrate.io_managers.gcs import GCSFileIOManager
from ol_orchestrate.resources.gcp_gcs import GCSConnection
from ol_orchestrate.resources.openedx import OpenEdxApiClient, OpenEdxApiClientFactory
from ol_orchestrate.resources.outputs import DailyResultsDir, SimpleResultsDir
from ol_orchestrate.resources.secrets.vault import Vault


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
def test_each_public_name_can_be_imported(name: str) -> None:
    module, _, attribute = f"ol_orchestrate.{name}".rpartition(".")
    assert hasattr(import_module(module), attribute)


def test_a_connection_is_what_code_for_googles_resource_takes() -> None:
    assert issubclass(GCSConnection, GCSResource)


def test_the_io_manager_for_a_bucket_is_one_for_files() -> None:
    assert issubclass(S3FileObjectIOManager, FileObjectIOManager)
    assert issubclass(GCSFileIOManager, FileObjectIOManager)


@pytest.mark.parametrize(
    "resource",
    [
        DailyResultsDir,
        FileObjectIOManager,
        GCSConnection,
        GCSFileIOManager,
        OpenEdxApiClient,
        OpenEdxApiClientFactory,
        S3FileObjectIOManager,
        SimpleResultsDir,
        Vault,
    ],
    ids=lambda each: each.__name__,
)
def test_an_argument_that_a_resource_lacks_is_an_error_that_names_it_and_hides_its_value(
    resource: type[BaseModel],
) -> None:
    with pytest.raises(ValidationError) as raised:
        resource(vault_token="hvs.canary")  # noqa: S106
    assert "vault_token\n  Extra inputs are not permitted" in str(raised.value)
    assert "canary" not in str(raised.value)

"""An IO manager for source files, which edX or another party puts into a bucket."""

from dagster import ResourceDependency
from pydantic import Field

from ol_orchestrate.io_managers.filepath import FileObjectIOManager
from ol_orchestrate.lib.stores import StoreAccess, join_url
from ol_orchestrate.resources.gcp_gcs import GCSConnection


class GCSFileIOManager(FileObjectIOManager):
    """Source files named by their partition keys, in Google Cloud Storage with the credentials of a `GCSConnection`.

    The URL may also name a folder or an S3 bucket, for development on a laptop. A partition without a materialization
    is looked up by its key.
    """

    gcs: ResourceDependency[GCSConnection]
    unsigned: bool = Field(default=False, description="True for a public bucket, which asks for no credentials")

    def access(self, url: str) -> StoreAccess:
        """Return the access with the connection's service account, if it reads one from Vault."""
        if self.unsigned:
            return StoreAccess(unsigned=True)
        account = self.gcs.service_account_info() if url.startswith("gs://") else None
        return StoreAccess(aws_profile=self.aws_profile, google_service_account=account)

    def path_without_record(self, partition: str | None, folder: str | None = None) -> str | None:
        """Return the URL of the object whose key is the partition's, in a folder or else below the base URL."""
        if not partition or not (folder or self.can_write):
            return None
        return join_url(folder or self.base_url(), partition)

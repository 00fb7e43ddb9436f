"""Google Cloud Storage with a service account that Vault keeps, as a Dagster resource."""

import os
from threading import Lock

from dagster import ResourceDependency
from dagster_gcp.gcs import GCSResource
from google.cloud.storage import Client
from pydantic import Field, PrivateAttr

from ol_orchestrate.lib.stores.gcs_store import google_credentials
from ol_orchestrate.resources.secrets.vault import Vault
from ol_orchestrate.resources.service_account import ServiceAccount
from ol_orchestrate.resources.strict import Strict


class GCSConnection(Strict, GCSResource):
    """Makes Google's client at first use; its fields name the place of the service account and hold none of it.

    The first of these that is set decides: `STORAGE_EMULATOR_HOST` (no credentials), `GOOGLE_APPLICATION_CREDENTIALS`,
    the secret in Vault if an address of Vault is configured, and the credentials that Google's clients find by
    themselves.
    """

    vault: ResourceDependency[Vault]
    secret_path: str | None = Field(
        default=None, description="Path in Vault of a secret with the fields of a service account's key file."
    )

    _service_account: ServiceAccount | None = PrivateAttr(default=None)
    _client: Client | None = PrivateAttr(default=None)
    _lock: Lock = PrivateAttr(default_factory=Lock)

    def get_client(self) -> Client:
        """Return the client, the same one each time; thread-safe.

        Raises:
            PipelineError: No credentials can be used, or Vault does not give them.
        """
        service_account = self.service_account_info()
        with self._lock:
            if self._client is None:
                credentials = google_credentials(service_account)
                project = self.project or os.environ.get("GOOGLE_CLOUD_PROJECT")
                # Some kinds of credentials name no project, and objects are found without one.
                self._client = Client(project or getattr(credentials, "project_id", None), credentials)
            return self._client

    def service_account_info(self) -> dict[str, str] | None:
        """Return the fields of the service account's key file; `None` if the credentials are not in Vault.

        Raises:
            SettingsError: The secret lacks a field that a service account has.
            PipelineError: Vault does not give the secret.
        """
        with self._lock:
            if self._service_account is None:
                self._service_account = ServiceAccount(self.vault, self.secret_path)
            service_account = self._service_account
        return service_account.fields()

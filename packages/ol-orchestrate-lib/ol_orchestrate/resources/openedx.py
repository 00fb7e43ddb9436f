"""The API of an Open edX deployment as a Dagster resource; `lib.openedx_api` has the requests.

Both resources name the place of the credentials and never hold them: Dagster stores a resource's fields in clear with
the code location and with each run.
"""

# No postponed annotations here: Dagster reads `ResourceDependency[…]` while the class is made.

import os
import threading
from abc import abstractmethod

from dagster import ConfigurableResource, InitResourceContext, ResourceDependency
from pydantic import Field, PrivateAttr, field_validator

from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import AccessRefusedError
from ol_orchestrate.lib.openedx_api import ApiCredentials, OpenEdxApi
from ol_orchestrate.resources.secrets.vault import Vault
from ol_orchestrate.resources.strict import Strict


class _OpenEdxResource(Strict, ConfigurableResource[None]):
    """A client for each process, made at first use."""

    requests_per_hour: int | None = Field(
        default=None,
        gt=0,
        description="Most requests an hour, for a server that throttles; the Discovery API allows 200.",
    )
    _client: OpenEdxApi | None = PrivateAttr(default=None)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def client(self) -> OpenEdxApi:
        """The API's client. It reads no credentials and connects to nothing before its first request; thread-safe."""
        with self._lock:
            if self._client is None:
                self._client = OpenEdxApi.connect(self.credentials, requests_per_hour=self.requests_per_hour)
            return self._client

    @abstractmethod
    def credentials(self) -> ApiCredentials:
        """Read the credentials from their place."""

    def teardown_after_execution(self, context: InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Close the connections of the run."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


class OpenEdxApiClient(_OpenEdxResource):
    """An API at a configured address, with its OAuth client in two environment variables."""

    base_url: str = Field(description="Address of the LMS or of the Discovery API, such as https://lms.example.org")
    token_url: str = Field(default="", description="Issues the tokens; {base_url}/oauth2/access_token if empty.")
    studio_url: str = Field(default="", description="Address of Studio, which exports courses.")
    client_id_variable: str = Field(description="Name of the environment variable that holds the OAuth client's id.")
    client_secret_variable: str = Field(description="Name of the environment variable that holds its secret.")

    @field_validator("base_url", "token_url", "studio_url")
    @classmethod
    def _holds_no_credentials(cls, address: str) -> str:
        refuse_credentials(address)
        return address

    def credentials(self) -> ApiCredentials:
        """Read the two environment variables.

        Raises:
            AccessRefusedError: One of them is not set.
        """
        unset = [name for name in (self.client_id_variable, self.client_secret_variable) if not os.environ.get(name)]
        if unset:
            message = (
                f"No OAuth client for the API at {self.base_url}. Set {' and '.join(unset)} in the environment of "
                "this process"
            )
            raise AccessRefusedError(message)
        return ApiCredentials(
            client_id=os.environ[self.client_id_variable],
            client_secret=os.environ[self.client_secret_variable],
            url=self.base_url,
            token_url=self.token_url,
            studio_url=self.studio_url,
        )


class OpenEdxApiClientFactory(_OpenEdxResource):
    """The API of a deployment by name: from environment variables where they are set, else from Vault."""

    deployment: str = Field(description="Name of the deployment, such as mitxonline.")
    secret_path: str | None = Field(
        default="secret-data/pipelines/edx/{deployment}/edx-oauth-client",
        description="Path in Vault, if it is there; `{deployment}` is replaced. For its fields see "
        "`ApiCredentials.from_secret`.",
    )
    vault: ResourceDependency[Vault]

    def credentials(self) -> ApiCredentials:
        """Read `{DEPLOYMENT}_API_URL`, `…_TOKEN_URL`, `…_CLIENT_ID` and `…_CLIENT_SECRET`; the secret if none is set.

        Raises:
            AccessRefusedError: Only some of the variables are set, none is set and no Vault is configured, or the
                secret lacks a field.
        """
        prefix = f"{self.deployment.upper().replace('-', '_')}_API"
        if (credentials := ApiCredentials.from_environ(prefix, os.environ)) is not None:
            return credentials
        if not self.vault.address or not self.secret_path:
            message = (
                f"There is no OAuth client for the Open edX API ({self.deployment}). Set {prefix}_URL, "
                f"{prefix}_TOKEN_URL, {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET, or VAULT_ADDR, "
                "VAULT_AUTH_METHOD and the path of the secret"
            )
            raise AccessRefusedError(message)
        path = self.secret_path.format(deployment=self.deployment)
        return ApiCredentials.from_secret(path, self.vault.read(path))

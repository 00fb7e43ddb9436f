"""Vault as a Dagster resource: its address and login method, never the credentials."""

from __future__ import annotations

from threading import Lock
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr, field_validator

from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.vault_client import AuthMethod, VaultClient
from ol_orchestrate.resources.strict import Strict


class Vault(Strict, dg.ConfigurableResource[None]):
    """Reads secrets of HashiCorp Vault or OpenBao, key-value version 1 and 2.

    It connects and logs in when a secret is first read, so a location loads without it. Dagster shows its fields in
    the UI and stores them with runs, so it reads the credentials from environment variables and files at that moment;
    `ol_orchestrate.lib.vault_client.AuthMethod` names them.
    """

    address: str | None = Field(default=None, description="VAULT_ADDR, for example https://vault.example.org:8200")
    namespace: str | None = Field(default=None, description="VAULT_NAMESPACE")
    cacert: str | None = Field(default=None, description="VAULT_CACERT, a file of certificates to trust")
    auth_method: AuthMethod = Field(default=AuthMethod.TOKEN, description="VAULT_AUTH_METHOD")
    role: str | None = Field(default=None, description="VAULT_ROLE")
    mount: str | None = Field(default=None, description="VAULT_AUTH_MOUNT, where the login method is, below auth/")
    jwt_path: str | None = Field(default=None, description="VAULT_JWT_PATH, a file with a JSON web token")

    _client: VaultClient | None = PrivateAttr(default=None)
    _lock: Lock = PrivateAttr(default_factory=Lock)

    @field_validator("address")
    @classmethod
    def _holds_no_credentials(cls, address: str | None) -> str | None:
        refuse_credentials(address or "", "VAULT_ADDR")
        return address

    def read(self, path: str) -> dict[str, Any]:
        """Return the fields of a secret.

        Args:
            path: The path as on the command line, such as `secret-data/pipelines/edx/mitxonline/edx-oauth-client`.

        Raises:
            AccessRefusedError: The login is refused or impossible, or does not permit reading this secret.
            MissingObjectError: There is no such secret.
            SettingsError: The engine that is mounted there is no key-value store.
            ServiceError: Vault cannot be reached, or fails.
        """
        with self._lock:
            if self._client is None:
                self._client = VaultClient(
                    address=self.address,
                    namespace=self.namespace,
                    cacert=self.cacert,
                    auth_method=self.auth_method,
                    role=self.role,
                    mount=self.mount,
                    jwt_path=self.jwt_path,
                )
        return self._client.read(path)

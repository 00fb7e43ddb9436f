"""Vault as a Dagster resource: where it is and how to log in, never what to log in with."""

from __future__ import annotations

from threading import Lock
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr, field_validator

from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.vault import AuthMethod, VaultClient
from ol_orchestrate.resources.strict import Strict


class Vault(Strict, dg.ConfigurableResource[None]):
    """Secrets of HashiCorp Vault or OpenBao, key-value version 1 and 2.

    Connects and logs in when a secret is first read, so a location loads without it. Its fields are shown in the UI
    and stored with runs; what it logs in with is read from environment variables and files at that moment, see
    `ol_orchestrate.lib.vault.AuthMethod`.
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
        """The fields of a secret, such as `secret-data/pipelines/edx/edxorg/edx-oauth-client`.

        Raises:
            AccessRefusedError: The login is refused or impossible, or it does not permit to read this secret.
            MissingObjectError: There is no such secret.
            BadInputError: What is mounted there keeps no secrets.
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

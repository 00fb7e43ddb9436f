"""A service account of Google whose key file is a secret in Vault."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Any

from ol_orchestrate.lib.errors import SettingsError

if TYPE_CHECKING:
    from ol_orchestrate.lib.vault_client import VaultClient
    from ol_orchestrate.resources.secrets.vault import Vault

NEEDED_FIELDS = ("client_email", "private_key", "token_uri")

OTHER_CREDENTIALS = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")
"""Environment variables that take precedence over Vault."""


class ServiceAccount:
    """Reads the key file from Vault at first use. Thread-safe.

    Args:
        path: The path of the secret in Vault; `None` if Vault has none.
    """

    def __init__(self, vault: Vault | VaultClient, path: str | None) -> None:
        self._vault = vault
        self._path = path
        self._fields: dict[str, str] | None = None
        self._lock = Lock()

    def fields(self) -> dict[str, str] | None:
        """Return the fields of the key file; `None` if the credentials are not in Vault.

        Raises:
            SettingsError: The secret lacks a field that a service account has.
            PipelineError: Vault does not give the secret.
        """
        if not self._path or not self._vault.address or any(os.environ.get(name) for name in OTHER_CREDENTIALS):
            return None
        with self._lock:
            if self._fields is None:
                self._fields = _checked(self._vault.read(self._path), self._path)
            return dict(self._fields)


def _checked(secret: dict[str, Any], path: str) -> dict[str, str]:
    """Return the secret's fields as in a key file of Google's.

    Raises:
        SettingsError: A needed field is missing or empty.
    """
    missing = [name for name in NEEDED_FIELDS if not secret.get(name)]
    if missing:
        message = (
            f"Secret {path} is no Google service account: it lacks {', '.join(missing)}. Write all fields of the key "
            "file there"
        )
        raise SettingsError(message)
    fields = {name: str(value) for name, value in secret.items()}
    # A key that went through a shell or a form often has its line ends spelled out.
    return {"type": "service_account", **fields, "private_key": fields["private_key"].replace("\\n", "\n")}

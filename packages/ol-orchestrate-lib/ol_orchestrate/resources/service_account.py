"""Google's credentials as Vault keeps them."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Any

from ol_orchestrate.lib.errors import BadInputError

if TYPE_CHECKING:
    from ol_orchestrate.resources.secrets.vault import Vault

NEEDED_FIELDS = ("client_email", "private_key", "token_uri")

OTHER_CREDENTIALS = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")
"""Variables that win over Vault."""


class ServiceAccount:
    """A service account whose key file is a secret in Vault, read at first use. Safe among threads."""

    def __init__(self, vault: Vault, path: str | None) -> None:
        """Read nothing yet.

        Args:
            vault: Where the secret is.
            path: Of the secret, whose fields are those of a service account's key file; `None` where Vault has none.
        """
        self._vault = vault
        self._path = path
        self._fields: dict[str, str] | None = None
        self._lock = Lock()

    def fields(self) -> dict[str, str] | None:
        """The fields of the key file; `None` where it is not Vault that has the credentials.

        Raises:
            BadInputError: The secret lacks a field that a service account has.
            PipelineError: Vault does not give the secret.
        """
        if not self._path or not self._vault.address or any(os.environ.get(name) for name in OTHER_CREDENTIALS):
            return None
        with self._lock:
            if self._fields is None:
                self._fields = _checked(self._vault.read(self._path), self._path)
            return dict(self._fields)


def _checked(secret: dict[str, Any], path: str) -> dict[str, str]:
    """The secret's fields, as in a key file of Google's.

    Raises:
        BadInputError: One that is needed is missing or empty.
    """
    missing = [name for name in NEEDED_FIELDS if not secret.get(name)]
    if missing:
        message = f"Secret {path} is no Google service account: it lacks {', '.join(missing)}. Write the whole key file"
        raise BadInputError(message)
    fields = {name: str(value) for name, value in secret.items()}
    # A key that went through a shell or a form often has its line ends spelled out.
    return {"type": "service_account", **fields, "private_key": fields["private_key"].replace("\\n", "\n")}

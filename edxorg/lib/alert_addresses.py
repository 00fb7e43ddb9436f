"""The addresses at which operators are told of failures; they are secrets, since who has one can write there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edxorg.lib.settings import ALERTS
from ol_orchestrate.lib.errors import SettingsError

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def are_alerts_configured(settings: Settings) -> bool:
    """Return True if there is an address; reads no secret."""
    return bool(os.environ.get(ALERTS, "").strip() or settings.alert_secret_path)


def alert_addresses(settings: Settings) -> list[str]:
    """Read the addresses from the variable, or else from Vault.

    Raises:
        SettingsError: There are none.
        PipelineError: Vault does not give them.
    """
    given = os.environ.get(ALERTS, "").split()
    if not given and settings.alert_secret_path:
        if not settings.vault.address:
            raise SettingsError("EDXORG_ALERT_SECRET_PATH is a place in Vault, and there is none: set VAULT_ADDR")
        given = str(settings.vault.client().read(settings.alert_secret_path).get("urls") or "").split()
    if not given:
        raise SettingsError(
            f"no address for alerts: set {ALERTS}, or the field urls of the secret {settings.alert_secret_path}"
        )
    return given

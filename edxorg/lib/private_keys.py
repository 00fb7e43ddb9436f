"""The private keys that open what edX encrypts for a partner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.openpgp import PrivateKeys

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings


def private_keys(settings: Settings) -> PrivateKeys:
    """Read the keys from the file that the settings name, or else from Vault.

    Raises:
        SettingsError: There are none, or their file cannot be read.
        PipelineError: Vault does not give them.
    """
    if settings.gpg_key_file:
        passphrase_file = settings.gpg_passphrase_file
        passphrases = _read(passphrase_file, "EDXORG_GPG_PASSPHRASE_FILE") if passphrase_file else b""
        exported = _read(settings.gpg_key_file, "EDXORG_GPG_KEY_FILE")
        return _keys(exported, passphrases, f"EDXORG_GPG_PASSPHRASE_FILE: {passphrase_file}")
    if settings.gpg_secret_path and settings.vault.address:
        return _from_vault(settings, settings.gpg_secret_path)
    raise SettingsError(
        "it is an OpenPGP message, and there is no private key to open it with: set EDXORG_GPG_KEY_FILE to a file "
        "that gpg --export-secret-keys has made, or EDXORG_GPG_SECRET_PATH to its place in Vault"
    )


def _read(path: str, variable: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read ({error.strerror})") from None


def _from_vault(settings: Settings, path: str) -> PrivateKeys:
    fields = settings.vault.client().read(path)
    if not fields.get("private_key"):
        raise SettingsError(f"Secret {path} has no field private_key: write the exported key there, as text")
    # A key that went through a shell or a form often has its line ends spelled out.
    exported = str(fields["private_key"]).replace("\\n", "\n")
    return _keys(exported.encode(), str(fields.get("passphrase") or "").encode(), f"Secret {path}, field passphrase")


def _keys(exported: bytes, passphrases: bytes, place: str) -> PrivateKeys:
    try:
        return PrivateKeys(exported, passphrases.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise SettingsError(f"{place}: it is not UTF-8: write a passphrase a line as text") from None
    except SettingsError as error:
        raise SettingsError(f"{place}: {error}") from None

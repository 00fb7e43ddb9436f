"""The certificate authorities that an operator trusts, for clients that do not read the variables themselves."""

from __future__ import annotations

import os
from pathlib import Path

from ol_orchestrate.lib.errors import SettingsError

VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def ca_bundle(variables: tuple[str, ...] = VARIABLES) -> str | None:
    """Return the file or folder in the first of these environment variables that is set; `None` if none is."""
    return next((path for name in variables if (path := os.environ.get(name))), None)


def certificates_in(bundle: str) -> str:
    """Return the certificates in a file, or in the files of a folder, in PEM.

    Raises:
        SettingsError: It has no certificates, or cannot be read.
    """
    path = Path(bundle)
    try:
        files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
        text = "\n".join(file.read_text(errors="replace") for file in files)
    except OSError as error:
        raise SettingsError(_unusable(bundle, error.strerror or type(error).__name__)) from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise SettingsError(_unusable(bundle, "it holds no certificate in PEM"))
    return text


def _unusable(bundle: str, why: str) -> str:
    return f"{bundle}: the trusted certificates cannot be read ({why}). Correct {', '.join(VARIABLES)}"

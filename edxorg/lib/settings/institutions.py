"""The defaults of institutions. Only this module knows anything of MIT's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edxorg.lib.settings.file_names import PREFERENCES
from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.stores import join_url

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL_FOLDER = ".edxorg"
"""The folder for everything in `dev`, in the working folder."""

MIT = "mit"

REPORTS = "edxorg-program-credentials"
"""Folder of program reports."""

BUNDLES = "edxorg-course-bundles"
"""Folder of course bundles."""

_OF_MIT: dict[str, Any] = {
    "archive_url": "gs://simeon-mitx-pipeline-main/COLD",
    "archive_name": "mitx-{date}.tar.gz",
    "tracking_log_name": "mitx-edx-events-{date}.log.gz",
    "program_reports_url": "s3://edx-program-reports/reports_v2/MITx",
    "program_reports_profile": "edxorg",
    "google_secret_path": "secret-data/pipelines/edx/org/gcp-oauth-client",
    "api_secret_path": "secret-data/pipelines/edx/edxorg/edx-oauth-client",
    "course_webhook": {
        "source": "mit_edx",
        "header": "X-MITLearn-Signature",
        "secret_path": "secret-global/shared_hmac",
        "secret_field": "learn.token",
    },
    "catalogue_number": 10,
    "owner": "team:ol-data-engineering",
}

_LANDING_ZONES_OF_MIT = {
    "ci": "s3://ol-data-lake-landing-zone-ci",
    "qa": "s3://ol-data-lake-landing-zone-qa",
    "production": "s3://ol-data-lake-landing-zone-production/edxorg-raw-data",
}

SENTRY_DSN = "SENTRY_DSN"
"""The variable that tells that failed runs are reported; Sentry's own clients read it."""

_ARCHIVE_SOURCE = ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST")
"""Variables either of which tells that there is an archive source to watch."""


def defaults_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults that depend on the institution, the environment and other settings.

    Args:
        given: What is given from outside, as it was written.

    Raises:
        SettingsError: The institution has none for what must be known.
    """
    institution, environment = str(given.get("institution", MIT)), str(given.get("environment", "dev"))
    defaults: dict[str, Any] = {"vault": {"auth_method": "token" if environment == "dev" else "kubernetes"}}
    if institution.lower() == MIT:
        defaults |= _of_mit(environment)
    else:
        defaults |= _of_another(institution, environment, given)
    settled = {**defaults, **given}
    vault = given.get("vault")
    defaults["archive_source_configured"] = bool(settled.get("archive_url")) and (
        environment != "dev"
        or bool(given.get("archive_url"))
        or (isinstance(vault, dict) and bool(vault.get("address")))
        or any(os.environ.get(name) for name in _ARCHIVE_SOURCE)
    )
    defaults["error_reports"] = bool(os.environ.get(SENTRY_DSN))
    return defaults


def _of_mit(environment: str) -> dict[str, Any]:
    landing_zone = _LANDING_ZONES_OF_MIT.get(environment)
    if landing_zone is None:
        return _OF_MIT | {
            "landing_zone_url": _local("landing-zone"),
            "program_reports_destination_url": _local("program-reports"),
            "course_bundles_destination_url": _local("course-bundles"),
        }
    return _OF_MIT | {
        "landing_zone_url": landing_zone,
        "program_reports_destination_url": f"s3://ol-data-lake-landing-zone-{environment}/{REPORTS}",
        "course_bundles_destination_url": f"s3://edxorg-{environment}-edxapp-courses",
        "vault": {"auth_method": "kubernetes", "address": f"https://vault-{environment}.odl.mit.edu"},
    }


def _of_another(institution: str, environment: str, given: Mapping[str, Any]) -> dict[str, Any]:
    needed = [] if environment == "dev" else [name for name in ("archive_url", "landing_zone_url") if name not in given]
    if needed:
        variables = " and ".join(f"EDXORG_{name.upper()}" for name in needed)
        raise SettingsError(
            f"{institution} has no {' and no '.join(needed)} by default in {environment}: set {variables}, or give "
            "these attributes; an empty archive_url says that there is none"
        )
    landing_zone = given.get("landing_zone_url") or _local("landing-zone")
    named = institution.lower()  # as edX names what it makes
    return {
        "archive_name": [f"{prefix}{named}-{{date}}.zip" for prefix in ("", PREFERENCES)],
        "tracking_log_name": [f"{named}-{{site}}-events-{{date}}.log.gz{suffix}" for suffix in ("", ".gpg")],
        "landing_zone_url": landing_zone,
        "program_reports_destination_url": join_url(str(landing_zone), REPORTS),
        "course_bundles_destination_url": join_url(str(landing_zone), BUNDLES),
        "course_webhook": {"source": institution},
    }


def _local(folder: str) -> str:
    return f"file://{Path.cwd() / LOCAL_FOLDER / folder}"

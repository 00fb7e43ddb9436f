"""Tags of all runs of a job, whatever starts them; operators find runs by them in the UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edxorg.lib.object_keys import SOURCE
from ol_orchestrate.lib.redaction import redact

if TYPE_CHECKING:
    from edxorg.lib.settings import Settings

READ_FROM = f"{SOURCE}/source"
"""The address that a run reads from."""

WRITTEN_TO = f"{SOURCE}/destination"
"""The address that a run writes to."""

OWNER = f"{SOURCE}/owner"


def run_tags(settings: Settings, *, source: str, destination: str) -> dict[str, str]:
    """Return the tags of a job's runs. Settings refuse addresses with credentials; known secrets are taken out."""
    tags = {READ_FROM: source, WRITTEN_TO: destination, OWNER: settings.owner}
    return {name: redact(value) for name, value in tags.items() if value}


def source_tag(url: str) -> dict[str, str]:
    """Return the tag of a run that reads another address than its job does by default."""
    return {READ_FROM: redact(url)}

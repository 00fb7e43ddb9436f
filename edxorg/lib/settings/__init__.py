"""All that differs between partners, environments and machines: `Settings`.

- `settings_model.py`: the settings as fields; `institutions.py`: the defaults of institutions;
- `sources.py`: a file, variables and defaults, from which settings come; `file_names.py`: names with a date in them;
- `settings_pages.py`: `docs/settings.md` and `.env.example`, which `__main__.py` writes.
"""

from edxorg.lib.settings.file_names import FileNames
from edxorg.lib.settings.institutions import LOCAL_FOLDER
from edxorg.lib.settings.settings_model import (
    COURSE_XML_MAX_RATIO,
    CourseWebhookSettings,
    DefaultSettings,
    Environment,
    Settings,
    VaultSettings,
)
from edxorg.lib.settings.sources import ALERTS

__all__ = [
    "ALERTS",
    "COURSE_XML_MAX_RATIO",
    "LOCAL_FOLDER",
    "CourseWebhookSettings",
    "DefaultSettings",
    "Environment",
    "FileNames",
    "Settings",
    "VaultSettings",
]

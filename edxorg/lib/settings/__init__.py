"""All that differs between partners, environments and machines: `Settings`."""

from edxorg.lib.settings.file_names import FileNames
from edxorg.lib.settings.institutions import LOCAL_FOLDER
from edxorg.lib.settings.model import COURSE_XML_MAX_RATIO, DefaultSettings, Environment, Settings, VaultSettings

__all__ = [
    "COURSE_XML_MAX_RATIO",
    "LOCAL_FOLDER",
    "DefaultSettings",
    "Environment",
    "FileNames",
    "Settings",
    "VaultSettings",
]

"""Write `docs/settings.md` and `.env.example` of the checkout that this is run in."""

from pathlib import Path

from edxorg.lib.settings.settings_pages import write

write(Path.cwd())

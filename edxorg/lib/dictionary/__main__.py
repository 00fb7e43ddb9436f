"""Write `docs/data.md` of the checkout that this is run in."""

from pathlib import Path

from edxorg.lib.dictionary.dictionary_page import write

write(Path.cwd())

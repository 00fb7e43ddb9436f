"""Brings the pages of the top folder into the site, which is built of the folder `docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
}


def on_files(files: Files, *, config: Any) -> Files:  # noqa: ANN401 - a type of mkdocs that says no more
    """Add them, as if they were in `docs`."""
    for name, page in PAGES.items():
        text = Path(name).read_text(encoding="utf-8").replace("](docs/", "](")
        for other, its_page in PAGES.items():
            text = text.replace(f"]({other}", f"]({its_page}")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - what else mkdocs gives
    """Have links from `docs` to them lead to their pages."""
    return re.sub(
        r"\]\(\.\./((?:\.\./)*)(README|CONTRIBUTING|CHANGELOG)\.md",
        lambda link: f"]({link[1]}{PAGES[f'{link[2]}.md']}",
        markdown,
    )

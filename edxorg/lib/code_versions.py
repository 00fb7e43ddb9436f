"""The versions of the code that makes each output: raise one with every change that makes other content of a file.

They are on the assets (`code_version`), and part of what a record says it was made from, so that what older code has
made is not left as it is: tables and forums are converted again when an archive brings them next, logs by the next
backfill or `edxorg reload` over their days. What is made of a course's files has the version of the library
(`ol_orchestrate.lib.openedx.CODE_VERSION`). Nothing starts by itself, except course content where the setting
`follow_code_versions` asks for it. What is delivered byte for byte has no version.
"""

from __future__ import annotations

from typing import Final

from edxorg.lib.object_keys import FORUM_POSTS, TABLES, TRACKING_LOGS

OF_TABLES: Final = 2
OF_FORUM_POSTS: Final = 2
OF_TRACKING_LOGS: Final = 1


def code_version(asset: str) -> str | None:
    """Return the version of the code that makes an output of the archive job or a log."""
    if asset == FORUM_POSTS:
        return str(OF_FORUM_POSTS)
    if asset == TRACKING_LOGS:
        return str(OF_TRACKING_LOGS)
    return str(OF_TABLES) if asset.startswith(TABLES) else None

"""The pages of reference say what the code does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from edxorg.commands import ingest, sample
from edxorg.commands.main import COMMANDS
from edxorg.lib import object_keys
from edxorg.lib.object_keys import COURSE_STRUCTURE, COURSE_XML, EMAIL_OPT_IN, FORUM, FORUM_POSTS
from edxorg.lib.tables import RejectReason
from edxorg.lib.tracking_log.log_rejects import LineRejectReason
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from enum import StrEnum

REFERENCE = ROOT / "docs/reference"

COURSE = "{course}|{site}"


@pytest.mark.parametrize(
    "key",
    [
        object_keys.versioned_raw_data_key("edxorg/raw_data/db_table/{table}", COURSE, "{sha256}"),
        *(
            object_keys.versioned_raw_data_key(asset, COURSE, "{sha256}")
            for asset in (COURSE_STRUCTURE, COURSE_XML, FORUM, FORUM_POSTS)
        ),
        object_keys.versioned_raw_data_key(EMAIL_OPT_IN, "{organization}", "{sha256}"),
        object_keys.normalized_log_key("{partition key}"),
        object_keys.rejected_lines_key("{partition key}"),
        object_keys.oversized_line_key("{partition key}", "{sha256}"),
        object_keys.api_data_key("{output}", "{version}"),
        f"{object_keys.RUN_MARKS}/{{run}}.{{attempt}}.json",
    ],
)
def test_the_page_of_object_keys_has_those_that_the_code_builds(key: str) -> None:
    assert f"| `{key}` |" in (REFERENCE / "object-keys.md").read_text(encoding="utf-8")


def test_the_page_of_commands_has_all_commands_and_no_others() -> None:
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `edxorg "))
    assert set(re.findall(r"\| `edxorg (\w+)", rows)) == set(COMMANDS)
    for name, group in (("ingest", ingest.command), ("sample", sample.command)):
        shown = re.findall(rf"`(?:edxorg {name} )?([\w-]+)", rows)
        assert [command for command in group.commands if command not in shown] == []


@pytest.mark.parametrize(("page", "reasons"), [("tables.md", RejectReason), ("tracking-logs.md", LineRejectReason)])
def test_a_page_by_example_explains_every_reason_of_rejects(page: str, reasons: type[StrEnum]) -> None:
    rows = [
        line for line in (REFERENCE.parent / page).read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert {reason.value for reason in reasons} <= explained

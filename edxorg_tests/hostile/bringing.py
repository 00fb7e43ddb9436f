"""Brings files in, one after the other, in a process of its own: reads requests from its input, and answers.

`python -m edxorg_tests.hostile.bringing FOLDER`.
"""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg.lib.archive.ingestion import ingest_archive
from edxorg.lib.archive.member_writer import IngestOptions
from edxorg.lib.archive.pending import PendingRecords
from edxorg.lib.archive.reconciling import NothingRecorded
from edxorg_tests.hostile.assets import BringingByDagster
from edxorg_tests.hostile.cases import Answer, Road
from ol_orchestrate.lib.errors import PipelineError
from ol_orchestrate.lib.openpgp import PrivateKeys
from ol_orchestrate.lib.stores import open_store

if TYPE_CHECKING:
    from collections import Counter

    from edxorg.lib.archive.ingest_report import IngestReport

_HEALTHY = {MemberOutcome.DELIVERED, MemberOutcome.UNCHANGED}


class Bringing:
    """Brings files into the landing zone `lake` in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._assets = self._stack.enter_context(BringingByDagster(folder))

    def bring(self, road: Road, path: Path, *, is_alone: bool) -> Answer:
        """Bring a file in; if it holds no healthy data, or an error ended it, a healthy one as well."""
        try:
            match road:
                case Road.ARCHIVE:
                    return self._archives(path, is_alone=is_alone)
                case Road.LOG:
                    return self._assets.log(path)
                case Road.STRUCTURE:
                    return self._assets.structure(path)
                case Road.COURSE_XML:
                    return self._assets.course_xml(path)
        except PipelineError as error:
            return Answer([str(error)], is_refused=True)
        except Exception:  # noqa: BLE001 - it is what is looked for
            return Answer(unexpected=traceback.format_exc())

    def close(self) -> None:
        self._stack.close()

    def _archives(self, path: Path, *, is_alone: bool) -> Answer:
        answer = self._archive(path)
        if (answer.errors or is_alone) and answer.unexpected is None:
            answer.rows = None
            healthy = self._archive(self._folder / "healthy" / "mitx-2024-02-07.tar.gz")
            answer.unexpected = healthy.unexpected or (f"beside it: {healthy.errors}" if healthy.errors else None)
        return answer

    def _archive(self, path: Path) -> Answer:
        options = IngestOptions(f"file://{self._folder}/lake", archive_date=date(2024, 1, 31))
        key = self._folder / "keys" / "private.asc"
        try:
            source = open_store(f"file://{path.parent}").read(path.name)
            with PendingRecords() as to_record:
                ingested = ingest_archive(
                    source, options, NothingRecorded(), to_record, keys=lambda: PrivateKeys(key.read_bytes()), workers=1
                )
                ingested.finish([])
        except PipelineError as error:
            return Answer([str(error)], is_refused=True)
        return _answer_of(ingested.report, str(ingested.problem or ""), is_refused=ingested.is_refused)


def _answer_of(report: IngestReport, problem: str, *, is_refused: bool) -> Answer:
    errors = [problem] if problem else []
    outcomes: Counter[MemberOutcome] = report.outcomes
    reasons = [f"{path}: {why}" for path, _, why in report.listed.get(MemberOutcome.FAILED, [])]
    rejected = report.rows_rejected.total()
    answer = Answer(errors, rejected + sum(count for each, count in outcomes.items() if each not in _HEALTHY))
    answer.is_refused = is_refused
    answer.set_aside += report.failed_outputs + report.claimed_twice.total
    answer.rows = (report.rows_delivered, rejected)
    if sum(outcomes.values()) != report.members:
        answer.unexpected = f"the account does not add up: {report.sum_of_outcomes()}"
    elif any("unexpected" in reason for reason in reasons):
        answer.unexpected = "; ".join(reasons)
    elif not problem and len(reasons) < outcomes[MemberOutcome.FAILED]:
        answer.unexpected = f"failed members without a reason: {reasons}"
    return answer


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    bringing = Bringing(Path(sys.argv[1]))
    answers.write("ready\n")
    answers.flush()
    for request in sys.stdin:
        road, path, is_alone = json.loads(request)
        answers.write(json.dumps(asdict(bringing.bring(Road(road), Path(path), is_alone=is_alone))) + "\n")
        answers.flush()
    bringing.close()


if __name__ == "__main__":
    main()

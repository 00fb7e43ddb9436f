"""Converts one member into the objects that it becomes, or tells that it was converted before.

Nothing here knows the landing zone: objects are spools, ready to be written.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Self

from edxorg.lib import code_versions
from edxorg.lib.archive.ingest_report import MemberOutcome, MemberResult
from edxorg.lib.forum import PostsWriter
from edxorg.lib.members import Member, MemberKind, course_columns
from edxorg.lib.object_keys import raw_data_key, rejected_record_key, rejected_rows_key
from edxorg.lib.tables import CourseColumns, convert_table
from ol_orchestrate.lib.spool import Spool
from ol_orchestrate.lib.versions import TableStats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edxorg.lib.forum import ForumReport
    from edxorg.lib.tables import ConvertedTable, TableOptions

HELD = 8 << 20
"""Bytes. A table up to this size is held whole, to be compared with the recorded version before it is converted."""

MADE_FROM_LENGTH = 40
"""Hex digits. Dagster's tags have 63 characters at most."""


@dataclass(frozen=True, slots=True)
class Source:
    """A member's bytes, and a hash that tells if they were converted before.

    Most tables and forums are the same from one week's archive to the next, and hashing them takes a tenth of the time
    of converting them.

    Attributes:
        blocks: The bytes, to be read once.
        options: The options by which a table is read and written.
        made_from: A hash of the bytes and of all else that the rows of a table or a forum depend on. `None` for other
            members, which are not converted, and for those that are too large to be held whole.
    """

    blocks: Iterator[bytes]
    options: TableOptions
    made_from: str | None

    @classmethod
    def begin(cls, member: Member, blocks: Iterable[bytes], options: TableOptions) -> Self:
        """Read the bytes of a table or a forum, or the first `HELD`."""
        how: tuple[object, ...]
        if member.kind is MemberKind.TABLE and member.course is not None:
            how = (
                code_versions.OF_TABLES,
                options.escapes,
                options.row_hash,
                options.dialect,
                course_columns(member.course),
            )
        elif member.kind is MemberKind.FORUM:
            how = (MemberKind.FORUM, code_versions.OF_FORUM_POSTS)
        else:
            return cls(iter(blocks), options, None)
        digest = sha256(repr(how).encode())
        held: deque[bytes] = deque()
        size = 0
        rest = iter(blocks)
        for block in rest:
            held.append(block)
            size += len(block)
            if size > HELD:
                return cls(chain(_emptying(held), rest), options, None)
            digest.update(block)
        return cls(_emptying(held), options, digest.hexdigest()[:MADE_FROM_LENGTH])


def _emptying(blocks: deque[bytes]) -> Iterator[bytes]:
    while blocks:
        yield blocks.popleft()


@dataclass(frozen=True, slots=True)
class Converted:
    """A member's objects, ready to be written."""

    member: Member
    content: Spool | None
    rejects: Spool | None = None
    records: tuple[Spool, ...] = ()
    table: ConvertedTable | None = None
    forum: ForumReport | None = None
    problem: str | None = None
    made_from: str | None = None

    def rejected_objects(self) -> Iterator[tuple[Spool, str]]:
        """Yield the objects that are set aside, each with its key."""
        for record in self.records:
            yield record, rejected_record_key(self.member, record.sha256)
        if self.rejects is not None:
            yield self.rejects, rejected_rows_key(self.member, self.rejects.sha256)

    def close(self) -> None:
        """Give up the objects."""
        for spool in (self.content, self.rejects, *self.records):
            if spool is not None:
                spool.close()


def outputs_of(member: Member) -> list[Member]:
    """Return what a member becomes: itself, and a forum's rows as well."""
    return [member, replace(member, kind=MemberKind.FORUM_POSTS)] if member.kind is MemberKind.FORUM else [member]


def convert(member: Member, source: Source) -> list[Converted]:
    """Return the outputs of a member, in the order of `outputs_of`."""
    if member.kind is MemberKind.TABLE and member.course is not None:
        columns = CourseColumns(*course_columns(member.course).values())
        table = convert_table(source.blocks, course=columns, options=source.options)
        _read_to_the_end(source, table)
        # A table with rejects is converted each time: its rejects are counted, and their object must exist too.
        made_from = source.made_from if table.rejects is None else None
        return [
            Converted(
                member,
                table.rows,
                table.rejects,
                tuple(table.oversized),
                table,
                problem=table.problem,
                made_from=made_from,
            )
        ]
    content = Spool()
    if member.kind is not MemberKind.FORUM:
        for block in source.blocks:
            content.write(block)
        return [Converted(member, _unless_empty(content))]
    posts = PostsWriter()
    for block in posts.through(source.blocks):
        content.write(block)
    rows, rejects = _unless_empty(posts.rows), _unless_empty(posts.rejects)
    outputs = outputs_of(member)
    made_from = source.made_from if rejects is None else None
    return [
        Converted(outputs[0], _unless_empty(content), made_from=made_from),
        Converted(outputs[1], rows, rejects, forum=posts.report, problem=posts.problem, made_from=made_from),
    ]


def _unless_empty(spool: Spool) -> Spool | None:
    return spool if spool.size else None


def _read_to_the_end(source: Source, table: ConvertedTable) -> None:
    """Read what the conversion left: the end of an encrypted member proves that all of it is as it was written."""
    try:
        for _ in source.blocks:
            pass
    except BaseException:
        for spool in (table.rows, table.rejects, *table.oversized):
            if spool is not None:
                spool.close()
        raise


def result_of(converted: Converted) -> MemberResult:
    """Return the result of a member before the store is asked; it counts as delivered unless its conversion failed."""
    member, problem = converted.member, converted.problem
    content = None if problem else converted.content
    result = MemberResult(
        member,
        MemberOutcome.FAILED if problem else MemberOutcome.DELIVERED if content else MemberOutcome.EMPTY,
        version=content.sha256 if content else None,
        object_key=raw_data_key(member, content.sha256) if content else None,
        size=content.size if content else 0,
        problem=problem,
        rejects_key=rejected_rows_key(member, converted.rejects.sha256) if converted.rejects else None,
        made_from=converted.made_from,
    )
    if converted.forum is not None:
        forum = converted.forum
        rejected = {reason.value: count for reason, count in forum.rejected.items()}
        return replace(result, stats=TableStats(forum.rows), rejected=rejected)
    if converted.table is None:
        return result
    report = converted.table.report
    facts: dict[str, str | int] = {
        "dialect": report.dialect.value if report.dialect else "none",
        "quoted_records": report.rfc4180_records,
        "records_with_other_quotes": report.rfc4180_violations,
        "ambiguous": report.ambiguous,
        "large_rows": report.large_rows,
    }
    return replace(
        result,
        stats=TableStats.from_columns(report.rows_out if content else 0, report.columns or None),
        rejected={reason.value: count for reason, count in report.rejected.items()},
        facts=facts,
    )

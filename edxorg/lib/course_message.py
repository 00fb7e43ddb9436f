"""The message about a new version of a course's export: its values, and where they come from.

`course_readable_id` is the course id in the default message, as in the messages of the earlier pipeline; the receiver
compares course ids with all their separators alike. A receiver that wants the course key asks for `{course_key}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ol_orchestrate.lib.course_partition import CoursePartition
    from ol_orchestrate.lib.openedx import Course, RatioLimit
    from ol_orchestrate.lib.stores.path import StorePath

VALUES: Final = (
    "course_id",
    "course_key",
    "content_path",
    "content_file_count",
    "version",
    "extracted_at",
    "source",
)

SHOWN_VALUES: Final = ", ".join(f"`{{{name}}}`" for name in VALUES)

DEFAULT_BODY: Final = (
    '{"course_id":"{course_id}","course_readable_id":"{course_id}","content_path":"{content_path}","source":"{source}"}'
)


@dataclass(frozen=True, kw_only=True)
class CourseVersion:
    """A version of a course's export, as it was recorded.

    Attributes:
        course: The course.
        path: The export.
        object_key: The key of the export below the landing zone.
        version: The SHA-256 of the export.
        recorded_at: The time of its record, ISO 8601 in UTC.
        ratio_limit: The limit for unpacking the export.
    """

    course: CoursePartition
    path: StorePath
    object_key: str
    version: str
    recorded_at: str
    ratio_limit: RatioLimit

    def values(self, source: str) -> Mapping[str, Callable[[], str | int]]:
        """Return the values of a message; only those that come from inside the export need reading it."""
        return {
            "course_id": lambda: self.course.course_id,
            "course_key": lambda: self._content.course_id,
            "content_path": lambda: f"/{self.object_key}",
            "content_file_count": lambda: self._content.files,
            "version": lambda: self.version,
            "extracted_at": lambda: self.recorded_at,
            "source": lambda: source,
        }

    @cached_property
    def _content(self) -> Course:
        from ol_orchestrate.lib.openedx import read_course  # noqa: PLC0415 - slow, and settings need only the names

        reader = self.path.store.read(self.path.key)
        name, course_id = str(self.path), self.course.course_id
        return read_course(reader, name=name, course_id=course_id, ratio_limit=self.ratio_limit)

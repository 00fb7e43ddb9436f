"""A course on an edX site, and its spelling as a partition key."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self


class Site(StrEnum):
    """The edX site that an export comes from, spelled as in partition and object keys."""

    PROD = "prod"
    EDGE = "edge"


class CoursePartition(NamedTuple):
    """A key of the `course_and_source` partitions.

    Attributes:
        course_id: The file-name form, `{org}-{number}-{run}` or `{org}-{number}-{run}-ccx-{n}`.
        site: The site that the course runs on.
    """

    course_id: str
    site: Site

    def key(self) -> str:
        """Return the partition key, `{course_id}|{site}`."""
        return f"{self.course_id}|{self.site}"

    @classmethod
    def parse(cls, key: str) -> Self:
        """Read a partition key.

        Raises:
            ValueError: The key does not end in `|prod` or `|edge`.
        """
        course_id, separator, site = key.rpartition("|")
        if not (separator and course_id and site in set(Site)):
            message = f"{key!r} is no partition key of a course: expected {{course_id}}|prod or {{course_id}}|edge"
            raise ValueError(message)
        return cls(course_id, Site(site))

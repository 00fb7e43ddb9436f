"""The outputs that are made of a course's structure and of its export in OLX."""

from __future__ import annotations

from typing import Final

from ol_orchestrate.lib.dictionary import ADDED, Format, Output, columns_of

_STRUCTURE: Final = "course structure"
_OLX: Final = "OLX"

_RETRIEVED_AT: Final = f"""
retrieved_at timestamp When the file it was made of was recorded, ISO 8601 in UTC; no part of the version. <- {ADDED}
"""

_COURSE_KEY: Final = "course_id string Course key, `course-v1:{org}+{number}+{run}`. <- course.xml"


def _output(
    name: str, row: str, columns: str = "", *, source: str = _OLX, key: str = "", form: Format = Format.JSON_LINES
) -> Output:
    return Output(name, row, columns_of(columns, source), form, tuple(key.split()))


STRUCTURE_OUTPUTS: Final = (
    _output(
        "flattened_course_structure",
        "A course, with its structure as edX exports it and with its keys joined.",
        f"""
        content_hash               string The SHA-256 of the whole document. <- {ADDED}
        course_id                  string Course id, `{{org}}-{{number}}-{{run}}`. <- file name
        source_system              string Site: `prod` or `edge`. <- file name
        course_structure           object The document: usage key to category, children and metadata.
        course_structure_flattened object The same with nested keys joined by two underscores.
        {_RETRIEVED_AT.strip()}
        """,
        source=_STRUCTURE,
        key="course_id source_system",
    ),
    _output(
        "course_blocks",
        "A block of a course, in the order in which learners meet it.",
        f"""
        block_content_hash  string  The SHA-256 of the block. <- {ADDED}
        block_details       object  The block as the document has it: category, children and metadata.
        block_due           string  When work in it is due, ISO 8601, if it says so itself.
        block_id            string  Usage key of the block.
        block_index         integer Its place, depth first from 1; 0 where no block leads to it. <- {ADDED}
        block_parent        string  Usage key of the block above it; `null` for the course.
        block_start         string  When learners can see it, ISO 8601, if it says so itself.
        block_title         string  Title as learners see it.
        block_type          string  Category: `course`, `chapter`, `sequential`, `vertical`, `problem`, `video`, …
        course_content_hash string  The SHA-256 of the whole document. <- {ADDED}
        course_id           string  Course id, `{{org}}-{{number}}-{{run}}`. <- file name
        source_system       string  Site: `prod` or `edge`. <- file name
        course_start        string  When the course starts, ISO 8601.
        course_title        string  Title of the course.
        {_RETRIEVED_AT.strip()}
        """,
        source=_STRUCTURE,
        key="block_id",
    ),
)
"""The outputs that are made of a course structure."""

EXPORT_OUTPUTS: Final = (
    _output(
        "course_metadata",
        "A course: names, dates and instructors.",
        f"""
        {_COURSE_KEY}
        institution      string  The part of the course key that names the organization. <- course.xml
        course_number    string  The part of the course key that names the course. <- course.xml
        semester         string  The part of the course key that names the run. <- course.xml
        title            string  Title of the course. <- `display_name`
        course_start     string  When it starts; the text of the setting. <- `start`
        course_end       string  When it ends; the text of the setting. <- `end`
        enrollment_start string  When enrollment opens; the text of the setting.
        enrollment_end   string  When enrollment closes; the text of the setting.
        self_paced       boolean True where learners choose their own pace.
        instructor_info  string  JSON about the instructors, as course teams enter it in Studio.
        """,
        key="course_id",
    ),
    _output(
        "course_video",
        "A video of a course, in a file of its own or inside another block.",
        f"""
        {_COURSE_KEY}
        video_block_id string The last part of the block's usage key. <- `url_name`
        edx_video_id   string Number of the video in edX's video pipeline.
        duration       string Seconds. <- `video_asset`
        """,
        key="video_block_id",
    ),
    _output(
        "course_policy",
        "A course's settings in its policy; no row where an export has no policy.",
        f"""
        {_COURSE_KEY}
        advanced_modules      array   Names of the advanced components that the course switches on.
        discussions_settings  object  Settings of the discussions.
        display_coursenumber  string  Number that learners see in place of the course's own.
        self_paced            boolean True where learners choose their own pace; `null` where the policy is silent.
        tabs                  array   Tabs of the course: type, name and settings of each.
        tags                  json    Tags of the course: an object or an array, as its team wrote them.
        """,
        source="policy.json",
        key="course_id",
    ),
    _output(
        "course_certificate_signatory",
        "A person who signs a course's certificates.",
        """
        id                   integer Number of the signatory within the certificate.
        name                 string  Name, as it is printed.
        title                string  Title, as it is printed.
        organization         string  Organization, as it is printed.
        signature_image_path string  Path of the picture of the signature.
        certificate_id       integer Number of the certificate within the course.
        course_id            string  Course key, `course-v1:{org}+{number}+{run}`. <- course.xml
        """,
        source="policy.json",
        key="certificate_id id",
    ),
    _output(
        "course_grading_policy",
        "A course's grading policy; no row where an export has none.",
        f"""
        {_COURSE_KEY}
        graders       array  Types of assignments: name, weight, how many count, and how many are dropped.
        grade_cutoffs object Lowest share of points for each grade.
        """,
        source="grading_policy.json",
        key="course_id",
    ),
    _output(
        "course_xml_blocks",
        "A block of a course with its XML, the course itself and inline blocks too.",
        f"""
        {_COURSE_KEY}
        source_system      string Site: `prod` or `edge`. <- file name
        block_id           string The last part of the block's usage key. <- `url_name`
        block_type         string Name of the block's XML element.
        block_display_name string Title that holds: the policy's where it has one; empty where there is none.
        block_parent       string The same part of the usage key of the nearest block above.
        xml_attributes     object Attributes of the XML element, as they are in the file.
        xml_path           string Path of the file that defines the block.
        raw_xml            string The element's XML.
        {_RETRIEVED_AT.strip()}
        edx_video_id       string Of a video: its number in edX's video pipeline.
        duration           string Of a video: seconds. <- `video_asset`
        max_attempts       string Of a problem: how often learners may answer.
        weight             string Of a problem: points that it is worth.
        markdown           string Of a problem: the Markdown it was written in, where it was.
        """,
        key="block_type block_id",
    ),
    _output(
        "course_static_assets",
        "A course's files that are not XML, as a `tar.gz` whose bytes depend on these files alone.",
        form=Format.TAR,
    ),
    _output(
        "course_static_assets_manifest",
        "The list of the files in a course's latest bundle of static assets.",
        f"""
        data_version string  Version of the bundle that this lists. <- {ADDED}
        file_count   integer Number of files. <- {ADDED}
        files        array   Path, MIME type, size in bytes and SHA-256 of each file, sorted by path. <- {ADDED}
        """,
    ),
)
"""The outputs that are made of an export in OLX."""

OUTPUTS: Final = (*STRUCTURE_OUTPUTS, *EXPORT_OUTPUTS)

"""Open edX course content: readers of OLX exports and course structures, and the rows that are made from them.

Begin with `olx`.

| module | content |
| --- | --- |
| `olx` | reads an export into a `Course` |
| `structure` | reads a structure document into a `CourseStructure` |
| `json_outputs` | rows, JSON lines and data versions of both |
| `static_assets` | bundle and manifest of a course's files that are not XML |
| `export_files` | reads the files of an export, in one pass and within bounds |
| `blocks`, `policies` | the parts of a course |
| `tree` | chooses the definition of each block, and links parents and children |
| `reading_order` | sorts blocks depth first, with cycles and orphans |
| `passports` | removes LTI secrets |
| `safe_xml`, `safe_json` | parse untrusted documents |
| `described_course` | the outputs and their columns |
| `problems` | parts that could not be used, and errors |
"""

from ol_orchestrate.lib.openedx.blocks import Block, BlockKey
from ol_orchestrate.lib.openedx.export_files import RatioLimit
from ol_orchestrate.lib.openedx.json_outputs import JsonLines, course_outputs, manifest_line, structure_outputs
from ol_orchestrate.lib.openedx.olx import Course, read_course
from ol_orchestrate.lib.openedx.policies import Policies
from ol_orchestrate.lib.openedx.problems import BrokenDocumentError, CourseExportError, Problem
from ol_orchestrate.lib.openedx.reading_order import Reference
from ol_orchestrate.lib.openedx.static_assets import Manifest, ManifestFile, StaticAssets
from ol_orchestrate.lib.openedx.structure import (
    CourseStructure,
    CourseStructureError,
    StructureBlock,
    read_course_structure,
)

CODE_VERSION = "1"
"""Changes with each change of what is made of a course's files, so that courses can be made again."""

__all__ = [
    "CODE_VERSION",
    "Block",
    "BlockKey",
    "BrokenDocumentError",
    "Course",
    "CourseExportError",
    "CourseStructure",
    "CourseStructureError",
    "JsonLines",
    "Manifest",
    "ManifestFile",
    "Policies",
    "Problem",
    "RatioLimit",
    "Reference",
    "StaticAssets",
    "StructureBlock",
    "course_outputs",
    "manifest_line",
    "read_course",
    "read_course_structure",
    "structure_outputs",
]

"""Open edX course content: what an OLX export and a course structure hold, and the rows that are made from them.

| module | holds |
| --- | --- |
| `olx` | an export to a `Course`: where to begin |
| `structure` | a structure document to a `CourseStructure` |
| `outputs` | rows, JSON lines and data versions of both |
| `static_assets` | the files of a course that are not XML: bundle and manifest |
| `archive` | the members of a `.tar.gz`, one pass, bounded |
| `blocks`, `policies` | the parts of a course |
| `tree` | the blocks of all files: which definitions count, and how they hang together |
| `reading_order` | depth first, with cycles and orphans |
| `passports` | taking LTI secrets out |
| `safe_xml`, `safe_json` | documents from outside |
| `problems` | what could not be used, and the errors |

Knows nothing of Dagster.
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

__all__ = [
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

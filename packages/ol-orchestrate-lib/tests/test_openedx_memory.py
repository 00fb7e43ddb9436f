"""JSON of courses that takes much memory for its size, and large documents as courses have them, each in a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = 'import io, resource, sys\nhead, tail = b\'{"c": {"category": "course", "metadata": {"x": [\', b"]}}}"\n'
OBJECTS = 'data = head + b\'{"a":{}},\' * 299_000 + b"0" + tail'
TEXTS = 'data = head + b",".join(b\'"%05x"\' % n for n in range(1_400_000)) + tail'
WIDE_TEXT = "data = head + b'\"\\xf0\\x9f\\x93\\x9a' + b\"x\" * (16_700_000 - len(head)) + b'\"' + tail"
TOO_MANY = 'data = head + b"{}," * 5_000_000 + b"0" + tail'
REAL = """
key = b'"block-v1:MITx+6.00x+2012_Fall+type@%s+block@%032x"'
course = b'%s: {"category": "course", "children": [%s], "metadata": {"display_name": "\\xf0\\x9f\\x93\\x9a"}}'
block = b'%s: {"category": "html", "children": [], "metadata": {"display_name": "Page", "graded": true, "format": "H"}}'
keys = [key % (b"html", number) for number in range(40_000)]
data = b"{" + course % (key % (b"course", 0), b", ".join(keys)) + b"".join(b", " + block % each for each in keys) + b"}"
del keys
"""
STRUCTURE = """
from ol_orchestrate.lib.openedx import BrokenDocumentError, read_course_structure, structure_outputs
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before, size, rows = peak(), len(data) >> 20, 0
try:
    structure = read_course_structure(io.BytesIO(data))
    for output in structure_outputs(structure, course_id="a-b-c", source_system="prod").values():
        output.data_version()
        rows += sum(chunk.endswith(b"\\n") for chunk in output.chunks("then"))
except BrokenDocumentError:
    pass
print(size, rows, peak() - before)
"""


def measured(document: str) -> tuple[int, int, int]:
    """Size in MiB, rows, and by how many MiB the process grew."""
    command = [sys.executable, "-c", HEAD + document + STRUCTURE]
    size, rows, grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603 - our own
    return int(size), int(rows), int(grown)


@pytest.mark.parametrize("document", [OBJECTS, TEXTS, WIDE_TEXT], ids=["objects", "texts", "wide text"])
def test_a_structure_at_a_limit_takes_little_enough_memory(document: str) -> None:
    _, rows, grown = measured(document)
    assert rows == 2
    assert grown < 200


def test_a_structure_of_many_tiny_values_is_refused_before_it_takes_memory() -> None:
    assert measured(TOO_MANY) == (14, 0, 0)


def test_a_real_structure_of_more_than_10_mb_is_read_within_little_memory() -> None:
    size, rows, grown = measured(REAL)
    assert size >= 10
    assert rows == 40_002
    assert grown < 120

"""The bytes that a conversion makes. A change of them raises `OF_TABLES`, or tables stay as they were converted."""

from __future__ import annotations

import hashlib

from edxorg.lib.code_versions import OF_TABLES
from edxorg.lib.tables import CourseColumns, Escapes, RowHash, TableOptions, convert_table

DUMPS = (
    b'id\tname\n1\tAda\n2\tGrace "Amazing" Hopper\n3\n',
    b'id\tmeta\n1\t"{""old_names"": []}"\n2\tNULL\n',
    b'id\ttext\n1\t"one\ttwo"\n2\t"say ""a"""\n3\t"three\nlines"\n',
    b"id\tstate\n1\ta\\\nb\n2\tc\\\td\n3\te\\\\f\n",
    b"id\tname\r\n1\tAda\r\n2\tGrace\r\n",
)
COURSE = CourseColumns("MITx-6.00x-2012_Fall", "MITx", "6.00x", "2012_Fall", "edxorg_prod")


def test_other_bytes_have_another_number() -> None:
    digest = hashlib.sha256()
    for options in (TableOptions(), TableOptions(escapes=Escapes.DECODE, row_hash=RowHash.CONCATENATED)):
        for dump in DUMPS:
            table = convert_table([dump], course=COURSE, options=options)
            assert table.rows is not None
            digest.update(table.rows.reader().read())
            table.close()
    assert (OF_TABLES, digest.hexdigest()) == (2, "5369b39c47ccfa773e1a1658b8bc71193f56c7182ac646c95c4b94820d972fc5")

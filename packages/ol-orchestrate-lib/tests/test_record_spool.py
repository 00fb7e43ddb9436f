"""Records that wait for their turn."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol_orchestrate.lib import record_spool
from ol_orchestrate.lib.record_spool import RecordSpool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("in_memory", [1, 1 << 20])
@given(
    st.lists(st.lists(st.binary(max_size=9), max_size=3), min_size=1, max_size=9),
    st.lists(st.integers(0, 8), max_size=20),
)
def test_records_are_read_in_any_order_while_others_come(
    in_memory: int, records: list[list[bytes]], order: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch, closing(_spool(patch, in_memory)) as spool:
        for number, chunks in enumerate(records):
            assert spool.append(chunks) == number
            for earlier in order:
                if earlier <= number:
                    assert spool.read(earlier) == b"".join(records[earlier])
        assert len(spool) == len(records)


def _spool(patch: pytest.MonkeyPatch, in_memory: int) -> RecordSpool:
    patch.setattr(record_spool, "IN_MEMORY", in_memory)
    return RecordSpool()


def test_a_record_whose_chunks_end_in_an_error_leaves_nothing() -> None:
    def torn() -> Iterator[bytes]:
        yield b"long, and then"
        raise ValueError("torn")

    with closing(RecordSpool()) as spool:
        spool.append([b"a"])
        with pytest.raises(ValueError, match="torn"):
            spool.append(torn())
        assert spool.append([b"b", b"c"]) == 1
        assert [spool.read(number) for number in range(len(spool))] == [b"a", b"bc"]

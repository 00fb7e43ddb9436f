"""A hundred hostile inputs; the command brings in as many as it is told, and the known attacks as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edxorg_tests.hostile.__main__ import run

if TYPE_CHECKING:
    from ol_orchestrate.testing.openpgp_keys import GnuPG


@pytest.mark.once
@pytest.mark.timeout(900)  # a busy machine takes ten times as long
def test_hostile_inputs_end_in_rejects_or_clear_errors_and_harm_nothing_beside_them(gnupg: GnuPG) -> None:
    found = run(100, 1, gnupg, known=False)
    assert [fault for of_kind in found.values() for fault in of_kind.faults] == []
    assert sum(of_kind.inputs for of_kind in found.values()) == 100
    assert all(of_kind.refused + of_kind.set_aside for of_kind in found.values())

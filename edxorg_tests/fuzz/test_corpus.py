"""Each input of the saved corpus keeps its parser's promises; no fuzzer is needed."""

from __future__ import annotations

import pytest

from edxorg_tests.fuzz.__main__ import CORPUS
from edxorg_tests.fuzz.properties import PROPERTIES


@pytest.mark.parametrize("parser", sorted(PROPERTIES))
def test_all_saved_inputs_keep_the_parsers_promises(parser: str) -> None:
    inputs = sorted((CORPUS / parser).iterdir())
    assert len(inputs) >= 10
    for path in inputs:
        try:
            PROPERTIES[parser](path.read_bytes())
        except Exception as error:
            error.add_note(f"Input: {path}")
            raise

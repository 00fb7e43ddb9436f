"""The `edxorg` command as tests call it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edxorg.commands.main import main

if TYPE_CHECKING:
    import pytest


class Shell:
    """Calls the command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        self._monkeypatch.setattr(sys, "argv", ["edxorg", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = self._capsys.readouterr()
        assert isinstance(code, int)
        return code, captured.out, captured.err

    def printed(self, *arguments: object) -> tuple[int, str]:
        """Exit code, and all that is printed, which holds no traceback."""
        code, out, err = self(*arguments)
        assert "Traceback" not in out + err
        return code, out + err

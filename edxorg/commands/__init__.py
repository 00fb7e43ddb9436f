"""The `edxorg` command.

- `ingest.py`, `inspect.py`, `sample.py`, `demo.py`, `doctor.py`: a module for each command;
- `console.py`: progress, tables and errors for people;
- `runs.py`: running the location's jobs from here.
"""

from edxorg.commands.main import main

__all__ = ["main"]

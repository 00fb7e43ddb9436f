"""The `edxorg` command.

- `main.py`: the command, its subcommands and its exit codes; `stopping.py`: its end at a signal;
- `ingest.py`, `inspect.py`, `sample.py`, `demo.py`, `doctor.py`, `list.py`, `status.py`, `query.py`, `report.py`,
  `prune.py`, `reload.py`: a module for each command;
- `console.py`: progress bars, tables and errors;
- `course_xml.py`: the export of one course, for `ingest` and `inspect`;
- `places.py`: files that are named one by one, by a folder or by a pattern;
- `formats.py`: files of another format than their names say;
- `runs.py`: runs the location's jobs in the command's process;
- `homes.py`: the Dagster instance that keeps these runs.
"""

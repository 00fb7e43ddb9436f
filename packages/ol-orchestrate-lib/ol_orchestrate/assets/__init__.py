"""Assets that several code locations use.

- `openedx_course_archives.py`: the outputs of a course export in OLX.
"""

"""The location's assets; their bodies call `lib`.

- `edxorg_archive.py`: the archives and tracking logs of edX, and the course structures and exports in an archive;
- `course_content.py`: the course structure as rows;
- `course_webhook.py`: messages about new versions of courses;
- `tracking_logs.py`: a day's log, normalized;
- `edxorg_api.py`: programs and courses from the Discovery API.
"""

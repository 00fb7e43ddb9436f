"""Sample inputs of one invented university, whose files agree with each other.

A `University` is a seed and a few numbers. Everything in it is computed when it is asked for, and always the same:
its courses, its learners, which courses a learner enrolls in and when, and what the learner does there in each
session. Nothing is stored, so a university of any size fits into memory.

Writers turn that story into the files that edX would send: weekly archives, daily tracking logs of both sites, the
catalogue, and program reports. An archive has the state before its date, a log has the events that arrived on its day.
Because all of them ask the same university, an enrollment in a table has its event in a log, a post in the forum has
its thread, and a grade is the sum of the answers. Each writer also returns the truth about what it wrote, counted from
the story: rows, enrollments by mode, certificates, posts, events by type, and rejects by reason.

`University.hazards` names the oddities that are put in on purpose; see `edxorg.samples.hazards`.

The story:

- `university.py`: the university; `courses.py`: its courses; `learners.py`: its learners;
- `story.py`: what a learner does in a course; `learner_progress.py`: what a learner has left behind by a certain time;
- `invented.py`, `prose.py`: names and texts; `times.py`: times, and how each source prints them;
- `hazards.py`: oddities by name.

The writers:

- `files.py`: all files of a university; `whole_files.py`: each there only when it is complete;
- `sample_archive.py`: a weekly archive; `package.py`: its members; `encryption.py`: files as OpenPGP messages;
- `sample_tables.py`: tables and their columns; `table_rows.py`, `assessment_rows.py`: their rows; `dialects.py`: how
  values are written;
- `sample_forum.py`: a forum; `sample_olx.py`: the export of a course; `sample_course_xml.py`: an export of any size;
- `sample_log.py`: a day's log; `events.py`: its events;
- `sample_catalogue.py`: the catalogue; `catalogue_server.py`: a server that answers with it;
- `sample_reports.py`: program reports.

This package imports nothing of the code that reads these files, so that both cannot share a mistake.
"""

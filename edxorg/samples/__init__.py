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

This package imports nothing of the code that reads these files, so that both cannot share a mistake.
"""

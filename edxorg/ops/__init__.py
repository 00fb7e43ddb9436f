"""The steps of the jobs, and their shared parts: checks, recording and progress."""

"""The steps of the jobs, and what they share: recording and failing."""

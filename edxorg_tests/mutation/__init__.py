"""Tries the tests of the pure core: `python -m edxorg_tests.mutation MODULE…` changes code, and looks if a test fails.

- `mutants.py`: the changes
- `trials.py`: tests of a module, run for each of them in a process of its own
- `tested_by.py`: modules, and the tests that are to find their faults
"""

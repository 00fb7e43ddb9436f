"""Hostile input: broken and forged files, each brought in as users bring files in, beside a healthy one.

`uv run python -m edxorg_tests.hostile --inputs 1000` makes so many from a seed, adds the known attacks, and prints a
table. It fails if one of them ends in anything but a reject or a clear error, takes too long or too much memory, harms
the healthy file beside it, lands under a forged key, or writes outside the folders that are meant for it.

- `__main__.py`: the command; `trial.py`: brings each input in, and judges what came of it;
- `bringing.py`: the process that brings them in, whose memory and time are bounded;
- `cases.py`: an input; `generated.py`: makes them by kind; `mutations.py`: breaks bytes, headers and JSON;
- `attacks.py`: the known attacks, one by one.
"""

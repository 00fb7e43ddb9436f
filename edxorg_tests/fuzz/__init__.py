"""Coverage-guided fuzzing of the parsers of untrusted files.

- `properties.py`: for each parser, what must hold whatever it is given;
- `__main__.py`: looks for input for which it does not, `uv run --group fuzz python -m edxorg_tests.fuzz PARSER`;
- `corpus`: inputs that reach code which the others do not, none of them real data; `test_corpus.py` tries them all.
"""

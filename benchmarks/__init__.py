"""How fast and how large it is, as ratios to a reference that runs beside it: `python -m benchmarks --help`."""

"""The landing zone as readers see it: which objects are current, and views over them.

- `current.py`: the current object of each place; `pruning.py`: superseded versions, and their removal;
- `views.py`: outputs as views; `database.py`: DuckDB over a landing zone; `answers.py`: rows in formats.
"""

from edxorg.lib.lake.current import newest, place_of
from edxorg.lib.lake.views import View, all_views, find_view, view_names_in

__all__ = ["View", "all_views", "find_view", "newest", "place_of", "view_names_in"]

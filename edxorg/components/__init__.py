"""The components that `dg` knows.

- `edxorg_location.py`: the whole location.
"""

from edxorg.components.edxorg_location import EdxorgLocation

__all__ = ["EdxorgLocation"]

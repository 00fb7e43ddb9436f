"""The components that `dg` knows."""

from edxorg.components.edxorg_location import EdxorgLocation

__all__ = ["EdxorgLocation"]

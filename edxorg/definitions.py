"""The code location: that of the environment's settings, with what `dg scaffold defs` has added."""

from pathlib import Path

import dagster as dg

from edxorg.components import EdxorgLocation


def _definitions() -> dg.Definitions:
    """Return all definitions; a location in the folder `defs` takes the place of the environment's."""
    folder = Path(__file__).parent / "defs"
    if not any(each.is_dir() and each.name[0] not in "_." for each in folder.iterdir()):
        return EdxorgLocation().definitions()
    tree = dg.ComponentTree.for_project(folder)
    if tree.get_all_components(EdxorgLocation):
        return tree.build_defs()
    return dg.Definitions.merge(EdxorgLocation().definitions(), tree.build_defs())


defs = _definitions()

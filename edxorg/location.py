"""The names of this location, which its setting `name` leads."""

from __future__ import annotations

import dagster as dg

from edxorg.lib.object_keys import SOURCE
from ol_orchestrate.location_names import LocationNames
from ol_orchestrate.partitions.edxorg import course_and_source_partitions


def location_names(name: str = SOURCE) -> LocationNames:
    """Return the names of a location; only the one called `edxorg` shares its courses with other code locations."""
    shared = course_and_source_partitions
    courses = shared if name == SOURCE else dg.DynamicPartitionsDefinition(name=f"{name}_{shared.name}")
    return LocationNames(name, SOURCE, courses)


def organizations(location: LocationNames) -> dg.DynamicPartitionsDefinition:
    """Return the partitions of preferences of e-mail."""
    return dg.DynamicPartitionsDefinition(name=location.of("edxorg_organization"))


EDXORG = location_names()

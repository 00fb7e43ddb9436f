"""When assets run by themselves."""

from __future__ import annotations

import dagster as dg


def on_new_version() -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """Run a partition once when the data version of what it depends on changes, and once more if that run fails.

    A change that comes while the partition is being run waits until that run is over: only a request that follows
    a change settles it, never a materialization, which may have been made of what was there before. Nothing here
    asks whether a run has recorded anything, so that a run with nothing new to record is not requested again.

    What was there, or had failed, before the condition was first evaluated starts nothing.
    """
    condition = dg.AutomationCondition
    changed = condition.any_deps_match(condition.data_version_changed())
    waiting = changed.since(condition.newly_requested() & ~changed).with_label("changed since last requested")
    # Dagster takes a partition for failed until something of it is recorded, also while it runs again
    failed = condition.execution_failed() & ~condition.in_progress() & ~waiting
    first_failure = failed.since(waiting).newly_true().with_label("failed for the first time since the change")
    return ((waiting | first_failure) & ~condition.in_progress() & ~condition.initial_evaluation()).with_label(
        "on new version"
    )

"""Conditions under which assets run by themselves."""

from __future__ import annotations

import dagster as dg


def on_new_version(*, once_more: bool = True) -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """Request a partition once when the data version of an upstream asset changes, and once more if that run fails.

    A change during a run of the partition waits until that run is over. Only a request that follows a change settles
    the change; a materialization does not, as it may have been made from the version before. The condition does not
    ask whether a run has recorded anything, so a run with nothing new to record is not requested again.

    Partitions that existed or had failed before the first evaluation are not requested.

    Args:
        once_more: False to leave a failed run to its own retries, if a repetition is seen outside.
    """
    condition = dg.AutomationCondition
    changed = condition.any_deps_match(condition.data_version_changed())
    waiting = changed.since(condition.newly_requested() & ~changed).with_label("changed since last requested")
    # Dagster shows a partition as failed until its next materialization, even while it runs again.
    failed = condition.execution_failed() & ~condition.in_progress() & ~waiting
    first_failure = failed.since(waiting).newly_true().with_label("failed for the first time since the change")
    due = waiting | first_failure if once_more else waiting
    return (due & ~condition.in_progress() & ~condition.initial_evaluation()).with_label("on new version")

"""Conditions under which assets run by themselves."""

from __future__ import annotations

from typing import cast

import dagster as dg

Condition = dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]


def on_new_version(*, once_more: bool = True, follow_code: bool = False) -> Condition:
    """Request a partition once when the data version of an upstream asset changes, and once more if that run fails.

    A change during a run of the partition waits until that run is over. Only a request that follows a change settles
    the change; a materialization does not, as it may have been made from the version before. The condition does not
    ask whether a run has recorded anything, so a run with nothing new to record is not requested again.

    Partitions that existed or had failed before the first evaluation are not requested.

    Args:
        follow_code: True to request all partitions as well when the asset's code version changes.
        once_more: False to leave a failed run to its own retries, if a repetition is seen outside.
    """
    condition = dg.AutomationCondition
    changed: Condition = condition.any_deps_match(condition.data_version_changed())
    if follow_code:
        is_better = cast("Condition", condition.code_version_changed())  # of assets, as the others are used here
        changed = changed | (condition.any_deps_match(~condition.missing()) & is_better)
    waiting = changed.since(condition.newly_requested() & ~changed).with_label("changed since last requested")
    # Dagster shows a partition as failed until its next materialization, even while it runs again.
    failed = condition.execution_failed() & ~condition.in_progress() & ~waiting
    first_failure = failed.since(waiting).newly_true().with_label("failed for the first time since the change")
    due = waiting | first_failure if once_more else waiting
    return (due & ~condition.in_progress() & ~condition.initial_evaluation()).with_label("on new version")


def watched_asset(definition: dg.AssetsDefinition) -> dg.AssetKey:
    """Return the asset of a definition whose attempts tell if all of them failed: the one with a condition, if any."""
    specs = list(definition.specs)
    return next((spec.key for spec in specs if spec.automation_condition is not None), specs[0].key)

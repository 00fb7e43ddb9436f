"""Which files need a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edxorg.sensors.run_decision import NEEDS_A_RUN, LatestRun, RunDecision, RunOutcome, decide_run


@given(
    recorded=st.none() | st.sampled_from("ab"),
    run=st.none() | st.builds(LatestRun, st.just("run"), st.sampled_from(RunOutcome), st.integers(1, 4)),
    never_launched=st.booleans(),
)
def test_a_file_never_runs_twice_at_a_time_and_is_done_only_if_recorded_and_run(
    *, recorded: str | None, run: LatestRun | None, never_launched: bool
) -> None:
    what = decide_run("a", recorded, run, never_launched=never_launched)
    if run is not None and run.outcome is RunOutcome.UNDER_WAY:
        assert what is RunDecision.IN_PROGRESS
    elif recorded != "a":
        assert what is RunDecision.NEW_VERSION
    if what is RunDecision.DONE:
        assert run is not None
        assert run.outcome is RunOutcome.SUCCEEDED
        assert not never_launched
    if what in NEEDS_A_RUN:
        assert run is None or run.outcome is not RunOutcome.UNDER_WAY


def test_a_run_that_failed_for_a_setting_has_another_after_six_hours() -> None:
    run = LatestRun("run", RunOutcome.FAILED_UNTIL_MENDED, attempt=7)
    assert decide_run("a", "a", run._replace(hours_ago=5.9)) is RunDecision.AWAITS_OPERATOR
    assert decide_run("a", "a", run._replace(hours_ago=6.0)) is RunDecision.RETRY_IF_MENDED

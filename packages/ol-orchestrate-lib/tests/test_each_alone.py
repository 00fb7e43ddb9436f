"""Work on partitions that fail one by one."""

from __future__ import annotations

import logging

import pytest

from ol_orchestrate.each_alone import IN_A_ROW, EachAlone
from ol_orchestrate.lib.errors import BadInputError, ServiceError

LOG = logging.getLogger("each_alone")


def attempt(errors: list[Exception | None]) -> tuple[list[int], EachAlone]:
    """The numbers of what was tried, each of which ends with one of these errors, or with none."""
    each = EachAlone(LOG)
    tried = []
    for number, error in enumerate(errors):
        if each.may_try(str(number)):
            with each.trying(str(number)):
                tried.append(number)
                if error is not None:
                    raise error
    return tried, each


@pytest.mark.parametrize("between", [None, BadInputError("no log")])
def test_failures_of_a_service_that_are_not_in_a_row_stop_nothing(between: Exception | None) -> None:
    down = ServiceError("down")
    tried, each = attempt([down, down, between, down, down, between, down])
    assert tried == [*range(7)]
    assert {name for name, error in each.failed.items() if error is down} == {"0", "1", "3", "4", "6"}


def test_nothing_is_tried_once_a_service_has_failed_a_few_times_in_a_row() -> None:
    tried, each = attempt([None, *[ServiceError("nobody answers")] * 6])
    assert tried == [*range(IN_A_ROW + 1)]
    assert [*each.failed] == ["1", "2", "3", "4", "5", "6"]
    assert {str(each.failed[name]) for name in ("4", "5", "6")} == {
        "This was not tried, since a service failed for the 3 before: nobody answers"
    }
    assert each.failed["6"].is_transient


def test_what_goes_well_in_the_end_has_not_failed() -> None:
    each = EachAlone(LOG)
    with each.trying("a"):
        raise BadInputError("replaced meanwhile")
    with each.trying("a"):
        pass
    assert each.failed == {}


def test_an_unexpected_error_is_told_by_its_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    tried, each = attempt([*[ValueError("Ada Lovelace")] * 4, None])
    assert tried == [*range(5)]
    assert {str(error) for error in each.failed.values()} == {"ValueError. The log of the run has its text"}
    assert "Traceback" in caplog.text

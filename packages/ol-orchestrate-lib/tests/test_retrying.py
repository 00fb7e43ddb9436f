"""Requests that are repeated."""

from __future__ import annotations

import pytest
from tenacity import RetryCallState, Retrying

from ol_orchestrate.lib import retrying
from ol_orchestrate.lib.errors import BadInputError, PipelineError, ServiceError, SourceChangedError, SourceGoneError
from ol_orchestrate.lib.retrying import pauses, retried


@pytest.mark.parametrize(("error", "requests"), [(ServiceError, 4), (BadInputError, 1)])
def test_only_transient_errors_are_retried_and_at_most_so_often(
    monkeypatch: pytest.MonkeyPatch, error: type[PipelineError], requests: int
) -> None:
    monkeypatch.setattr(retrying, "PAUSE", 0)
    made: list[None] = []

    def request() -> None:
        made.append(None)
        raise error("no")

    with pytest.raises(error, match="no"):
        retried(request, retries=3)
    assert len(made) == requests


def test_an_error_of_the_class_that_cannot_pass_is_not_retried() -> None:
    errors = [SourceGoneError("gone"), SourceChangedError("changed")]

    def request() -> None:
        raise errors.pop()

    with pytest.raises(SourceGoneError):
        retried(request, on=SourceChangedError, retries=3)
    assert errors == []


def test_clients_that_failed_together_do_not_return_together() -> None:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = 3
    waits = {pauses()(state) for _ in range(20)}
    assert len(waits) > 10
    assert all(1 <= wait <= 2 for wait in waits)

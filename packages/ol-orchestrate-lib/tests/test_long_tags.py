"""Values of any length in the tags of a run."""

from collections.abc import Mapping

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from ol_orchestrate.failures import as_dagster_failure, failure_of_partitions, why_failed
from ol_orchestrate.landing.course_outputs import more_courses, tags_of_courses
from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.long_tags import MAX_BYTES, emptied, joined, shortened, split

TEXTS = st.lists(st.text(max_size=40), max_size=200)


@given(value=TEXTS, before=TEXTS)
def test_a_value_comes_back_whole_whatever_was_there_before(value: list[str], before: list[str]) -> None:
    other = {"names": "1", "name.x": "1"}
    tags = {**other, **split("name", before)}
    tags |= split("name", value, earlier=tags)
    assert joined("name", tags) == value
    assert_fit(tags)
    tags |= emptied("name", tags)
    assert joined("name", tags) is None
    assert other.items() <= tags.items()


def assert_fit(tags: Mapping[str, str]) -> None:
    assert max(len(value.encode()) for value in tags.values()) <= MAX_BYTES


def test_a_run_without_the_tags_has_no_value() -> None:
    assert joined("name", {"name.2": "1"}) is None


@given(st.text(max_size=3000))
def test_a_shortened_text_fits_into_one_tag(text: str) -> None:
    shown = shortened(text)
    assert len(shown.encode(errors="replace")) <= MAX_BYTES
    assert shown == text or (len(shown) > MAX_BYTES // 5 and shown.endswith("…") and text.startswith(shown[:-1]))


def test_a_run_of_many_courses_that_all_fail_has_tags_that_fit() -> None:
    courses = [f"Org-{'ж' * 60}-{number}|prod" for number in range(200)]
    why = {course: f"{course}: {'й' * 2000}" for course in courses}

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        assert more_courses(context.run.tags) == courses
        with as_dagster_failure(context):
            raise failure_of_partitions({each: BadInputError(why[each]) for each in courses}, len(courses), "courses")

    @dg.job
    def job() -> None:
        work()

    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False, tags=tags_of_courses(courses))
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert_fit(run.tags)
    for each in courses:
        assert (why_failed(run, "work", each) or "").startswith(why[each][:200])
    assert why_failed(run, "work", "another") is None

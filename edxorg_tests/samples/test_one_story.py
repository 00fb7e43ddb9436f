"""All files of a university tell one story: each reference resolves, and what one source says the others say."""

from __future__ import annotations

import csv
import io
import json
import re
import tarfile
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from edxorg_tests.samples.plain_readers import PlainArchive, PlainCourse, usage_keys_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg_tests.samples.conftest import Written

REFERENCES = (
    # table, column, table that has it, column there
    ("auth_userprofile", "user_id", "auth_user", "id"),
    ("student_courseenrollment", "user_id", "auth_user", "id"),
    ("student_courseaccessrole", "user_id", "student_courseenrollment", "user_id"),
    ("certificates_generatedcertificate", "user_id", "student_courseenrollment", "user_id"),
    ("grades_persistentcoursegrade", "user_id", "student_courseenrollment", "user_id"),
    ("grades_persistentsubsectiongrade", "user_id", "grades_persistentcoursegrade", "user_id"),
    ("courseware_studentmodule", "student_id", "student_courseenrollment", "user_id"),
    ("user_id_map", "user_id", "auth_user", "id"),
    ("user_id_map", "username", "auth_user", "username"),
    ("student_languageproficiency", "user_profile_id", "auth_userprofile", "id"),
    ("student_anonymoususerid", "user_id", "auth_user", "id"),
    ("user_api_usercoursetag", "user_id", "student_courseenrollment", "user_id"),
    ("credit_crediteligibility", "username", "auth_user", "username"),
    ("course_groups_cohortmembership", "user_id", "student_courseenrollment", "user_id"),
    ("django_comment_client_role_users", "user_id", "student_courseenrollment", "user_id"),
    ("teams_membership", "user_id", "student_courseenrollment", "user_id"),
    ("teams_membership", "team_id", "teams", "id"),
    ("wiki_article", "owner_id", "auth_user", "id"),
    ("wiki_article", "current_revision_id", "wiki_articlerevision", "id"),
    ("wiki_articlerevision", "article_id", "wiki_article", "id"),
    ("wiki_articlerevision", "user_id", "auth_user", "id"),
    ("assessment_assessment", "submission_uuid", "submissions_submission", "uuid"),
    ("assessment_assessment", "scorer_id", "student_anonymoususerid", "anonymous_user_id"),
    ("assessment_assessment", "rubric_id", "assessment_rubric", "id"),
    ("assessment_assessmentfeedback", "submission_uuid", "submissions_submission", "uuid"),
    ("assessment_assessmentfeedback_assessments", "assessmentfeedback_id", "assessment_assessmentfeedback", "id"),
    ("assessment_assessmentfeedback_assessments", "assessment_id", "assessment_assessment", "id"),
    ("assessment_assessmentfeedback_options", "assessmentfeedback_id", "assessment_assessmentfeedback", "id"),
    (
        "assessment_assessmentfeedback_options",
        "assessmentfeedbackoption_id",
        "assessment_assessmentfeedbackoption",
        "id",
    ),
    ("assessment_assessmentpart", "assessment_id", "assessment_assessment", "id"),
    ("assessment_assessmentpart", "criterion_id", "assessment_criterion", "id"),
    ("assessment_assessmentpart", "option_id", "assessment_criterionoption", "id"),
    ("assessment_criterion", "rubric_id", "assessment_rubric", "id"),
    ("assessment_criterionoption", "criterion_id", "assessment_criterion", "id"),
    ("assessment_studenttrainingworkflow", "student_id", "student_anonymoususerid", "anonymous_user_id"),
    ("assessment_studenttrainingworkflowitem", "workflow_id", "assessment_studenttrainingworkflow", "id"),
    ("assessment_studenttrainingworkflowitem", "training_example_id", "assessment_trainingexample", "id"),
    ("assessment_trainingexample", "rubric_id", "assessment_rubric", "id"),
    ("assessment_trainingexample_options_selected", "trainingexample_id", "assessment_trainingexample", "id"),
    ("assessment_trainingexample_options_selected", "criterionoption_id", "assessment_criterionoption", "id"),
    ("submissions_score", "student_item_id", "submissions_studentitem", "id"),
    ("submissions_score", "submission_id", "submissions_submission", "id"),
    ("submissions_scoresummary", "highest_id", "submissions_score", "id"),
    ("submissions_scoresummary", "latest_id", "submissions_score", "id"),
    ("submissions_scoresummary", "student_item_id", "submissions_studentitem", "id"),
    ("submissions_studentitem", "student_id", "student_anonymoususerid", "anonymous_user_id"),
    ("submissions_submission", "student_item_id", "submissions_studentitem", "id"),
    ("workflow_assessmentworkflow", "submission_uuid", "submissions_submission", "uuid"),
    ("workflow_assessmentworkflowstep", "workflow_id", "workflow_assessmentworkflow", "id"),
)

IN_STRUCTURE = (
    ("courseware_studentmodule", "module_id"),
    ("grades_persistentsubsectiongrade", "usage_key"),
    ("submissions_studentitem", "item_id"),
    ("workflow_assessmentworkflow", "item_id"),
    ("assessment_studenttrainingworkflow", "item_id"),
)

WITH_FRACTIONS = {
    "auth_user": {"last_login"},
    "grades_persistentcoursegrade": {"passed_timestamp", "created", "modified"},
    "grades_persistentsubsectiongrade": {"first_attempted", "created", "modified"},
    "credit_crediteligibility": {"created", "modified"},
}


def courses(written: Written) -> Iterator[tuple[str, PlainCourse]]:
    for archive in written.archives:
        yield from archive.courses.items()


def last(written: Written) -> PlainArchive:
    return written.archives[-1]


def enrollment_key(event: dict[str, Any]) -> tuple[str, str]:
    return event["event"]["course_id"], str(event["event"]["user_id"])


@pytest.mark.parametrize(("table", "column", "other", "key"), REFERENCES)
def test_each_foreign_key_of_a_table_resolves(plain: Written, table: str, column: str, other: str, key: str) -> None:
    found = 0
    for partition, course in courses(plain):
        values = set(course.column(table, column))
        found += len(values)
        assert values <= set(course.column(other, key)), partition
    assert found or table == "credit_crediteligibility", "nothing was compared"


@pytest.mark.parametrize(("table", "column"), IN_STRUCTURE)
def test_each_usage_key_of_a_table_is_in_the_structure(plain: Written, table: str, column: str) -> None:
    found = 0
    for _, course in courses(plain):
        values = set(course.column(table, column))
        found += len(values)
        assert values <= course.structure.keys()
    assert found


def test_each_course_key_is_that_of_the_course(plain: Written) -> None:
    for partition, course in courses(plain):
        key = plain.truth["courses"][partition]["course_key"]
        for table, rows in course.tables.items():
            assert {row["course_id"] for row in rows if "course_id" in row} <= {key}, table
        assert {post["course_id"] for post in course.forum} == {key}


def test_the_courses_have_every_kind_of_key(plain: Written) -> None:
    keys = {partition: course["course_key"] for partition, course in plain.truth["courses"].items()}
    assert keys == {
        "MITx-1.100x-1T2024|prod": "course-v1:MITx+1.100x+1T2024",
        "MITx-2.101.1-x-2T2024-A|prod": "course-v1:MITx+2.101.1-x+2T2024-A",
        "MITx-1.100x-1T2024|edge": "course-v1:MITx+1.100x+1T2024",
        "MITx-4.103x-2012_Fall|prod": "MITx/4.103x/2012_Fall",
        "MITx-1.100x-1T2024-ccx-12|prod": "ccx-v1:MITx+1.100x+1T2024+ccx@12",
    }
    assert [set(archive.courses) for archive in plain.archives] == [set(keys)] * 2


def test_each_enrollment_of_these_days_has_its_event_and_earlier_ones_have_none(plain: Written) -> None:
    for site in ("prod", "edge"):
        events = {
            enrollment_key(event): event
            for event in plain.events(site)
            if event["event_type"] == "edx.course.enrollment.activated"
        }
        told: dict[tuple[str, str], dict[str, str]] = {}
        for partition, course in last(plain).courses.items():
            if partition.endswith(site):
                told |= {(row["course_id"], row["user_id"]): row for row in course.tables["student_courseenrollment"]}
        within = {key for key, row in told.items() if row["created"] >= str(plain.university.first_day)}
        assert 0 < len(within) < len(told)
        assert events.keys() == within
        for key, event in events.items():
            assert event["time"][:19].replace("T", " ") == told[key]["created"]
            assert event["event"]["mode"] in {told[key]["mode"], "audit"}


def test_modes_and_unenrollments_of_the_tables_are_those_of_the_events(plain: Written) -> None:
    changed, left = 0, 0
    for site in ("prod", "edge"):
        events = plain.events(site)
        by_type = defaultdict(set)
        for event in events:
            if event["event_type"].startswith("edx.course.enrollment."):
                by_type[event["event_type"].rpartition(".")[2]].add(enrollment_key(event))
        for partition, course in last(plain).courses.items():
            for row in course.tables["student_courseenrollment"]:
                if partition.endswith(site):
                    key = (row["course_id"], row["user_id"])
                    assert (row["is_active"] == "0") == (key in by_type["deactivated"])
                    assert row["mode"] == "verified" or key not in by_type["mode_changed"]
                    changed += key in by_type["mode_changed"]
                    left += key in by_type["deactivated"]
    assert changed
    assert left


def test_the_state_of_a_problem_is_the_last_attempt_in_the_logs(plain: Written) -> None:
    for site in ("prod", "edge"):
        last_attempts: dict[tuple[str, str, str], dict[str, Any]] = {}
        for event in plain.events(site):
            if event["event_type"] == "problem_check" and event["event_source"] == "server":
                about = event["context"]
                last_attempts[about["course_id"], str(about["user_id"]), event["event"]["problem_id"]] = event["event"]
        states = {}
        for partition, course in last(plain).courses.items():
            if partition.endswith(site):
                for row in course.tables["courseware_studentmodule"]:
                    if row["module_type"] == "problem":
                        states[row["course_id"], row["student_id"], row["module_id"]] = row
        assert states.keys() == last_attempts.keys()
        for key, row in states.items():
            state, event = json.loads(row["state"]), last_attempts[key]
            assert (state["attempts"], state["student_answers"]) == (event["attempts"], event["answers"])
            assert float(row["grade"]) == event["grade"]


def test_a_grade_is_the_sum_of_the_answers(plain: Written) -> None:
    for _, course in courses(plain):
        possible = sum(block["category"] == "problem" for block in course.structure.values())
        earned: Counter[str] = Counter()
        for row in course.tables["courseware_studentmodule"]:
            earned[row["student_id"]] += row["grade"] == "1.0"
        for row in course.tables["grades_persistentcoursegrade"]:
            assert row["percent_grade"] == f"{earned[row['user_id']] / possible:.2f}"
            assert (row["letter_grade"] == "Pass") == (row["passed_timestamp"] != "NULL")
        subsections: Counter[str] = Counter()
        for row in course.tables["grades_persistentsubsectiongrade"]:
            subsections[row["user_id"]] += int(float(row["earned_all"]))
        assert +subsections == +earned


def test_each_certificate_has_its_event_and_a_passing_grade(plain: Written) -> None:
    granted = 0
    for partition, course in last(plain).courses.items():
        events = {
            str(event["event"]["user_id"]): event["event"]
            for event in plain.events(partition.partition("|")[2])
            if event["event_type"] == "edx.certificate.created"
            and event["event"]["course_id"] == plain.truth["courses"][partition]["course_key"]
        }
        rows = {row["user_id"]: row for row in course.tables["certificates_generatedcertificate"]}
        downloadable = {user for user, row in rows.items() if row["status"] == "downloadable"}
        granted += len(downloadable)
        assert downloadable == events.keys()
        for user in downloadable:
            assert float(rows[user]["grade"]) >= 0.6
            assert rows[user]["verify_uuid"] == events[user]["certificate_id"]
            assert rows[user]["mode"] == events[user]["enrollment_mode"] != "audit"
    assert granted


def test_each_post_has_its_event_and_its_thread(plain: Written) -> None:
    for partition, course in last(plain).courses.items():
        posts = {post["_id"]["$oid"]: post for post in course.forum}
        users = {row["id"]: row["username"] for row in course.tables["auth_user"]}
        topics = {
            block["metadata"]["discussion_id"]
            for block in course.structure.values()
            if block["category"] == "discussion"
        }
        key = plain.truth["courses"][partition]["course_key"]
        created = {
            event["event"]["id"]: event
            for event in plain.events(partition.partition("|")[2])
            if event["event_type"].startswith("edx.forum.") and event["context"]["course_id"] == key
        }
        first_day = str(plain.university.first_day)
        assert created.keys() == {i for i, post in posts.items() if post["created_at"]["$date"] >= first_day}
        comments: Counter[str] = Counter()
        for number, post in posts.items():
            assert users[post["author_id"]] == post["author_username"]
            if post["_type"] == "CommentThread":
                assert post["commentable_id"] in topics
            else:
                thread = post["comment_thread_id"]["$oid"]
                comments[thread] += 1
                assert posts[thread]["_type"] == "CommentThread"
                assert all(parent["$oid"] in posts for parent in post["parent_ids"])
            if number in created:
                assert created[number]["event"]["body"] == post["body"] or post["body"] == "[deleted]"
        assert len(comments) == len(topics)
        assert all(posts[thread]["comment_count"] == count for thread, count in comments.items())


def test_each_user_and_block_in_the_logs_is_in_the_tables_and_structures(plain: Written) -> None:
    for site in ("prod", "edge"):
        names: dict[str, set[str]] = defaultdict(set)
        blocks: dict[str, set[str]] = defaultdict(set)
        for archive in plain.archives:
            for partition, course in archive.courses.items():
                if partition.endswith(site):
                    key = plain.truth["courses"][partition]["course_key"]
                    blocks[key] |= course.structure.keys()
                    for row in course.tables["auth_user"]:
                        names[row["id"]].add(row["username"])
        events = plain.events(site)
        assert {event["context"]["course_id"] for event in events} == blocks.keys()
        for event in events:
            key = event["context"]["course_id"]
            assert set(usage_keys_in(event["event"])) <= blocks[key]
            if event["username"]:
                assert event["username"] in names[str(event["context"]["user_id"])]
            else:
                assert not event["context"]["user_id"]


def test_a_log_has_the_events_that_arrived_on_its_day_in_their_order(plain: Written) -> None:
    late = Counter[int]()
    for name, events in plain.logs.items():
        day = re.findall(r"\d{4}-\d\d-\d\d", name)[0]
        arrivals = [event["context"].get("received_at") or event["time"] for event in events]
        assert {arrival[:10] for arrival in arrivals} == {day}
        assert arrivals == sorted(arrivals)
        late.update(int(day[8:]) - int(event["time"][8:10]) for event in events)
        assert plain.truth["logs"][name]["late"] == sum(event["time"][:10] < day for event in events)
    assert late[0] > 0
    assert any(days > 0 for days in late)


def test_events_come_from_everywhere_in_every_shape(plain: Written) -> None:
    events = plain.events("prod")
    shapes = {(event["event_source"], type(event["event"])) for event in events}
    assert {("browser", str), ("browser", list), ("server", dict), ("server", str), ("mobile", str)} <= shapes
    assert {type(event["context"]["user_id"]) for event in events} == {int, str, type(None)}


def test_the_second_week_tells_the_first_one_further(plain: Written) -> None:
    before, after = plain.archives
    for partition, first in before.courses.items():
        second = after.courses[partition]
        later = {row["id"]: row for row in second.tables["courseware_studentmodule"]}
        for row in first.tables["courseware_studentmodule"]:
            assert later[row["id"]]["created"] == row["created"]
            assert later[row["id"]]["modified"] >= row["modified"]
        enrolled = {row["id"]: row for row in second.tables["student_courseenrollment"]}
        for row in first.tables["student_courseenrollment"]:
            assert enrolled[row["id"]]["created"] == row["created"]
            assert enrolled[row["id"]]["is_active"] <= row["is_active"]
        assert {post["_id"]["$oid"] for post in first.forum} <= {post["_id"]["$oid"] for post in second.forum}
        assert first.structure == second.structure
        assert first.olx == second.olx


def test_nothing_in_an_archive_is_of_its_date_or_later(plain: Written) -> None:
    for name, archive in zip(plain.truth["archives"], plain.archives, strict=True):
        day = re.findall(r"\d{4}-\d\d-\d\d", name)[0]
        for course in archive.courses.values():
            for table, rows in course.tables.items():
                moments = {
                    value
                    for row in rows
                    for column, value in row.items()
                    if column != "deadline" and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", value)
                }
                assert all(moment < day for moment in moments), table


def test_only_newer_columns_have_fractions_of_seconds(plain: Written) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for _, course in courses(plain):
        for table, rows in course.tables.items():
            for row in rows:
                for column, value in row.items():
                    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", value):
                        found[table].add(column)
    assert found.items() <= WITH_FRACTIONS.items()
    assert len(found) >= 3


def test_one_learner_is_retired_between_the_weeks(plain: Written) -> None:
    first, second = (
        {row["id"]: row for row in archive.courses["MITx-1.100x-1T2024|prod"].tables["auth_user"]}
        for archive in plain.archives
    )
    (retired,) = [row for row in second.values() if row["username"].startswith("retired__user_")]
    old = first[retired["id"]]
    assert retired["email"] == f"{retired['username']}@retired.invalid"
    assert not old["username"].startswith("retired")
    for course in second, *last(plain).courses.values():
        assert old["username"] not in repr(course)
    enrollments = last(plain).courses["MITx-1.100x-1T2024|prod"].tables["student_courseenrollment"]
    assert [row["is_active"] for row in enrollments if row["user_id"] == retired["id"]] == ["0"]
    assert any(event["username"] == old["username"] for event in plain.events("prod"))


def test_the_olx_has_the_blocks_of_the_structure(plain: Written) -> None:
    for _, course in courses(plain):
        with tarfile.open(fileobj=io.BytesIO(course.olx)) as tar:
            folders = {member.name for member in tar if member.isdir()}
            files = [member.name for member in tar if member.isfile()]
        assert all(name.rpartition("/")[0] in folders for name in files), "each folder is a member before its files"
        names, inline = set(), 0
        for path, content in course.olx_files.items():
            if path.endswith(".xml") and path not in {"assets/assets.xml", "course.xml"}:
                tree = ET.fromstring(content)  # noqa: S314 - our own
                names.add((tree.tag, path.rpartition("/")[2].removesuffix(".xml")))
                for child in tree.iter("problem"):
                    if child.get("url_name") and len(child):
                        inline += 1
                        names.add(("problem", child.attrib["url_name"]))
        structure = {
            (block["category"], re.split(r"[@/]", key)[-1])
            for key, block in course.structure.items()
            if block["category"] != "course"
        }
        assert {each for each in names if each[0] != "course"} == structure
        policy = next(path for path in course.olx_files if path.endswith("/policy.json"))
        assert f"course/{policy.split('/')[1]}.xml" in course.olx_files


def test_some_problems_stand_inline(plain: Written) -> None:
    files = [
        content for _, course in courses(plain) for path, content in course.olx_files.items() if "vertical/" in path
    ]
    assert any(b"<choicegroup>" in content for content in files)
    assert any(b"<problem url_name=" in content and b"<choicegroup>" not in content for content in files)


def test_the_catalogue_lists_the_courses_of_prod(plain: Written) -> None:
    listed = json.loads((plain.folder / "catalogue/courses.json").read_text())["results"]
    runs = {run["key"]: run for course in listed for run in course["course_runs"]}
    for partition, course in plain.truth["courses"].items():
        key = course["course_key"]
        if partition.endswith("|prod") and "-ccx-" not in partition:
            structure = last(plain).courses[partition].structure
            (root,) = [block for block in structure.values() if block["category"] == "course"]
            assert (runs[key]["title"], runs[key]["start"]) == (
                root["metadata"]["display_name"],
                root["metadata"]["start"],
            )
        else:
            assert key not in runs or partition.endswith("|edge")
    programs = json.loads((plain.folder / "catalogue/programs.json").read_text())["results"]
    keys = {course["key"] for course in listed}
    assert all(course["key"] in keys for program in programs for course in program["courses"])


def test_program_reports_say_what_the_tables_say(plain: Written) -> None:
    programs = json.loads((plain.folder / "catalogue/programs.json").read_text())["results"]
    enrolled = {
        (row["course_id"], row["user_id"]): row
        for partition, course in last(plain).courses.items()
        if partition.endswith("|prod")
        for row in course.tables["student_courseenrollment"]
    }
    certified = {
        (row["course_id"], row["user_id"])
        for partition, course in last(plain).courses.items()
        if partition.endswith("|prod")
        for row in course.tables["certificates_generatedcertificate"]
        if row["status"] == "downloadable"
    }
    seen = 0
    for name, truth in plain.truth["program_reports"].items():
        with (plain.folder / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == truth["rows"]
        for row in rows:
            seen += 1
            assert len(row) == 24
            key = row["course run key"], row["user id"]
            assert row["program uuid"] in {program["uuid"] for program in programs}
            assert row["track"] == enrolled[key]["mode"]
            assert row["currently enrolled"] == {"0": "false", "1": "true"}[enrolled[key]["is_active"]]
            assert row["date first enrolled"] == enrolled[key]["created"].replace(" ", "T") + "Z"
            assert (row["completed"] == "true") == (key in certified)
    assert seen


def test_email_preferences_are_those_of_learners_in_the_tables(plain: Written) -> None:
    for archive in plain.archives:
        content = archive.others["MITx-email_opt_in-prod-analytics.csv"]
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        users = {
            (row["id"], row["username"], row["email"])
            for partition, course in archive.courses.items()
            if partition.endswith("|prod")
            for row in course.tables["auth_user"]
        }
        assert rows
        assert {(row["user_id"], row["username"], row["email"]) for row in rows} <= users


def test_nobody_can_be_written_to(plain: Written) -> None:
    hosts = {
        address.partition("@")[2] for _, course in courses(plain) for address in course.column("auth_user", "email")
    }
    assert hosts == {"example.com", "retired.invalid"}

"""All sources of a university agree: what one says, the others say."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

from edxorg.samples.sample_catalogue import Catalogue
from edxorg.samples.university import University
from edxorg_tests.support.plain_readers import PlainArchive, usage_keys_in

if TYPE_CHECKING:
    from edxorg_tests.samples.conftest import Written


def last(written: Written) -> PlainArchive:
    return written.archives[-1]


def enrollment_key(event: dict[str, Any]) -> tuple[str, str]:
    return event["event"]["course_id"], str(event["event"]["user_id"])


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


def test_an_answer_is_the_same_in_the_browser_at_the_server_and_in_the_input_of_its_problem(plain: Written) -> None:
    slashes = 0
    events = [event for event in plain.events("prod") if event["event_type"] in {"problem_check", "problem_graded"}]
    graded = [event for event in events if event["event_source"] == "server"]
    asked = [event for event in events if event["event_type"] == "problem_check" and event["event_source"] == "browser"]
    shown = [event["event"][0] for event in events if event["event_type"] == "problem_graded"]
    sent = [
        f"input_{part}={quote_plus(answer)}" for event in graded for part, answer in event["event"]["answers"].items()
    ]
    assert Counter(event["event"] for event in asked) == Counter(shown) == Counter(sent)
    for event in graded:
        problem, (part,) = event["event"]["problem_id"], event["event"]["answers"]
        if problem.startswith("i4x://"):
            slashes += 1
            assert part == problem.replace("i4x://", "i4x-").replace("/", "-").replace(".", "_") + "_2_1"
        else:
            assert part == problem.rpartition("@")[2] + "_2_1"
    assert slashes


def test_videos_have_one_id_in_the_events_of_browsers_and_of_the_app(plain: Written) -> None:
    ids: dict[str, set[str]] = {"browser": set(), "mobile": set()}
    for event in plain.events("prod"):
        if event["event_type"] == "play_video":
            about = json.loads(event["event"])
            ids[event["event_source"]].add(about["id"])
            assert "currentTime" in about
            assert about["id"].startswith("i4x-MITx-") == ("/" in event["context"]["course_id"])
    assert ids["mobile"] & ids["browser"]


def test_events_of_the_server_tell_the_tags_of_the_table(plain: Written) -> None:
    tagged = 0
    tags = {
        (row["course_id"], row["user_id"]): {row["key"]: row["value"]}
        for partition, course in last(plain).courses.items()
        if partition.endswith("|prod")
        for row in course.tables["user_api_usercoursetag"]
    }
    for event in plain.events("prod"):
        about = event["context"]
        if "course_user_tags" in about:
            assert about["course_user_tags"] == tags.get((about["course_id"], str(about["user_id"])), {})
            tagged += bool(about["course_user_tags"])
    assert tagged


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
        last_at = {number: post["created_at"]["$date"] for number, post in posts.items()}
        for number, post in posts.items():
            assert users[post["author_id"]] == post["author_username"]
            if post["_type"] == "CommentThread":
                assert post["commentable_id"] in topics
            else:
                thread = post["comment_thread_id"]["$oid"]
                comments[thread] += 1
                last_at[thread] = max(last_at[thread], post["created_at"]["$date"])
                assert posts[thread]["_type"] == "CommentThread"
                assert all(parent["$oid"] in posts for parent in post["parent_ids"])
            if number in created:
                assert created[number]["event"]["body"] == post["body"] or post["body"] == "[deleted]"
        assert len(comments) == len(topics)
        assert all(posts[thread]["comment_count"] == count for thread, count in comments.items())
        threads = {number: post for number, post in posts.items() if post["_type"] == "CommentThread"}
        assert all(post["last_activity_at"]["$date"] == last_at[number] for number, post in threads.items())


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
    assert max(late) == 13


def test_events_come_from_everywhere_in_every_shape(plain: Written) -> None:
    events = plain.events("prod")
    shapes = {(event["event_source"], type(event["event"])) for event in events}
    assert {("browser", str), ("browser", list), ("server", dict), ("server", str), ("mobile", str)} <= shapes
    assert {type(event["context"]["user_id"]) for event in events} == {int, str, type(None)}
    of_blocks = [event for event in events if "module" in event["context"]]
    assert {event["page"] for event in of_blocks} == {"x_module"}
    assert not any({"name", "session"} & event.keys() for event in of_blocks)
    assert all("course_user_tags" not in event["context"] for event in events if event["event_source"] == "browser")


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


@pytest.mark.parametrize("seed", range(5))
def test_a_program_has_courses_of_the_packages_only_or_none_of_them(seed: int) -> None:
    university = University(seed=seed)
    packed = {course.course_key for course in university.all_courses()}
    catalogue = Catalogue.of(university)
    ours = {course["key"] for course in catalogue.courses if packed & {run["key"] for run in course["course_runs"]}}
    programs = [{course["key"] for course in program["courses"]} for program in catalogue.programs]
    assert all(keys <= ours or not keys & ours for keys in programs)


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
    runs = {
        course["key"]: {run["key"] for run in course["course_runs"]}
        for course in json.loads((plain.folder / "catalogue/courses.json").read_text())["results"]
    }
    courses = {program["uuid"]: [runs[course["key"]] for course in program["courses"]] for program in programs}
    seen, completed = 0, 0
    for name, truth in plain.truth["program_reports"].items():
        with (plain.folder / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == truth["rows"]
        (uuid,) = re.findall(r"report-(.+)\.csv", name)
        of_program = set().union(*courses[uuid])
        assert {row["course run key"] for row in rows} == {run for run, _ in enrolled if run in of_program}
        for row in rows:
            seen += 1
            assert len(row) == 24
            key = row["course run key"], row["user id"]
            assert row["program uuid"] == uuid
            assert row["track"] == enrolled[key]["mode"]
            assert row["currently enrolled"] == {"0": "false", "1": "true"}[enrolled[key]["is_active"]]
            assert row["date first enrolled"] == f"{enrolled[key]['created']} Z"
            assert re.fullmatch(r"null|\d{4}-\d\d-\d\d", row["last activity date"])
            assert (row["completed"] == "true") == (key in certified)
            all_of_it = all(certified & {(run, row["user id"]) for run in of} for of in courses[uuid])
            assert (row["completed program"] == "true") == all_of_it
            assert (row["date program certificate awarded"] != "null") == all_of_it
        learners = {row["user id"] for row in rows if row["completed program"] == "true"}
        assert len(learners) == truth["completed_program"]
        completed += len(learners)
    assert seen
    assert completed


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

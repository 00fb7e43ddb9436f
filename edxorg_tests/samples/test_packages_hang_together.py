"""The tables, structures and OLX of a package hang together, and the next package tells the same story further."""

from __future__ import annotations

import io
import re
import tarfile
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg_tests.samples.conftest import Written
    from edxorg_tests.support.plain_readers import PlainCourse

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
    ("verify_student_verificationstatus", "user_id", "student_courseenrollment", "user_id"),
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
    ("assessment_peerworkflow", "student_id", "student_anonymoususerid", "anonymous_user_id"),
    ("assessment_peerworkflow", "submission_uuid", "submissions_submission", "uuid"),
    ("assessment_peerworkflowitem", "submission_uuid", "submissions_submission", "uuid"),
    ("assessment_peerworkflowitem", "author_id", "assessment_peerworkflow", "id"),
    ("assessment_peerworkflowitem", "scorer_id", "assessment_peerworkflow", "id"),
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
    ("assessment_peerworkflow", "item_id"),
    ("verify_student_verificationstatus", "checkpoint_location"),
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


@pytest.mark.parametrize(("table", "column", "other", "key"), REFERENCES)
def test_each_foreign_key_of_a_table_resolves(plain: Written, table: str, column: str, other: str, key: str) -> None:
    found = 0
    for partition, course in courses(plain):
        values = set(course.column(table, column))
        found += len(values)
        assert values <= set(course.column(other, key)), partition
    assert found, "nothing was compared"


@pytest.mark.parametrize(("table", "column"), IN_STRUCTURE)
def test_each_usage_key_of_a_table_is_in_the_structure(plain: Written, table: str, column: str) -> None:
    found = 0
    for _, course in courses(plain):
        values = set(course.column(table, column))
        found += len(values)
        assert values <= course.structure.keys()
    assert found


def test_an_account_is_the_same_in_all_courses_of_a_site(plain: Written) -> None:
    for archive in plain.archives:
        accounts: dict[tuple[str, ...], dict[str, str]] = {}
        for partition, course in archive.courses.items():
            for table in ("auth_user", "auth_userprofile", "user_id_map"):
                for row in course.tables[table]:
                    user = row["id"] if table == "auth_user" else row["user_id"]
                    assert accounts.setdefault((table, partition.partition("|")[2], user), row) == row
        assert len(accounts) < sum(len(course.tables["auth_user"]) for course in archive.courses.values()) * 3


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


def test_a_grade_is_the_sum_of_the_answers(plain: Written) -> None:
    for _, course in courses(plain):
        possible = sum(block["category"] == "problem" for block in course.structure.values())
        earned: Counter[str] = Counter()
        for row in course.tables["courseware_studentmodule"]:
            earned[row["student_id"]] += row["grade"] == "1.0"
        for row in course.tables["grades_persistentcoursegrade"]:
            assert float(row["percent_grade"]) == round(earned[row["user_id"]] / possible, 2)
            assert (row["letter_grade"] == "Pass") == (row["passed_timestamp"] != "NULL")
        subsections: Counter[str] = Counter()
        for row in course.tables["grades_persistentsubsectiongrade"]:
            subsections[row["user_id"]] += int(float(row["earned_all"]))
        assert +subsections == +earned


def test_learners_assess_the_answers_that_were_there_before_theirs(plain: Written) -> None:
    done = 0
    for _, course in courses(plain):
        workflows = {row["id"]: row for row in course.tables["assessment_peerworkflow"]}
        assessments = {row["id"]: row for row in course.tables["assessment_assessment"]}
        for row in course.tables["assessment_peerworkflowitem"]:
            author, scorer = workflows[row["author_id"]], workflows[row["scorer_id"]]
            assert author["created_at"] <= scorer["created_at"] < row["started_at"]
            assert author["submission_uuid"] == row["submission_uuid"]
            if row["scored"] == "0":
                assert row["assessment_id"] == scorer["completed_at"] == "NULL"
                continue
            done += 1
            assessment = assessments[row["assessment_id"]]
            assert assessment["scored_at"] == scorer["completed_at"] == author["grading_completed_at"]
            assert assessment["scorer_id"] == scorer["student_id"]
            assert (assessment["submission_uuid"], assessment["score_type"]) == (row["submission_uuid"], "PE")
        graded = sum(row["grading_completed_at"] != "NULL" for row in workflows.values())
        assert graded == sum(row["scored"] == "1" for row in course.tables["assessment_peerworkflowitem"])
    assert done


def test_every_table_has_rows_somewhere(plain: Written) -> None:
    names = {table for _, course in courses(plain) for table, rows in course.tables.items() if rows}
    assert names == {table for _, course in courses(plain) for table in course.tables}


def test_only_learners_who_pay_are_verified(plain: Written) -> None:
    for _, course in courses(plain):
        paying = {row["user_id"] for row in course.tables["student_courseenrollment"] if row["mode"] == "verified"}
        assert set(course.column("verify_student_verificationstatus", "user_id")) <= paying


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
    assert any(b"<textline/>" in content for content in files)
    assert any(b"<problem url_name=" in content and b"<textline/>" not in content for content in files)


def test_no_address_can_be_written_to(plain: Written) -> None:
    hosts = {
        address.partition("@")[2] for _, course in courses(plain) for address in course.column("auth_user", "email")
    }
    assert hosts == {"example.com", "retired.invalid"}

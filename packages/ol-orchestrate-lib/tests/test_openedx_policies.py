"""Policies of a course, and the values that they give blocks."""

from __future__ import annotations

import json

import pytest

from ol_orchestrate.testing.course_exports import SMALL, course_of, rows


class TestPolicies:
    def test_the_policy_of_the_run_is_read(self) -> None:
        policy = {
            "tabs": [1],
            "tags": ["t"],
            "self_paced": "false",
            "display_coursenumber": "X",
            "advanced_modules": ["a"],
        }
        course = course_of(SMALL | {"policies/2024/policy.json": json.dumps({"course/2024": policy, "chapter/c": {}})})
        assert rows(course, "course_policy") == [
            {
                "course_id": "course-v1:MITx+6.00x+2024",
                "advanced_modules": ["a"],
                "discussions_settings": {},
                "display_coursenumber": "X",
                "self_paced": False,
                "tabs": [1],
                "tags": ["t"],
            }
        ]

    def test_a_policy_overrides_the_xml_of_a_block(self) -> None:
        policy = {
            "course/2024": {
                "display_name": "T",
                "start": "2024-01-01T00:00:00Z",
                "end": None,
                "self_paced": True,
                "instructor_info": {"instructors": []},
            },
            "chapter/c": {"display_name": None},
            "problem/p": {"max_attempts": 5, "weight": 2.5, "markdown": None},
            "video/inline": {"edx_video_id": "id-9", "display_name": 7},
            "html/week:1": {"display_name": "Week"},
        }
        attributes = 'display_name="X" start="2020" end="2021" self_paced="false" enrollment_start="2019"'
        files = {
            "course/2024.xml": f'<course {attributes}><chapter url_name="c"/><html url_name="week:1"/></course>',
            "html/week/1.xml": "<html/>",
            "policies/2024/policy.json": json.dumps(policy),
        }
        course = course_of(SMALL | files)
        (metadata,) = rows(course, "course_metadata")
        assert (metadata["title"], metadata["course_start"], metadata["course_end"]) == (
            "T",
            "2024-01-01T00:00:00Z",
            None,
        )
        assert (metadata["self_paced"], metadata["instructor_info"]) == (True, '{"instructors": []}')
        assert metadata["enrollment_start"] == "2019"
        by_id = {row["block_id"]: row for row in rows(course, "course_xml_blocks")}
        assert {name: row["block_display_name"] for name, row in by_id.items() if row["block_display_name"]} == {
            "2024": "T",
            "inline": "7",
            "week:1": "Week",
            "h": "Page",
        }
        assert [by_id["p"][name] for name in ("max_attempts", "weight", "markdown")] == ["5", "2.5", None]
        assert by_id["p"]["xml_attributes"] == {"max_attempts": "3", "weight": "1.5", "markdown": ">>Q<<"}
        assert by_id["2024"]["xml_attributes"]["display_name"] == "X"
        assert by_id["inline"]["edx_video_id"] == "id-9"
        assert [row["edx_video_id"] for row in rows(course, "course_video")] == ["id-9", "id-2"]
        assert course.problems == ()

    def test_a_policy_of_a_block_that_is_no_object_is_listed_and_overrides_nothing(self) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": '{"course/2024": {}, "chapter/c": "x"}'})
        (problem,) = course.problems
        assert (problem.path, problem.what) == (
            "course/policies/2024/policy.json",
            "'chapter/c' is no object; it overrides nothing",
        )
        assert course.policies.blocks == {"course/2024": {}}

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_numbers_that_json_has_not_are_read_as_null_and_listed(self, number: str) -> None:
        text = f'{{"course/2024": {{"tags": [{number}, 1.5, {number}], "weight": {number}}}}}'
        course = course_of(SMALL | {"policies/2024/policy.json": text})
        assert rows(course, "course_policy")[0]["tags"] == [None, 1.5, None]
        (problem,) = course.problems
        assert problem.path == "course/policies/2024/policy.json"
        assert "are read as null; there are 3" in problem.what

    def test_policies_in_their_older_places_are_read(self) -> None:
        policy = json.dumps({"course/2024": {"tags": ["old"]}})
        grading = json.dumps({"GRADER": [{"type": "HW"}], "GRADE_CUTOFFS": {"Pass": 0.5}})
        course = course_of(
            SMALL | {"policies/2024.json": policy, "grading_policy.json": grading, "policies/x.py": "x = 1"}
        )
        assert rows(course, "course_policy")[0]["tags"] == ["old"]
        assert rows(course, "course_grading_policy") == [
            {
                "course_id": "course-v1:MITx+6.00x+2024",
                "graders": [{"type": "HW"}],
                "grade_cutoffs": {"Pass": 0.5},
            }
        ]

    def test_a_policy_that_kept_its_old_runs_name_is_used(self) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": '{"course/2023": {"tags": ["kept"]}}'})
        assert rows(course, "course_policy")[0]["tags"] == ["kept"]

    def test_of_the_policies_of_two_runs_its_own_is_used(self) -> None:
        text = '{"course/2023": {"tags": ["old"]}, "course/2024": {"tags": ["own"]}}'
        course = course_of(SMALL | {"policies/2024/policy.json": text})
        assert rows(course, "course_policy")[0]["tags"] == ["own"]

    def test_a_policy_without_one_of_the_course_is_none(self) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": '{"chapter/c": {"tags": ["no"]}}'})
        assert rows(course, "course_policy") == []
        assert [problem.what for problem in course.problems] == ["holds no object 'course/2024'"]

    def test_a_policy_up_to_the_limit_is_read(self) -> None:
        text = '{"course/2024": {}}'
        longest = text + " " * ((8 << 20) - len(text))
        assert course_of(SMALL | {"policies/2024/policy.json": longest}).problems == ()
        (problem,) = course_of(SMALL | {"policies/2024/policy.json": longest + " "}).problems
        assert problem.what == "larger than 8 MiB; it is not read"

    def test_policies_of_another_run_are_not_this_runs(self) -> None:
        course = course_of(SMALL | {"policies/2023/policy.json": '{"course/2023": {"tags": ["other"]}}'})
        assert rows(course, "course_policy") == []
        assert [problem.path for problem in course.problems] == ["course/policies/2023/policy.json"]

    @pytest.mark.parametrize(
        ("text", "line", "column"),
        [
            ('{"course/2024":\n  {"tabs": [}}', 2, 13),
            ("[" * 5_000 + "]" * 5_000, None, None),
        ],
    )
    def test_broken_json_is_reported_with_its_place_and_the_rest_is_there(
        self, text: str, line: int | None, column: int | None
    ) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": text, "policies/2024/grading_policy.json": "{}"})
        (problem,) = course.problems
        assert (problem.path, problem.line, problem.column) == ("course/policies/2024/policy.json", line, column)
        assert len(course.blocks) == 9
        assert rows(course, "course_grading_policy")[0]["graders"] == []

    def test_signatories_have_their_own_fields_and_their_certificate(self) -> None:
        signatory = {
            "id": 7,
            "name": "N",
            "title": "T",
            "organization": "O",
            "signature_image_path": "",
            "certificate": None,
        }
        certificates = {"certificates": [{"id": 3, "signatories": [signatory, signatory | {"id": 8}]}, {"id": 4}]}
        policy = json.dumps({"course/2024": {"certificates": certificates}})
        course = course_of(SMALL | {"policies/2024/policy.json": policy})
        expected = {**signatory, "certificate_id": 3, "course_id": "course-v1:MITx+6.00x+2024"}
        assert rows(course, "course_certificate_signatory") == [expected, expected | {"id": 8}]

    @pytest.mark.parametrize(
        "certificates", [[3], "x", {"certificates": [3]}, {"certificates": [{"signatories": [1]}]}]
    )
    def test_certificates_of_another_shape_cost_no_more_than_themselves(self, certificates: object) -> None:
        policy = json.dumps({"course/2024": {"certificates": certificates, "tags": ["t"]}})
        course = course_of(SMALL | {"policies/2024/policy.json": policy})
        assert rows(course, "course_certificate_signatory") == []
        assert rows(course, "course_policy")[0]["tags"] == ["t"]
        (problem,) = course.problems
        assert problem.what == "'certificates' has an unknown shape; signatories are missing"

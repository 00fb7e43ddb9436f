"""The rows of open response assessments, as edx-submissions and edx-ora2 keep them.

A learner submits an answer once; the instructor assesses it 20 hours later.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

from edxorg.samples import invented, times
from edxorg.samples.dialects import exported

if TYPE_CHECKING:
    from edxorg.samples.courses import Block, Course
    from edxorg.samples.learners import Learner
    from edxorg.samples.prose import Prose
    from edxorg.samples.story import Action, Enrollment

_CRITERIA: Final = 2
_OPTIONS: Final = 2
_ASSESSED_AFTER: Final = 20 * times.HOUR
_FEEDBACK_EVERY: Final = 3
_TRAINED_EVERY: Final = 2


class AddRow(Protocol):
    """Takes a row of a table by its values."""

    def __call__(self, table: str, **values: object) -> None:
        """Add it."""


class AssessmentRows:
    """Writes the rows of one course."""

    def __init__(self, course: Course, instructor: Learner, until: int, prose: Prose, add: AddRow) -> None:
        """Write rows with `add`, of what had happened before a time."""
        self._course, self._until, self._prose, self._add = course, until, prose, add
        self._rubric = 1 + course.index
        self._scorer = anonymous_id(instructor.user_id(course.site), course)
        self._feedback_option = 1 + course.index

    def add_course(self) -> None:
        """The rubric and the training example."""
        course, phrases, remarks = self._course, self._prose.phrases, self._prose.remarks
        digits = invented.hex_of("rubric", course.partition)
        self._add("assessment_rubric", id=self._rubric, content_hash=digits, structure_hash=digits)
        for place in range(_CRITERIA):
            criterion = self._criterion(place)
            self._add(
                "assessment_criterion",
                id=criterion,
                name=invented.hex_of("criterion", criterion),
                label=phrases[criterion % len(phrases)],
                order_num=place,
                prompt=exported(remarks[criterion % len(remarks)]),
                rubric_id=self._rubric,
            )
            for points in range(_OPTIONS):
                option = self._option(place, points)
                self._add(
                    "assessment_criterionoption",
                    id=option,
                    order_num=points,
                    points=points,
                    name=invented.hex_of("option", option),
                    label=phrases[option % len(phrases)],
                    explanation=exported(remarks[option % len(remarks)]),
                    criterion_id=criterion,
                )
        self._add(
            "assessment_trainingexample",
            id=self._rubric,
            raw_answer=self._raw_answer(self._rubric),
            content_hash=digits,
            rubric_id=self._rubric,
        )
        self._add(
            "assessment_trainingexample_options_selected",
            id=self._rubric,
            trainingexample_id=self._rubric,
            criterionoption_id=self._option(0, 1),
        )
        self._add("assessment_assessmentfeedbackoption", id=self._feedback_option, text=phrases[0])

    def add(self, enrollment: Enrollment, submission: Action) -> None:
        """A submission, and its assessment if that was made in time."""
        at, item = submission.at, self._course.usage_keys[submission.block.name]
        uuid = submission_uuid(enrollment, submission.block)
        student = anonymous_id(enrollment.user_id, self._course)
        number, submitted = enrollment.id, times.mysql(at)
        both: dict[str, object] = {"id": number, "course_id": self._course.course_key, "item_id": item}
        self._add("submissions_studentitem", **both, student_id=student)
        self._add(
            "submissions_submission",
            id=number,
            uuid=uuid,
            submitted_at=submitted,
            created_at=submitted,
            raw_answer=self._raw_answer(number),
            student_item_id=number,
        )
        if number % _TRAINED_EVERY == 0:
            self._add("assessment_studenttrainingworkflow", **both, submission_uuid=uuid, student_id=student)
            self._add(
                "assessment_studenttrainingworkflowitem",
                id=number,
                started_at=submitted,
                training_example_id=self._rubric,
                workflow_id=number,
            )
        assessed = at + _ASSESSED_AFTER
        done = assessed < self._until
        changed = times.mysql(assessed if done else at)
        self._add(
            "workflow_assessmentworkflow",
            **both,
            created=submitted,
            modified=changed,
            status="done" if done else "waiting",
            status_changed=changed,
            submission_uuid=uuid,
            uuid=invented.as_uuid(invented.hex_of("workflow", number)),
        )
        if done:
            self._add_assessment(number, uuid, assessed)
        self._add(
            "workflow_assessmentworkflowstep",
            id=number,
            submitter_completed_at=submitted,
            assessment_completed_at=changed if done else "NULL",
            workflow_id=number,
        )

    def _add_assessment(self, number: int, uuid: str, at: int) -> None:
        points = [(number >> place) % _OPTIONS for place in range(_CRITERIA)]
        feedback = exported(self._prose.remarks[number % len(self._prose.remarks)])
        self._add(
            "assessment_assessment",
            id=number,
            submission_uuid=uuid,
            scored_at=times.mysql(at),
            scorer_id=self._scorer,
            feedback=feedback,
            rubric_id=self._rubric,
        )
        for place, earned in enumerate(points):
            self._add(
                "assessment_assessmentpart",
                id=number * _CRITERIA + place,
                feedback="",
                assessment_id=number,
                criterion_id=self._criterion(place),
                option_id=self._option(place, earned),
            )
        self._add(
            "submissions_score",
            id=number,
            points_earned=sum(points),
            points_possible=_CRITERIA,
            created_at=times.mysql(at),
            student_item_id=number,
            submission_id=number,
        )
        self._add("submissions_scoresummary", id=number, highest_id=number, latest_id=number, student_item_id=number)
        if number % _FEEDBACK_EVERY == 0:
            self._add("assessment_assessmentfeedback", id=number, submission_uuid=uuid, feedback_text=feedback)
            link = {"id": number, "assessmentfeedback_id": number}
            self._add("assessment_assessmentfeedback_assessments", **link, assessment_id=number)
            self._add(
                "assessment_assessmentfeedback_options", **link, assessmentfeedbackoption_id=self._feedback_option
            )

    def _criterion(self, place: int) -> int:
        return self._rubric * _CRITERIA + place

    def _option(self, place: int, points: int) -> int:
        return self._criterion(place) * _OPTIONS + points

    def _raw_answer(self, number: int) -> str:
        article = self._prose.articles[number % len(self._prose.articles)]
        return exported(json.dumps({"parts": [{"text": "\n".join(article)}]}))


def anonymous_id(user_id: int, course: Course) -> str:
    """The id of a user in a course that does not tell who it is."""
    return invented.hex_of("anonymous", user_id, course.partition)


def submission_uuid(enrollment: Enrollment, block: Block) -> str:
    """The id of the answer to an open response assessment."""
    return invented.as_uuid(invented.hex_of("submission", enrollment.id, block.name))

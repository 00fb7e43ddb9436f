"""The rows of open response assessments, as edx-submissions and edx-ora2 keep them.

A learner submits an answer once, and then assesses the answer that was submitted before it; the first learner finds
none. The instructor assesses each answer 20 hours later, which makes its score.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from edxorg.samples import invented, times
from edxorg.samples.dialects import NULL, exported

if TYPE_CHECKING:
    from edxorg.samples.courses import Block, Course
    from edxorg.samples.learners import Learner
    from edxorg.samples.prose import Prose
    from edxorg.samples.story import Action, Enrollment

_CRITERIA: Final = 2
_OPTIONS: Final = 2
_ASSESSED_AFTER: Final = 20 * times.HOUR
_PEER_BEGINS_AFTER: Final = 5 * 60 * times.SECOND
_PEER_ENDS_AFTER: Final = 20 * 60 * times.SECOND
_STEPS: Final = ("peer", "staff")
_STAFF, _PEER = 0, 1
"""Added to the ids of assessments, which makes them even or odd."""

_FEEDBACK_EVERY: Final = 3
_TRAINED_EVERY: Final = 2


class AddRow(Protocol):
    """Adds a row to a table by its values."""

    def __call__(self, table: str, **values: object) -> None:
        """Add a row."""


class _Submission(NamedTuple):
    """An answer; `number` is the id of its enrollment."""

    at: int
    number: int
    user_id: int
    uuid: str


class AssessmentRows:
    """Writes the rows of one course."""

    def __init__(self, course: Course, instructor: Learner, until: int, prose: Prose, add: AddRow) -> None:
        """Write rows of the state before a time with `add`."""
        self._course, self._until, self._prose, self._add = course, until, prose, add
        self._rubric = 1 + course.index
        self._scorer = anonymous_id(instructor.user_id(course.site), course)
        self._feedback_option = 1 + course.index
        self._submissions: list[_Submission] = []

    def add_course(self) -> None:
        """Add the rubric and the training example."""
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
        """Add a submission, and its assessment if that was made in time."""
        at, item = submission.at, self._item()
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
        if enrollment.turn % _TRAINED_EVERY == 0:
            self._add("assessment_studenttrainingworkflow", **both, submission_uuid=uuid, student_id=student)
            self._add(
                "assessment_studenttrainingworkflowitem",
                id=number,
                started_at=submitted,
                completed_at=submitted,
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
            self._add_score(enrollment, uuid, assessed)
        self._add_step(number, "staff", at, assessed)
        self._submissions.append(_Submission(at, number, enrollment.user_id, uuid))

    def end(self) -> None:
        """Add the learners' assessments of each other, in the order of time, which is the same in later packages."""
        answers = sorted(self._submissions)
        for this, author, scorer in zip(answers, [None, *answers], [*answers[1:], None], strict=False):
            self._add_peer_rows(this, author, scorer)

    def _add_peer_rows(self, this: _Submission, author: _Submission | None, scorer: _Submission | None) -> None:
        """Add the rows of a learner who assessed an author's answer, and whose own was assessed by a scorer."""
        done = None if author is None else this.at + _PEER_ENDS_AFTER
        graded = None if scorer is None else scorer.at + _PEER_ENDS_AFTER
        self._add_step(this.number, "peer", done, graded)
        self._add(
            "assessment_peerworkflow",
            id=this.number,
            student_id=anonymous_id(this.user_id, self._course),
            item_id=self._item(),
            course_id=self._course.course_key,
            submission_uuid=this.uuid,
            created_at=times.mysql(this.at),
            completed_at=self._text(done),
            grading_completed_at=self._text(graded),
        )
        started = this.at + _PEER_BEGINS_AFTER
        if author is None or done is None or started >= self._until:
            return
        assessment = _PEER + 2 * this.number
        if done < self._until:
            self._add_assessment(assessment, "PE", author.uuid, done, anonymous_id(this.user_id, self._course))
        self._add(
            "assessment_peerworkflowitem",
            id=this.number,
            submission_uuid=author.uuid,
            started_at=times.mysql(started),
            scored=int(done < self._until),
            assessment_id=assessment if done < self._until else NULL,
            author_id=author.number,
            scorer_id=this.number,
        )

    def _add_step(self, number: int, name: str, submitter: int | None, assessed: int | None) -> None:
        place = _STEPS.index(name)
        self._add(
            "workflow_assessmentworkflowstep",
            id=len(_STEPS) * number + place,
            name=name,
            submitter_completed_at=self._text(submitter),
            assessment_completed_at=self._text(assessed),
            order_num=place,
            workflow_id=number,
        )

    def _text(self, at: int | None) -> str:
        """Return a time as tables have it, if it was before the package."""
        return NULL if at is None or at >= self._until else times.mysql(at)

    def _add_assessment(self, assessment: int, kind: str, uuid: str, at: int, scorer: str) -> list[int]:
        """Add an assessment, and return the points for each criterion."""
        points = [int(digit, 16) % _OPTIONS for digit in invented.hex_of("points", assessment)[:_CRITERIA]]
        self._add(
            "assessment_assessment",
            id=assessment,
            submission_uuid=uuid,
            scored_at=times.mysql(at),
            scorer_id=scorer,
            score_type=kind,
            feedback=exported(self._prose.remarks[assessment % len(self._prose.remarks)]),
            rubric_id=self._rubric,
        )
        for place, earned in enumerate(points):
            self._add(
                "assessment_assessmentpart",
                id=assessment * _CRITERIA + place,
                feedback="",
                assessment_id=assessment,
                criterion_id=self._criterion(place),
                option_id=self._option(place, earned),
            )
        return points

    def _add_score(self, enrollment: Enrollment, uuid: str, at: int) -> None:
        """Add the instructor's assessment, its score, and now and then the learner's feedback."""
        number = enrollment.id
        assessment = _STAFF + 2 * number
        points = self._add_assessment(assessment, "ST", uuid, at, self._scorer)
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
        if enrollment.turn % _FEEDBACK_EVERY == 0:
            feedback = exported(self._prose.remarks[number % len(self._prose.remarks)])
            self._add("assessment_assessmentfeedback", id=number, submission_uuid=uuid, feedback_text=feedback)
            link = {"id": number, "assessmentfeedback_id": number}
            self._add("assessment_assessmentfeedback_assessments", **link, assessment_id=assessment)
            self._add(
                "assessment_assessmentfeedback_options", **link, assessmentfeedbackoption_id=self._feedback_option
            )

    def _item(self) -> str:
        course = self._course
        return next(course.usage_key(block) for block in course.blocks if block.category == "openassessment")

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

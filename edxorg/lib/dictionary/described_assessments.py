"""The tables of open response assessments, which edX's packages have in a folder `ora`; see `tables`."""

from __future__ import annotations

from functools import partial
from typing import Final

from edxorg.lib.dictionary import described_tables

_table = partial(described_tables.table, source="edX Research Guide: Open Response Assessment Data")

ASSESSMENTS: Final = (
    _table(
        "submissions_studentitem",
        "A learner and an assessment that the learner has begun.",
        """
        id        integer Identifies the row; `student_item_id` of other tables.
        student_id
        course_id
        item_id   string  Usage key of the assessment: `block_id` of course_blocks.
        item_type string  `openassessment`.
        """,
    ),
    _table(
        "submissions_submission",
        "An answer that a learner has handed in.",
        """
        id
        uuid               string    Identifies the answer; `submission_uuid` of other tables.
        attempt_number     integer   1; learners answer once.
        submitted_at       timestamp When it was handed in.
        created_at         timestamp When the row was made.
        raw_answer         json      The answer, as JSON in a text: escaped twice.
        student_item_id
        status             string    `A` for active, `D` for deleted.
        team_submission_id integer   The answer of a team that it is part of; in newer packages only.
        """,
    ),
    _table(
        "submissions_score",
        "A score that an answer was given.",
        """
        id
        points_earned   integer   Points earned.
        points_possible integer   Points that could be earned.
        created_at      timestamp When it was given.
        reset           boolean   1 where it takes an earlier score back.
        student_item_id
        submission_id   integer   The answer: `id` of submissions_submission; `NULL` where `reset` is 1.
        """,
    ),
    _table(
        "submissions_scoresummary",
        "The scores of a learner for an assessment that count.",
        """
        id
        highest_id integer The highest: `id` of submissions_score.
        latest_id  integer The latest: `id` of submissions_score.
        student_item_id
        """,
    ),
    _table(
        "workflow_assessmentworkflow",
        "The way of an answer through the steps of its assessment.",
        """
        id             integer   Identifies the row; `workflow_id` of workflow_assessmentworkflowstep.
        created        timestamp When it began.
        modified       timestamp When it last changed.
        status         string    Step that it is in: `peer`, `self`, `staff`, …; then `done` or `cancelled`.
        status_changed timestamp When it came to that step.
        submission_uuid
        uuid           string    Identifies the way.
        course_id
        item_id
        """,
    ),
    _table(
        "workflow_assessmentworkflowstep",
        "A step of that way.",
        """
        id
        name                    string    `peer`, `self`, `training` or `staff`.
        submitter_completed_at  timestamp When the learner had done what the step asks for.
        assessment_completed_at timestamp When the answer had been assessed in it.
        order_num               integer   Place among the steps, from 0.
        workflow_id             integer   The way: `id` of workflow_assessmentworkflow.
        skipped                 boolean   1 if it was left out; in newer packages only.
        """,
    ),
    _table(
        "assessment_rubric",
        "A rubric: the criteria that answers are assessed by.",
        """
        id             integer Identifies the row; `rubric_id` of other tables.
        content_hash   string  The SHA-1 of the whole rubric.
        structure_hash string  The SHA-1 of its parts without their texts.
        """,
    ),
    _table(
        "assessment_criterion",
        "A criterion of a rubric.",
        """
        id        integer Identifies the row; `criterion_id` of other tables.
        name      string  Name.
        label     string  Name as learners see it.
        order_num integer Place in the rubric, from 0.
        prompt    string  What assessors are asked.
        rubric_id
        """,
    ),
    _table(
        "assessment_criterionoption",
        "An option of a criterion.",
        """
        id          integer Identifies the row; `option_id` of assessment_assessmentpart.
        order_num   integer Place among the options, from 0.
        points      integer Points that it gives.
        name        string  Name.
        label       string  Name as assessors see it.
        explanation string  When to choose it.
        criterion_id
        """,
    ),
    _table(
        "assessment_assessment",
        "An assessment of an answer, by a learner or by staff.",
        """
        id         integer   Identifies the row; `assessment_id` of other tables.
        submission_uuid
        scored_at  timestamp When it was made.
        scorer_id  string    Who made it: `anonymous_user_id` of student_anonymoususerid.
        score_type string    `PE` by a peer, `SE` by the learner, `ST` by staff.
        feedback   string    What the assessor says about the whole answer.
        rubric_id
        """,
    ),
    _table(
        "assessment_assessmentpart",
        "One criterion of an assessment.",
        """
        id
        feedback  string  What the assessor says about it.
        assessment_id
        criterion_id
        option_id integer The option that was chosen: `id` of assessment_criterionoption.
        """,
    ),
    _table(
        "assessment_assessmentfeedback",
        "What a learner says about the assessments of an answer.",
        """
        id            integer Identifies the row; `assessmentfeedback_id` of other tables.
        submission_uuid
        feedback_text string  Free text.
        """,
    ),
    _table(
        "assessment_assessmentfeedback_assessments",
        "An assessment that such feedback is about.",
        """
        id
        assessmentfeedback_id
        assessment_id
        """,
    ),
    _table(
        "assessment_assessmentfeedback_options",
        "A ready-made sentence that such feedback has.",
        """
        id
        assessmentfeedback_id
        assessmentfeedbackoption_id integer The sentence: `id` of assessment_assessmentfeedbackoption.
        """,
    ),
    _table(
        "assessment_assessmentfeedbackoption",
        "A ready-made sentence for feedback on assessments.",
        """
        id
        text string The sentence.
        """,
    ),
    _table(
        "assessment_peerworkflow",
        "The part of a learner in the assessment by peers.",
        """
        id                   integer   Identifies the row; `author_id` and `scorer_id` of assessment_peerworkflowitem.
        student_id
        item_id
        course_id
        submission_uuid      string    The learner's own answer: `uuid` of submissions_submission.
        created_at           timestamp When it began.
        completed_at         timestamp When the learner had assessed enough answers of others.
        grading_completed_at timestamp When others had assessed the answer often enough.
        cancelled_at         timestamp When staff took the answer out.
        """,
    ),
    _table(
        "assessment_peerworkflowitem",
        "An answer that was given to a peer to assess.",
        """
        id
        submission_uuid
        started_at    timestamp When the peer was given it.
        scored        boolean   1 if its assessment counts for the score.
        assessment_id integer   What came of it: `id` of assessment_assessment; `NULL` while open.
        author_id     integer   Whose answer it is: `id` of assessment_peerworkflow.
        scorer_id     integer   Who assesses it: `id` of assessment_peerworkflow.
        """,
    ),
    _table(
        "assessment_trainingexample",
        "An answer with its right assessment, at which learners train.",
        """
        id           integer Identifies the row; `trainingexample_id` of other tables.
        raw_answer   json    The answer.
        content_hash string  The SHA-1 of answer and assessment.
        rubric_id
        """,
    ),
    _table(
        "assessment_trainingexample_options_selected",
        "An option that is right for such an answer.",
        """
        id
        trainingexample_id integer The answer: `id` of assessment_trainingexample.
        criterionoption_id integer The option: `id` of assessment_criterionoption.
        """,
    ),
    _table(
        "assessment_studenttrainingworkflow",
        "The training of a learner.",
        """
        id              integer Identifies the row; `workflow_id` of assessment_studenttrainingworkflowitem.
        submission_uuid string  The learner's answer: `uuid` of submissions_submission.
        student_id
        item_id
        course_id
        """,
    ),
    _table(
        "assessment_studenttrainingworkflowitem",
        "An answer that a learner trained at.",
        """
        id
        order_num           integer   Place in the training, from 0.
        started_at          timestamp When the learner was given it.
        completed_at        timestamp When the learner had assessed it rightly.
        training_example_id integer   The answer: `id` of assessment_trainingexample.
        workflow_id         integer   The training: `id` of assessment_studenttrainingworkflow.
        """,
    ),
)
"""All of them."""

"""The tables of a package, with the columns that edX's exporter selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

STUDENT_MODULE: Final = "courseware_studentmodule"
"""Written by a program of its own, in a dialect of its own."""

VERIFICATIONS: Final = "verify_student_verificationstatus"
"""Results of learners' photographs; many courses no longer have this table."""


class Table(NamedTuple):
    """A table of the package.

    Attributes:
        name: The name in file names.
        template: A row as a `%` format of the values by column; columns with a fixed value have it here.
    """

    name: str
    columns: tuple[str, ...]
    template: str

    @property
    def header(self) -> bytes:
        """The first line, with its end."""
        return "\t".join(self.columns).encode() + b"\n"

    @property
    def folder(self) -> str:
        """The folder of the package; tables of open response assessments have one of their own."""
        return "ora/" if self.name.startswith(("assessment_", "submissions_", "workflow_")) else ""

    def row(self, values: Mapping[str, object]) -> str:
        """Return a row without its line end.

        Raises:
            KeyError: A column has neither a value nor a fixed one.
        """
        return self.template % values


_COLUMNS: Final = {
    "auth_user": (
        "id username first_name= last_name= email password= is_staff=0 is_active=1 is_superuser=0 last_login "
        "date_joined status=NULL email_key=NULL avatar_type=NULL country=NULL show_country=0 date_of_birth=NULL "
        "interesting_tags=NULL ignored_tags=NULL email_tag_filter_strategy=0 display_tag_filter_strategy=0 "
        "consecutive_days_visit_count=0"
    ),
    "auth_userprofile": (
        "id user_id name language location=NULL meta courseware=course.xml gender mailing_address=NULL "
        "year_of_birth level_of_education goals country city=NULL bio profile_image_uploaded_at=NULL state=NULL"
    ),
    "student_courseenrollment": "id user_id course_id created is_active mode",
    "student_courseaccessrole": "org course_id user_id role",
    "certificates_generatedcertificate": (
        "id user_id download_url= grade course_id key distinction=0 status verify_uuid download_uuid= name "
        "created_date modified_date error_reason= mode"
    ),
    "grades_persistentcoursegrade": (
        "course_id user_id grading_policy_hash=Zm9vYmFyYmF6cXV4 percent_grade letter_grade passed_timestamp "
        "created modified"
    ),
    "grades_persistentsubsectiongrade": (
        "course_id user_id usage_key earned_all possible_all earned_graded possible_graded first_attempted "
        "created modified"
    ),
    "courseware_studentmodule": (
        "id module_type module_id student_id state grade created modified max_grade done=na course_id"
    ),
    "user_id_map": "hash_id user_id username",
    "student_languageproficiency": "id user_profile_id code",
    "student_anonymoususerid": "id user_id anonymous_user_id course_id",
    "user_api_usercoursetag": "id user_id key course_id value",
    "credit_crediteligibility": "id created modified username deadline course_id",
    "course_groups_cohortmembership": "user_id course_id group_type=cohort name",
    "django_comment_client_role_users": "course_id user_id name",
    "teams": (
        "id team_id name course_id topic_id date_created description country= language= discussion_topic_id "
        "last_activity_at team_size"
    ),
    "teams_membership": "id user_id team_id date_joined last_activity_at",
    "wiki_article": (
        "id current_revision_id created modified owner_id group_id=NULL group_read=1 group_write=1 other_read=1 "
        "other_write=1"
    ),
    "wiki_articlerevision": (
        "id revision_number=1 user_message= automatic_log= ip_address=NULL user_id modified created "
        "previous_revision_id=NULL deleted=0 locked=0 article_id content title"
    ),
    VERIFICATIONS: "timestamp status course_id checkpoint_location user_id",
    "assessment_assessment": "id submission_uuid scored_at scorer_id score_type feedback rubric_id",
    "assessment_assessmentfeedback": "id submission_uuid feedback_text",
    "assessment_assessmentfeedback_assessments": "id assessmentfeedback_id assessment_id",
    "assessment_assessmentfeedback_options": "id assessmentfeedback_id assessmentfeedbackoption_id",
    "assessment_assessmentfeedbackoption": "id text",
    "assessment_assessmentpart": "id feedback assessment_id criterion_id option_id",
    "assessment_criterion": "id name label order_num prompt rubric_id",
    "assessment_criterionoption": "id order_num points name label explanation criterion_id",
    "assessment_peerworkflow": (
        "id student_id item_id course_id submission_uuid created_at completed_at grading_completed_at cancelled_at=NULL"
    ),
    "assessment_peerworkflowitem": "id submission_uuid started_at scored assessment_id author_id scorer_id",
    "assessment_rubric": "id content_hash structure_hash",
    "assessment_studenttrainingworkflow": "id submission_uuid student_id item_id course_id",
    "assessment_studenttrainingworkflowitem": (
        "id order_num=0 started_at completed_at training_example_id workflow_id"
    ),
    "assessment_trainingexample": "id raw_answer content_hash rubric_id",
    "assessment_trainingexample_options_selected": "id trainingexample_id criterionoption_id",
    "submissions_score": "id points_earned points_possible created_at reset=0 student_item_id submission_id",
    "submissions_scoresummary": "id highest_id latest_id student_item_id",
    "submissions_studentitem": "id student_id course_id item_id item_type=openassessment",
    "submissions_submission": ("id uuid attempt_number=1 submitted_at created_at raw_answer student_item_id status=A"),
    "workflow_assessmentworkflow": ("id created modified status status_changed submission_uuid uuid course_id item_id"),
    "workflow_assessmentworkflowstep": ("id name submitter_completed_at assessment_completed_at order_num workflow_id"),
}
"""The columns of each table; `name=value` where all rows have the same value."""


def _table(name: str, columns: str) -> Table:
    fields = [column.partition("=") for column in columns.split()]
    template = "\t".join(value if fixed else f"%({column})s" for column, fixed, value in fields)
    return Table(name, tuple(column for column, _, _ in fields), template)


TABLES: Final = {name: _table(name, columns) for name, columns in _COLUMNS.items()}
"""All tables by their names, in the order of the package."""

"""The tables of a package, with the columns that edX's exporter selects, and how samples of their rows are made up."""

from __future__ import annotations

from typing import Final, NamedTuple


class Table(NamedTuple):
    """A table of the package.

    Attributes:
        name: As in file names; those of open response assessments are in the folder `ora`.
        rows: How many for each learner.
        columns: `name=value` for each. A value is text around `{pool}` places: `{id}` counts rows, `{user}` and
            `{handle}` go through the learners, any other pool is picked from at random, once a row.
        needs: What a course must use for the table to have any rows; nothing, if all courses have them.
    """

    name: str
    rows: float
    columns: str
    needs: str = ""

    @property
    def header(self) -> bytes:
        """The first line, with its end."""
        return "\t".join(column.partition("=")[0] for column in self.columns.split()).encode() + b"\n"

    @property
    def folder(self) -> str:
        """Where in the package the table is."""
        return "ora/" if self.name.startswith(("assessment_", "submissions_", "workflow_")) else ""


STUDENT_MODULE: Final = "courseware_studentmodule"

TABLES: Final = (
    Table(
        "auth_user",
        1,
        "id={user} username={handle} first_name= last_name= email={handle}@example.com password= is_staff=0 "
        "is_active=1 is_superuser=0 last_login={time} date_joined={time} status=NULL email_key=NULL avatar_type=NULL "
        "country=NULL show_country=0 date_of_birth=NULL interesting_tags=NULL ignored_tags=NULL "
        "email_tag_filter_strategy=0 display_tag_filter_strategy=0 consecutive_days_visit_count=0",
    ),
    Table(
        "auth_userprofile",
        1,
        "id={user} user_id={user} name={name} language={language} location=NULL meta={meta} courseware=course.xml "
        "gender={gender} mailing_address=NULL year_of_birth={year} level_of_education={education} goals={short} "
        "country={country} city=NULL bio={prose} profile_image_uploaded_at=NULL state=NULL",
    ),
    Table(
        "student_courseenrollment",
        1,
        "id={id} user_id={user} course_id={course} created={time} is_active={bit} mode={mode}",
    ),
    Table("student_courseaccessrole", 0.004, "org=MITx course_id={course} user_id={user} role={role}"),
    Table(
        "certificates_generatedcertificate",
        0.12,
        "id={id} user_id={user} download_url= grade={grade} course_id={course} key={hash} distinction=0 "
        "status={certificate} verify_uuid={hash} download_uuid= name={name} created_date={time} modified_date={time} "
        "error_reason= mode={mode}",
    ),
    Table(
        "grades_persistentcoursegrade",
        0.7,
        "course_id={course} user_id={user} grading_policy_hash=Zm9vYmFyYmF6cXV4 percent_grade={grade} letter_grade= "
        "passed_timestamp=NULL created={time} modified={time}",
    ),
    Table(
        "grades_persistentsubsectiongrade",
        3,
        "course_id={course} user_id={user} usage_key={sequential} earned_all={points} possible_all=4.0 "
        "earned_graded={points} possible_graded=4.0 first_attempted={time} created={time} modified={time}",
    ),
    Table(
        STUDENT_MODULE,
        7,
        "id={id} module_type={module_type} module_id={module} student_id={user} state={state} grade={points} "
        "created={time} modified={time} max_grade=1.0 done=na course_id={course}",
    ),
    Table("user_id_map", 1, "hash_id={hash} id={user} username={handle}"),
    Table("student_languageproficiency", 0.1, "id={id} user_profile_id={user} code={language}"),
    Table("student_anonymoususerid", 1, "id={id} user_id={user} anonymous_user_id={hash} course_id={course}"),
    Table(
        "user_api_usercoursetag",
        0.3,
        "id={id} user_id={user} course_id={course} key=xblock.partition_service.partition_0 value={bit}",
        needs="experiments",
    ),
    Table(
        "credit_crediteligibility",
        0.02,
        "id={id} created={time} modified={time} username={handle} deadline={time} course_id={course}",
        needs="credit",
    ),
    Table(
        "course_groups_cohortmembership",
        0.8,
        "user_id={user} course_id={course} group_type=cohort name={cohort}",
        needs="cohorts",
    ),
    Table("django_comment_client_role_users", 1, "course_id={course} user_id={user} name=Student"),
    Table(
        "teams",
        0.02,
        "id={id} team_id={hash} name={short} course_id={course} topic_id={short} date_created={time} "
        "description={prose} country= language= discussion_topic_id={hash} last_activity_at={time} team_size=5",
        needs="teams",
    ),
    Table(
        "teams_membership",
        0.1,
        "id={id} user_id={user} team_id={points} date_joined={time} last_activity_at={time}",
        needs="teams",
    ),
    Table(
        "wiki_article",
        0.005,
        "id={id} current_revision_id={id} created={time} modified={time} owner_id={user} group_id=NULL group_read=1 "
        "group_write=1 other_read=1 other_write=1",
    ),
    Table(
        "wiki_articlerevision",
        0.02,
        "id={id} revision_number=1 user_message= automatic_log= ip_address=NULL user_id={user} modified={time} "
        "created={time} previous_revision_id=NULL deleted=0 locked=0 article_id={id} content={article} title={short}",
    ),
    Table(
        "verify_student_verificationstatus",
        0.05,
        "timestamp={time} status=approved course_id={course} checkpoint_location={sequential} user_id={user}",
        needs="verification",
    ),
    # Open response assessments, as the tables of edx-submissions and edx-ora2 are.
    Table(
        "assessment_assessment",
        0.3,
        "id={id} submission_uuid={uuid} scored_at={time} scorer_id={hash} score_type=PE feedback={prose} rubric_id=1",
        needs="ora",
    ),
    Table("assessment_assessmentfeedback", 0.1, "id={id} submission_uuid={uuid} feedback_text={prose}", needs="ora"),
    Table(
        "assessment_assessmentfeedback_assessments",
        0.1,
        "id={id} assessmentfeedback_id={id} assessment_id={id}",
        needs="ora",
    ),
    Table(
        "assessment_assessmentfeedback_options",
        0.05,
        "id={id} assessmentfeedback_id={id} assessmentfeedbackoption_id=1",
        needs="ora",
    ),
    Table("assessment_assessmentfeedbackoption", 0.002, "id={id} text={short}", needs="ora"),
    Table(
        "assessment_assessmentpart",
        0.6,
        "id={id} feedback={prose} assessment_id={id} criterion_id=1 option_id={bit}",
        needs="ora",
    ),
    Table(
        "assessment_criterion",
        0.003,
        "id={id} name={hash} label={short} order_num=0 prompt={prose} rubric_id=1",
        needs="ora",
    ),
    Table(
        "assessment_criterionoption",
        0.01,
        "id={id} order_num=0 points={bit} name={hash} label={short} explanation={prose} criterion_id=1",
        needs="ora",
    ),
    Table(
        "assessment_peerworkflow",
        0.15,
        "id={id} student_id={hash} item_id={sequential} course_id={course} submission_uuid={uuid} created_at={time} "
        "completed_at=NULL grading_completed_at=NULL cancelled_at=NULL",
        needs="ora",
    ),
    Table(
        "assessment_peerworkflowitem",
        0.3,
        "id={id} submission_uuid={uuid} started_at={time} scored=1 assessment_id={id} author_id={id} scorer_id={id}",
        needs="ora",
    ),
    Table("assessment_rubric", 0.001, "id={id} content_hash={hash} structure_hash={hash}", needs="ora"),
    Table(
        "assessment_studenttrainingworkflow",
        0.05,
        "id={id} submission_uuid={uuid} student_id={hash} item_id={sequential} course_id={course}",
        needs="training",
    ),
    Table(
        "assessment_studenttrainingworkflowitem",
        0.05,
        "id={id} order_num=0 started_at={time} completed_at=NULL training_example_id=1 workflow_id={id}",
        needs="training",
    ),
    Table(
        "assessment_trainingexample",
        0.002,
        "id={id} raw_answer={raw_answer} content_hash={hash} rubric_id=1",
        needs="ora",
    ),
    Table(
        "assessment_trainingexample_options_selected",
        0.004,
        "id={id} trainingexample_id={id} criterionoption_id=1",
        needs="ora",
    ),
    Table(
        "submissions_score",
        0.15,
        "id={id} points_earned={bit} points_possible=1 created_at={time} reset=0 student_item_id={id} "
        "submission_id={id}",
        needs="ora",
    ),
    Table("submissions_scoresummary", 0.15, "id={id} highest_id={id} latest_id={id} student_item_id={id}", needs="ora"),
    Table(
        "submissions_studentitem",
        0.15,
        "id={id} student_id={hash} course_id={course} item_id={sequential} item_type=openassessment",
        needs="ora",
    ),
    Table(
        "submissions_submission",
        0.15,
        "id={id} uuid={uuid} attempt_number=1 submitted_at={time} created_at={time} raw_answer={raw_answer} "
        "student_item_id={id} status=A",
        needs="ora",
    ),
    Table(
        "workflow_assessmentworkflow",
        0.15,
        "id={id} created={time} modified={time} status=done status_changed={time} submission_uuid={uuid} uuid={uuid} "
        "course_id={course} item_id={sequential}",
        needs="ora",
    ),
    Table(
        "workflow_assessmentworkflowstep",
        0.3,
        "id={id} name=peer submitter_completed_at={time} assessment_completed_at={time} order_num=0 workflow_id={id}",
        needs="ora",
    ),
)

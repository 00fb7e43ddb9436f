"""The tables of edX's platform; the words are our own, the facts from edX's public research guide."""

from __future__ import annotations

from typing import Final

from edxorg.lib.members import MemberKind
from edxorg.lib.object_keys import raw_data_asset
from ol_orchestrate.lib.dictionary import ADDED, Format, Output, columns_of

_GUIDE: Final = "edX Research Guide: User Info and Learner Progress Data"
_TEAMS: Final = "edX Research Guide: Teams Data"
_WIKI: Final = "edX Research Guide: Wiki Data"

ADDED_COLUMNS: Final = columns_of(
    """
    extracted_course_key          string Course id, `{org}-{number}-{run}`, with `-ccx-{n}` for a CCX. <- file name
    extracted_course_organization string First part of the course id. <- file name
    extracted_course_number       string What stands between organization and run. <- file name
    extracted_course_run          string Last part of the course id. <- file name
    extracted_source_platform     string Site: `edxorg_prod` or `edxorg_edge`. <- file name
    row_hash                      string The SHA-256 of the record as edX wrote it; tells a course's rows apart.
    """,
    ADDED,
)
"""The columns at the end of each table."""


_COMMON: Final = {
    line.split(None, 1)[0]: line
    for line in """
        id                    integer Identifies the row.
        user_id               integer The account: `id` of auth_user.
        username              string  Name of the account.
        course_id             string  Course key.
        item_id               string  Usage key of the assessment.
        student_id            string  The learner: `anonymous_user_id` of student_anonymoususerid.
        student_item_id       integer Learner and assessment: `id` of submissions_studentitem.
        submission_uuid       string  The answer: `uuid` of submissions_submission.
        rubric_id             integer The rubric: `id` of assessment_rubric.
        criterion_id          integer The criterion: `id` of assessment_criterion.
        assessment_id         integer The assessment: `id` of assessment_assessment.
        assessmentfeedback_id integer The feedback: `id` of assessment_assessmentfeedback.
    """.strip().splitlines()
}
"""Columns that mean the same in several tables, which list them by name alone."""


def table(name: str, row: str, columns: str, *, source: str = _GUIDE, key: str = "id") -> Output:
    """Return a table, with the columns that each table has at its end."""
    own = columns_of("\n".join(_COMMON.get(line.strip(), line) for line in columns.splitlines()), source)
    asset = raw_data_asset(MemberKind.TABLE, name)
    return Output(asset, row, (*own, *ADDED_COLUMNS), Format.TSV, tuple(key.split()))


TABLES: Final = (
    table(
        "auth_user",
        "The account of a person who has ever begun to enroll in the course, course team included.",
        """
        id                           integer   Identifies the account on its site; `user_id` of other tables.
        username                     string    Public name of the account; of a retired account, a made-up one.
        first_name                   string    Unused by the platform since it asks for one name; mostly empty.
        last_name                    string    Unused in the same way.
        email                        string    E-mail address.
        password                     string    Always empty: edX exports no passwords.
        is_staff                     boolean   1 for edX's own staff; roles in courses are in student_courseaccessrole.
        is_active                    boolean   1 once the link in the activation message was followed.
        is_superuser                 boolean   1 for administrators of the site.
        last_login                   timestamp Last login by form; rare, as sessions last long.
        date_joined                  timestamp When the account was made, which registering for the site does.
        status                       string    Unused.
        email_key                    string    Unused.
        avatar_type                  string    Unused.
        country                      string    Unused; see auth_userprofile.
        show_country                 boolean   Unused.
        date_of_birth                string    Unused; see `year_of_birth` of auth_userprofile.
        interesting_tags             string    Unused.
        ignored_tags                 string    Unused.
        email_tag_filter_strategy    integer   Unused.
        display_tag_filter_strategy  integer   Unused.
        consecutive_days_visit_count integer   Unused.
        """,
    ),
    table(
        "auth_userprofile",
        "What a person has told about themselves, one row for each account.",
        """
        id                        integer   Identifies the profile; `user_profile_id` of student_languageproficiency.
        user_id
        name                      string    Full name, as it is printed on certificates.
        language                  string    Language by an early form; see student_languageproficiency.
        location                  string    Place by an early form.
        meta                      json      Notes of the platform, such as earlier names under `old_names`.
        courseware                string    Unused since the first prototype.
        gender                    string    `f`, `m`, `o` for other; empty or `NULL` where nobody said.
        mailing_address           string    Postal address, free text.
        year_of_birth             integer   Year of birth.
        level_of_education        string    Doctor `p`, master `m`, bachelor `b`, associate `a`, school `hs`, `jhs`, …
        goals                     string    Goals in signing up, free text of several lines.
        country                   string    Country, two letters by ISO 3166.
        city                      string    City; unused.
        bio                       string    About the person, free text of up to 3,000 characters.
        profile_image_uploaded_at timestamp When a picture was uploaded; the picture is not exported.
        state                     string    State or province, where a form asked for it.
        """,
    ),
    table(
        "student_courseenrollment",
        "The enrollment of a person in a course; leaving it keeps the row.",
        """
        id        integer   Identifies the enrollment.
        user_id
        course_id string    Course key, `course-v1:{org}+{number}+{run}` or `{org}/{number}/{run}`.
        created   timestamp When the person first enrolled.
        is_active boolean   0 after unenrolling, or where a purchase was given up.
        mode      string    Track: `audit`, `honor`, `verified`, `professional`, `credit`, …
        """,
    ),
    table(
        "student_courseaccessrole",
        "A role that a person has in a course, or in a whole organization.",
        """
        org       string Organization.
        course_id string Course key; empty where the role is for the organization.
        user_id
        role      string `instructor`, `staff`, `beta_testers`, `limited_staff`, …
        """,
        key="org course_id user_id role",
    ),
    table(
        "certificates_generatedcertificate",
        "The latest state of a person's certificate of a course, or of not having one.",
        """
        id
        user_id
        download_url  string    Where a PDF of the certificate is; empty for certificates on the web.
        grade         number    Grade when it was computed, from 0 to 1.
        course_id
        key           string    Key of the request to make it; unused for certificates on the web.
        distinction   boolean   Unused.
        status        string    `downloadable` for who has one; `notpassing`, `audit_passing`, `unverified`, …
        verify_uuid   string    Number of the page that proves it.
        download_uuid string    Number of the file of a PDF.
        name          string    Name that is printed on it.
        created_date  timestamp When the row was made.
        modified_date timestamp When the state last changed.
        error_reason  string    Why it could not be made.
        mode          string    Track that it is of: `verified`, `honor`, …
        """,
    ),
    table(
        "grades_persistentcoursegrade",
        "A person's grade in a course, as it was last computed.",
        """
        course_id
        user_id
        grading_policy_hash string    Tells which grading policy held.
        percent_grade       number    Grade from 0 to 1.
        letter_grade        string    Name of the grade, such as `A` or `Pass`; empty below the lowest.
        passed_timestamp    timestamp When the person first passed; `NULL` if never.
        created             timestamp When the grade was first computed.
        modified            timestamp When it was last computed.
        """,
        key="course_id user_id",
    ),
    table(
        "grades_persistentsubsectiongrade",
        "A person's points in a subsection of a course, as they were last computed.",
        """
        course_id
        user_id
        usage_key       string    Usage key of the subsection: `block_id` of course_blocks.
        earned_all      number    Points earned in all its problems.
        possible_all    number    Points of all its problems.
        earned_graded   number    Points earned in problems that count.
        possible_graded number    Points of the problems that count.
        first_attempted timestamp When the person first answered one of them.
        created         timestamp When the points were first computed.
        modified        timestamp When they were last computed.
        """,
        key="user_id usage_key",
    ),
    table(
        "courseware_studentmodule",
        "The state of one block of a course for one person; a row appears when the person first comes to it.",
        """
        id
        module_type string    Type of the block: `problem`, `video`, `sequential`, `course`, …
        module_id   string    Usage key of the block: `block_id` of course_blocks.
        student_id  integer   The account: `id` of auth_user.
        state       json      What the block keeps: answers and attempts of a problem, place in a sequence or video.
        grade       number    Points earned; `NULL` where nothing was graded.
        created     timestamp When the person first came to it.
        modified    timestamp When the state last changed.
        max_grade   number    Points that could be earned; `NULL` where nothing was graded.
        done        string    `na`; `f` and `i` in early courses. No sign of being finished.
        course_id
        """,
    ),
    table(
        "user_id_map",
        "An account and the number that anonymized exports and external graders know it by.",
        """
        hash_id string  Number in place of the account's own.
        user_id
        username
        id      integer The account, as older packages call the column.
        """,
        key="hash_id",
    ),
    table(
        "student_languageproficiency",
        "A language that a person says to know.",
        """
        id
        user_profile_id integer The profile: `id` of auth_userprofile.
        code            string  Language, mostly two letters by ISO 639-1.
        """,
    ),
    table(
        "student_anonymoususerid",
        "The number by which a course's assessments and forums know a person.",
        """
        id
        user_id
        anonymous_user_id string Number in this course: `student_id` of the open response assessments.
        course_id
        """,
    ),
    table(
        "user_api_usercoursetag",
        "A note of the platform on a person in a course, such as the group of an experiment.",
        """
        id    integer Identifies the row; not in all packages.
        user_id
        key   string  Name of the note; of an experiment, `xblock.partition_service.partition_{n}`.
        course_id
        value string  Its value; of an experiment, the number of the group.
        """,
        key="user_id course_id key",
    ),
    table(
        "credit_crediteligibility",
        "A person who may ask for credit for a course.",
        """
        id
        created   timestamp When the person became eligible.
        modified  timestamp When the row last changed.
        username
        deadline  timestamp Until when credit can be asked for.
        course_id string    Course key; or the number of the course among those that give credit.
        """,
    ),
    table(
        "course_groups_cohortmembership",
        "A person's cohort in a course.",
        """
        user_id
        course_id
        group_type string `cohort`.
        name       string Name of the cohort.
        """,
        key="user_id course_id",
    ),
    table(
        "django_comment_client_role_users",
        "A role that a person has in a course's discussions.",
        """
        course_id
        user_id
        name string `Student`, `Moderator`, `Community TA`, `Administrator`, …
        """,
        key="course_id user_id name",
    ),
    table(
        "teams",
        "A team of learners in a course.",
        """
        id                  integer   Identifies the team; `team_id` of teams_membership.
        team_id             string    Name of the team in URLs.
        name                string    Name of the team.
        course_id
        topic_id            string    Topic of the course that the team is in.
        date_created        timestamp When it was made.
        description         string    What it says of itself.
        country             string    Country, two letters, if it is bound to one.
        language            string    Language, if it is bound to one.
        discussion_topic_id string    Its discussion: `commentable_id` of forum_posts.
        last_activity_at    timestamp When a member last wrote.
        team_size           integer   Number of members.
        """,
        source=_TEAMS,
    ),
    table(
        "teams_membership",
        "A person in a team.",
        """
        id
        user_id
        team_id          integer   The team: `id` of teams.
        date_joined      timestamp When the person joined.
        last_activity_at timestamp When the person last wrote.
        """,
        source=_TEAMS,
    ),
    table(
        "wiki_article",
        "A page of a course's wiki.",
        """
        id                  integer   Identifies the page; `article_id` of wiki_articlerevision.
        current_revision_id integer   The revision that is shown: `id` of wiki_articlerevision.
        created             timestamp When the page was made.
        modified            timestamp When its settings last changed.
        owner_id            integer   Who owns it: `id` of auth_user; mostly `NULL`.
        group_id            integer   Group that it belongs to; mostly `NULL`.
        group_read          boolean   1 if the group can read it.
        group_write         boolean   1 if the group can change it.
        other_read          boolean   1 if all others can read it.
        other_write         boolean   1 if all others can change it.
        """,
        source=_WIKI,
    ),
    table(
        "wiki_articlerevision",
        "A revision of a page of a course's wiki.",
        """
        id                   integer   Identifies the revision.
        revision_number      integer   Its number on the page, from 1.
        user_message         string    What its author said about the change.
        automatic_log        string    What the wiki said about it.
        ip_address           string    Where the author was; `NULL` for users who are logged in.
        user_id              integer   The author: `id` of auth_user.
        modified             timestamp When it was last changed.
        created              timestamp When it was made.
        previous_revision_id integer   The revision before: `id` of the same table.
        deleted              boolean   1 if the page was deleted by it.
        locked               boolean   1 if the page was locked by it.
        article_id           integer   The page: `id` of wiki_article.
        content              string    Text in Markdown.
        title                string    Title of the page.
        """,
        source=_WIKI,
    ),
    table(
        "verify_student_verificationstatus",
        "What came of a person's photographs at a checkpoint of a course; no course has it since 2018.",
        """
        timestamp           timestamp When the state was reached.
        status              string    `submitted`, `approved`, `denied` or `error`.
        course_id
        checkpoint_location string    Usage key of the block that asked for the photographs.
        user_id
        """,
        key="timestamp user_id checkpoint_location",
    ),
)
"""All but those of open response assessments."""

STAYS: Final = (
    "A table that came back empty, or that is no longer sent, keeps showing its last version with rows: that stays "
    "the current one of its course."
)
"""The warning for those who read tables of several archives."""

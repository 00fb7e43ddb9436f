"""The outputs of an archive that are no tables, as they land and as rows."""

from __future__ import annotations

from typing import Final

from edxorg.lib.object_keys import COURSE_STRUCTURE, COURSE_XML, EMAIL_OPT_IN, FORUM, FORUM_POSTS
from ol_orchestrate.lib.dictionary import ADDED, Format, Output, columns_of

_FORUM: Final = "edX Research Guide: Discussion Forums Data"

_POST: Final = """
    _type              string  `CommentThread` or `Comment`.
    course_id          string  Course key.
    author_id          string  The account: `id` of auth_user, as text.
    author_username    string  Name of the account when the post was made.
    anonymous          boolean True if nobody sees the author's name.
    anonymous_to_peers boolean True if learners do not see it, and the course team does.
    title              string  Title of a thread.
    body               string  Text in Markdown.
    thread_type        string  Of a thread: `discussion` or `question`.
""".strip()
"""Columns that a post has in MongoDB and as a row."""

ARCHIVE: Final = (
    Output(
        COURSE_STRUCTURE,
        "A block of a course. Each course is one JSON object, as edX exports it, with usage keys as names of blocks.",
        columns_of(
            """
            category string Type of the block: `course`, `chapter`, `problem` and so on.
            children array  Usage keys of the blocks right below, in order; library content is not among the blocks.
            metadata object Settings of the block that are not the default, such as `display_name`, `start` and `due`.
            """,
            "edX Research Guide: Course Content Data",
        ),
        Format.JSON,
    ),
    Output(COURSE_XML, "A course as OLX, packed as `tar.gz`, as edX exports it.", format=Format.TAR),
    Output(
        FORUM,
        "A thread or comment of a course's forum as MongoDB exports it, one JSON object a line.",
        columns_of(
            f"""
            _id                       object  Identifies the post, as `$oid`.
            {_POST}
            context                   string  Of a thread: `course`, or `standalone` for that of a team.
            commentable_id            string  Of a thread: the topic, or the discussion block, that it is in.
            comment_thread_id         object  Of a comment: `_id` of its thread.
            parent_id                 object  Of a comment on a comment: `_id` of that.
            parent_ids                array   Of a comment: `_id` of all comments above, the first at the top.
            depth                     integer Of a comment: the number of comments above.
            sk                        string  Of a comment: a text by which the forum sorts comments.
            child_count               integer Of a comment: the number of comments right below.
            created_at                object  When it was written, as `$date`.
            updated_at                object  When it was last changed, likewise.
            last_activity_at          object  Of a thread: when somebody last wrote in it, likewise.
            closed                    boolean Of a thread: true if nobody can answer any more.
            closed_by_id              string  Of a closed thread: the account that closed it.
            close_reason_code         string  Of a closed thread: the reason.
            pinned                    boolean Of a thread: true if it stays at the top.
            endorsed                  boolean Of a comment: true if the course team recommends it.
            endorsement               object  Who endorsed it, and when.
            visible                   boolean False for what is hidden.
            group_id                  integer Of a thread: the cohort that alone sees it.
            comment_count             integer Of a thread: the number of its comments.
            votes                     object  Votes: who voted for and against it, and the counts.
            abuse_flaggers            array   Accounts that report it now.
            historical_abuse_flaggers array   Accounts that reported it before a moderator allowed it.
            at_position_list          array   Not in use any more.
            tags_array                array   Not in use any more; meant for tags.
            """,
            _FORUM,
        ),
        Format.JSON,
        ("_id",),
    ),
    Output(
        FORUM_POSTS,
        "A thread or comment of a course's forum.",
        columns_of(
            f"""
            _id                   string    Identifies the post.
            {_POST}
            commentable_id        string    Of a thread: the topic, or the discussion block, that it is in.
            comment_thread_id     string    Of a comment: `_id` of its thread.
            parent_id             string    Of a comment on a comment: `_id` of that.
            parent_ids            array     Of a comment: `_id` of all comments above, the first at the top.
            depth                 integer   Of a comment: the number of comments above. <- {ADDED}
            created_at            timestamp When it was written, UTC.
            updated_at            timestamp When it was last changed, UTC.
            last_activity_at      timestamp Of a thread: when a user last wrote in it, UTC.
            closed                boolean   Of a thread: true if nobody can answer any more.
            pinned                boolean   Of a thread: true if it stays at the top.
            endorsed              boolean   Of a comment: true if the course team recommends it.
            endorsement           object    Who endorsed it, and when.
            visible               boolean   False for what is hidden.
            comment_count         integer   Of a thread: the number of its comments.
            votes_up_count        integer   Votes for it.
            votes_down_count      integer   Votes against it; the pages offer none.
            votes_count           integer   All votes.
            votes_point           integer   Votes for it less those against it.
            abuse_flaggers_count  integer   Users who report it now. <- {ADDED}
            """,
            _FORUM,
        ),
        key=("_id",),
    ),
    Output(
        EMAIL_OPT_IN,
        "A learner's preference for an organization's e-mail, one for each course.",
        columns_of(
            """
            user_id                 integer   The account: `id` of auth_user.
            username                string    Name of the account.
            email                   string    E-mail address.
            full_name               string    Full name.
            course_id               string    Course key.
            is_opted_in_for_email   boolean   True if the organization may write.
            preference_set_datetime timestamp When that was said; a date long past where nobody said.
            """,
            "edX Research Guide: Email Opt In Report",
        ),
        Format.CSV,
        ("user_id", "course_id"),
    ),
)
"""The outputs that land as they are, and those that are made of them in the same pass."""

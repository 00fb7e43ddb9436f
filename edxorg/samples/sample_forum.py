"""The forum of a course, as `mongoexport` writes it: one JSON object a line.

Each topic has a thread by the instructor from before the course. Learners open threads of their own, answer the
instructor's thread, or comment on the instructor's answer to it.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from edxorg.samples import invented, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.samples.courses import Block, Course
    from edxorg.samples.learner_progress import Progress
    from edxorg.samples.learners import Learner
    from edxorg.samples.story import Action, Enrollment
    from edxorg.samples.university import University

_KINDS: Final = ("thread", "thread", "response", "comment")
_ANSWERED_AFTER: Final = times.HOUR
_DELETED: Final = "[deleted]"


class Post(NamedTuple):
    """A learner's post, as the forum and the log know it.

    Attributes:
        kind: `thread`, `response` to the instructor's thread, or `comment` on the instructor's response.
        thread_id: The thread that it is in, which may be itself.
        parent_id: The response that it is a comment on, or none.
        topic: The discussion block.
        title: Title of a thread.
    """

    kind: str
    id: str
    thread_id: str
    parent_id: str | None
    topic: Block
    title: str
    body: str


def post_of(university: University, enrollment: Enrollment, action: Action) -> Post:
    """Return the post of an action."""
    (draw,) = action.detail
    prose, course = university.prose, enrollment.course
    kind = _KINDS[draw % len(_KINDS)]
    own = _object_id(action.at, enrollment.id)
    thread = own if kind == "thread" else _thread_id(university, course, action.block)
    return Post(
        kind,
        own,
        thread,
        _response_id(university, course, action.block) if kind == "comment" else None,
        action.block,
        prose.phrases[draw % len(prose.phrases)],
        "\n\n".join(prose.articles[draw % len(prose.articles)]),
    )


class Forum:
    """Writes the forum of one course, one learner after the other."""

    def __init__(self, university: University, course: Course, until: int) -> None:
        """Write the posts from before a time."""
        self._university, self._course, self._until = university, course, until
        self._comments: Counter[str] = Counter()
        self._last_at: dict[str, int] = {}
        self.posts: Counter[str] = Counter()
        """The posts that were written, by their `_type`."""

    def lines(self, enrollment: Enrollment, progress: Progress) -> Iterator[bytes]:
        """Yield the lines of a learner's posts."""
        learner = enrollment.learner_at(self._until)
        forgotten = learner.username != enrollment.learner.username
        for action in progress.posts:
            post = post_of(self._university, enrollment, action)
            if post.kind != "thread":
                self._comments[post.topic.name] += 1
                self._last_at[post.topic.name] = max(action.at, self._last_at.get(post.topic.name, 0))
            if forgotten:
                post = post._replace(title=_DELETED, body=_DELETED)
            yield self._line(post, learner, enrollment.user_id, action.at)

    def end(self) -> Iterator[bytes]:
        """Yield the lines of the instructor's threads and answers, which count their comments."""
        university, course = self._university, self._course
        instructor, prose = university.instructor(course), university.prose
        user = instructor.user_id(course.site)
        for number, topic in enumerate(course.discussions):
            at = _opened(university, number)
            thread = _thread_id(university, course, topic)
            response = _response_id(university, course, topic)
            comments = 1 + self._comments[topic.name]
            opening = Post("thread", thread, thread, None, topic, f"Welcome: {topic.title}", prose.articles[number][0])
            answered = at + _ANSWERED_AFTER
            last_at = self._last_at.get(topic.name, answered)
            yield self._line(opening, instructor, user, at, comments=comments, last_at=last_at, pinned=True)
            answer = Post("response", response, thread, None, topic, "", prose.articles[number][1])
            yield self._line(answer, instructor, user, answered, endorsed=True)

    def _line(
        self,
        post: Post,
        author: Learner,
        user: int,
        at: int,
        *,
        comments: int = 0,
        last_at: int | None = None,
        pinned: bool = False,
        endorsed: bool = False,
    ) -> bytes:
        when = {"$date": times.mongo(at)}
        document: dict[str, Any] = {
            "_id": {"$oid": post.id},
            "_type": "CommentThread" if post.kind == "thread" else "Comment",
            "abuse_flaggers": [],
            "anonymous": False,
            "anonymous_to_peers": False,
            "at_position_list": [],
            "author_id": str(user),
            "author_username": author.username,
            "body": post.body,
            "course_id": self._course.course_key,
            "created_at": when,
            "historical_abuse_flaggers": [],
            "updated_at": when,
            "visible": True,
            "votes": {"count": 0, "down": [], "down_count": 0, "point": 0, "up": [], "up_count": 0},
        }
        if post.kind == "thread":
            document |= {
                "close_reason_code": None,
                "closed": False,
                "comment_count": comments,
                "commentable_id": post.topic.name,
                "context": "course",
                "last_activity_at": when if last_at is None else {"$date": times.mongo(last_at)},
                "pinned": pinned,
                "thread_type": "discussion" if pinned else "question",
                "title": post.title,
            }
        else:
            parents = [] if post.parent_id is None else [{"$oid": post.parent_id}]
            document |= {
                "comment_thread_id": {"$oid": post.thread_id},
                "depth": len(parents),
                "endorsed": endorsed,
                "parent_ids": parents,
                "sk": post.id if post.parent_id is None else f"{post.parent_id}-{post.id}",
            }
            if post.parent_id is not None:
                document["parent_id"] = {"$oid": post.parent_id}
        self.posts[document["_type"]] += 1
        return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _opened(university: University, number: int) -> int:
    return university.first - (20 - number) * times.DAY + 9 * times.HOUR


def _thread_id(university: University, course: Course, topic: Block) -> str:
    return _object_id(university.first - 20 * times.DAY, course.partition, topic.name)


def _response_id(university: University, course: Course, topic: Block) -> str:
    return _object_id(university.first - 19 * times.DAY, course.partition, topic.name, "response")


def _object_id(at: int, *parts: str | int) -> str:
    """A Mongo id, which begins with the second at which it was made."""
    return f"{at // times.SECOND:08x}{invented.hex_of('post', at, *parts)[:16]}"

"""Turns the actions of learners into the events of the tracking logs.

Their shapes follow the public description of edX's tracking logs (docs.openedx.org, "Events in the Tracking Logs"):
`event` is an object where the server writes it, and a JSON string, a query string or a list where a browser does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote_plus

from edxorg.samples import invented, times
from edxorg.samples.assessment_rows import submission_uuid
from edxorg.samples.courses import Site
from edxorg.samples.learner_progress import progress_of
from edxorg.samples.sample_forum import post_of
from edxorg.samples.table_rows import DOWNLOADABLE, certificate_of, grade_of, tags_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edxorg.samples.courses import Block, Page
    from edxorg.samples.story import Action, Enrollment, Session
    from edxorg.samples.university import University

Event = dict[str, Any]


class Arrival(NamedTuple):
    """An event that arrives at the log; its `time` is left to the log.

    Attributes:
        arrives: Time of its arrival.
        at: Time at which it happened.
    """

    arrives: int
    at: int
    event: Event


EVENTS_OF: Final = {"visit": 1, "open": 1, "read": 1, "watch": 4, "check": 3, "submit": 1, "post": 1}
"""The number of events for each kind of action."""

_HOSTS: Final = {Site.PROD: "courses.edx.example", Site.EDGE: "edge.edx.example"}
_NO_PARAMETERS: Final = '{"POST": {}, "GET": {}}'
_MOBILE_NAMES: Final = {
    "load_video": "edx.video.loaded",
    "play_video": "edx.video.played",
    "pause_video": "edx.video.paused",
    "stop_video": "edx.video.stopped",
}
_LONGEST_BODY: Final = 2_000


def session_events(university: University, enrollment: Enrollment, session: Session) -> Iterator[Arrival]:
    """The events of a session, in the order of arrival."""
    visitor = _Visitor(university, enrollment, session)
    late = session.arrives - session.at
    for action in university.actions(enrollment, session):
        for at, event in visitor.events(action):
            yield Arrival(at + late, at, event)


def milestones(university: University, enrollment: Enrollment) -> Iterator[tuple[int, str]]:
    """Yield times and kinds of an enrollment's events that are part of no session."""
    if enrollment.created >= university.first:
        yield enrollment.created, "activated"
    if enrollment.upgraded is not None:
        yield enrollment.upgraded, "mode_changed"
    if enrollment.left is not None:
        yield enrollment.left, "deactivated"
    certified = enrollment.certified_at()
    if certified is not None:
        yield certified, "certificate"


def milestone_event(university: University, enrollment: Enrollment, at: int, kind: str) -> Event | None:
    """Return the event of a milestone; none if no certificate was granted."""
    about = {"course_id": enrollment.course.course_key, "user_id": enrollment.user_id}
    if kind == "certificate":
        progress = progress_of(university, enrollment, at)
        certificate = certificate_of(enrollment, progress, at + 1)
        if certificate is None or certificate[1] != DOWNLOADABLE:
            return None
        digits = invented.hex_of("certificate", enrollment.id)
        event = _event(enrollment, "server", "edx.certificate.created", "/certificates/generate", "")
        event["event"] = about | {
            "certificate_id": digits,
            "certificate_url": f"https://{_HOSTS[enrollment.course.site]}/certificates/{digits}",
            "enrollment_mode": enrollment.mode,
            "generation_mode": "batch",
            "grade": grade_of(progress, enrollment.course),
        }
    else:
        event = _event(enrollment, "server", f"edx.course.enrollment.{kind}", "/change_enrollment", "")
        event["event"] = about | {"mode": enrollment.mode_at(at + 1)}
    return event


def anonymous_request(university: University, site: Site, number: int) -> Event:
    """Return a request of a crawler, or a visitor without an account, for a course's page or the list of courses."""
    keys = university.course_keys(site)
    key = keys[number % len(keys)] if keys else ""
    path = f"/courses/{key}/about" if key else "/courses"
    digits = invented.hex_of("visitor", university.seed, number)
    return {
        "username": "",
        "event_source": "server",
        "name": path,
        "accept_language": "",
        "time": None,
        "agent": f"Mozilla/5.0 (compatible; invented-crawler/1.0; +https://crawler.example/{digits[:8]})",
        "page": None,
        "host": _HOSTS[site],
        "session": "",
        "referer": "",
        "context": {
            "user_id": "" if number % 2 else None,
            "org_id": university.organization if key else "",
            "course_id": key,
            "path": path,
        },
        "ip": f"10.99.{int(digits[:2], 16)}.{int(digits[2:4], 16)}",
        "event": _NO_PARAMETERS,
        "event_type": path,
    }


def _event(enrollment: Enrollment, source: str, event_type: str, path: str, session: str) -> Event:
    course, learner = enrollment.course, enrollment.learner
    host = _HOSTS[course.site]
    in_course: Event = {"course_user_tags": tags_of(enrollment)} if source == "server" and session else {}
    return {
        "username": learner.username,
        "event_source": source,
        "name": event_type,
        "accept_language": learner.accept_language,
        "time": None,
        "agent": learner.agent,
        "page": None,
        "host": host,
        "session": session,
        "referer": f"https://{host}/courses/{course.course_key}/courseware/",
        "context": {
            "user_id": enrollment.user_id,
            "org_id": course.organization,
            "course_id": course.course_key,
            "path": path,
            **in_course,
        },
        "ip": learner.ip,
        "event": "",
        "event_type": event_type,
    }


class _Visitor:
    """A learner during one session."""

    def __init__(self, university: University, enrollment: Enrollment, session: Session) -> None:
        self._university, self._enrollment, self._session = university, enrollment, session
        self._course = enrollment.course
        self._session_id = invented.hex_of("browser", enrollment.id, session.number)
        self._mobile = enrollment.learner.mobile

    def events(self, action: Action) -> Iterator[tuple[int, Event]]:
        """Yield the events of an action, each with its time."""
        at, page, block = action.at, action.page, action.block
        match action.kind:
            case "visit":
                path = f"/courses/{self._course.course_key}/courseware/{page.chapter.name}/{page.sequential.name}/"
                event = _event(self._enrollment, "server", path, path, self._session_id)
                event["event"] = _NO_PARAMETERS
                yield at, event
            case "open":
                yield at, self._navigation(page)
            case "read":
                event = self._browser("page_close", page)
                event["event"] = ("", "{}")[self._enrollment.turn % 2]
                yield at, event
            case "watch":
                yield from self._video(at, page, block, *action.detail)
            case "check":
                yield from self._problem(at, page, block, *action.detail)
            case "submit":
                yield at, self._submission(at, block)
            case "post":
                yield at, self._post(action)

    def _browser(self, event_type: str, page: Page) -> Event:
        event = _event(self._enrollment, "browser", event_type, "/event", self._session_id)
        event["page"] = f"{event['referer']}{page.chapter.name}/{page.sequential.name}/"
        return event

    def _server(self, event_type: str, block: Block, handler: str) -> Event:
        usage_key = self._course.usage_keys[block.name]
        path = f"/courses/{self._course.course_key}/xblock/{usage_key}/handler/{handler}"
        event = _event(self._enrollment, "server", event_type, path, self._session_id)
        del event["name"], event["session"]
        event["page"] = "x_module"
        event["context"]["asides"] = {}
        event["context"]["module"] = {"usage_key": usage_key, "display_name": block.title}
        return event

    def _navigation(self, page: Page) -> Event:
        goes_to = page.position == 1
        event = self._browser("seq_goto" if goes_to else "seq_next", page)
        event["name"] = f"edx.ui.lms.sequence.{'tab' if goes_to else 'next'}_selected"
        about: dict[str, object] = {
            "old": max(1, page.position - 1),
            "current_tab": max(1, page.position - 1),
            "tab_count": len(page.sequential.children),
            "new": page.position,
            "widget_placement": "top" if goes_to else "bottom",
            "id": self._course.usage_keys[page.sequential.name],
        }
        if goes_to:
            about["target_tab"] = page.position
        event["event"] = json.dumps(about)
        return event

    def _video(self, at: int, page: Page, block: Block, start: int, stop: int) -> Iterator[tuple[int, Event]]:
        make = self._mobile_video if self._mobile else self._browser_video
        end = at + (stop - start) * times.SECOND
        last = "stop_video" if stop == block.seconds else "pause_video"
        yield at, make("load_video", at, page, block, 0)
        yield at + 700_000, make("play_video", at + 700_000, page, block, start)
        yield end, make("pause_video", end, page, block, stop)
        yield end + 200_000, make(last, end + 200_000, page, block, stop)

    def _browser_video(self, event_type: str, at: int, page: Page, block: Block, second: int) -> Event:
        del at
        event = self._browser(event_type, page)
        about: dict[str, object] = {"duration": float(block.seconds), **self._about_video(block)}
        event["event"] = json.dumps(about if event_type == "load_video" else about | {"currentTime": second})
        return event

    def _mobile_video(self, event_type: str, at: int, page: Page, block: Block, second: int) -> Event:
        del page
        event = _event(self._enrollment, "mobile", event_type, "/segmentio/event", self._session_id)
        late = self._session.arrives - self._session.at
        event["name"] = _MOBILE_NAMES[event_type]
        event["context"] |= {
            "application": {"name": "edx.mobileapp.iOS", "version": "4.0.2"},
            "client": {"os": {"name": "iOS", "version": "17.4"}, "timezone": "America/New_York"},
            "component": "videoplayer",
            "received_at": times.event_time(at + late),
        }
        # The LMS renames the app's current_time and module_id before it logs them.
        event["event"] = json.dumps({"currentTime": second, **self._about_video(block)})
        return event

    def _about_video(self, block: Block) -> dict[str, str]:
        return {"code": block.name[:11], "id": self._course.html_id(block)}

    def _problem(
        self, at: int, page: Page, block: Block, attempt: int, right: int, answer: int
    ) -> Iterator[tuple[int, Event]]:
        answers = self._university.prose.answers
        text, part = answers[answer % len(answers)], self._course.part(block)
        posted = f"input_{part}={quote_plus(text)}"
        asked = self._browser("problem_check", page)
        asked["event"] = posted
        yield at, asked
        correctness = "correct" if right else "incorrect"
        graded = self._server("problem_check", block, "xmodule_handler/problem_check")
        graded["event"] = {
            "submission": {
                part: {
                    "question": self._university.prose.remarks[answer % len(self._university.prose.remarks)],
                    "answer": text,
                    "response_type": "customresponse",
                    "input_type": "textline",
                    "correct": bool(right),
                    "variant": "",
                    "group_label": "",
                }
            },
            "success": correctness,
            "grade": right,
            "correct_map": {
                part: {
                    "hint": "",
                    "hintmode": None,
                    "correctness": correctness,
                    "msg": "",
                    "answervariable": None,
                    "npoints": None,
                    "queuestate": None,
                }
            },
            "state": {"student_answers": {}, "seed": 1, "done": None, "correct_map": {}, "input_state": {part: {}}},
            "answers": {part: text},
            "attempts": attempt,
            "max_grade": 1,
            "problem_id": self._course.usage_keys[block.name],
        }
        yield at + 300_000, graded
        explanation = " ".join(self._university.prose.articles[answer % len(self._university.prose.articles)][:2])
        shown = self._browser("problem_graded", page)
        shown["event"] = [
            posted,
            f'<div class="problem"><p id="{block.name}">{block.title}\n\tis {correctness}.</p>{explanation}</div>',
        ]
        yield at + 600_000, shown

    def _submission(self, at: int, block: Block) -> Event:
        event = self._server("openassessmentblock.create_submission", block, "submit")
        article = self._university.prose.articles[self._enrollment.id % len(self._university.prose.articles)]
        event["event"] = {
            "submission_uuid": submission_uuid(self._enrollment, block),
            "attempt_number": 1,
            "created_at": times.event_time(at),
            "submitted_at": times.event_time(at),
            "answer": {"parts": [{"text": "\n".join(article)}]},
        }
        return event

    def _post(self, action: Action) -> Event:
        post = post_of(self._university, self._enrollment, action)
        forum = f"/courses/{self._course.course_key}/discussion"
        path = f"{forum}/{post.topic.name}/threads/create"
        if post.kind != "thread":
            path = f"{forum}/threads/{post.thread_id}/reply"
        if post.parent_id is not None:
            path = f"{forum}/comments/{post.parent_id}/reply"
        event = _event(self._enrollment, "server", f"edx.forum.{post.kind}.created", path, self._session_id)
        about: dict[str, Any] = {
            "id": post.id,
            "commentable_id": post.topic.name,
            "category_id": post.topic.name,
            "category_name": f"Week / {post.topic.title}",
            "url": f"https://{event['host']}{forum}/forum/{post.topic.name}/threads/{post.thread_id}",
            "body": post.body[:_LONGEST_BODY],
            "truncated": len(post.body) > _LONGEST_BODY,
            "user_course_roles": [],
            "user_forums_roles": ["Student"],
            "options": {"followed": False},
        }
        if post.kind == "thread":
            about |= {"title": post.title, "thread_type": "question", "anonymous": False, "anonymous_to_peers": False}
            about["group_id"] = None
        else:
            about["discussion"] = {"id": post.thread_id}
        if post.parent_id is not None:
            about["response"] = {"id": post.parent_id}
        event["event"] = about
        return event

"""A made-up day of tracking events, as edX's daily files look: for demos, tests and measurements.

The events follow the public description of edX's tracking logs (docs.openedx.org, "Events in the Tracking Logs") and
keep the oddities of real ones: `event` as an object, a JSON string, a list or nothing; syslog prefixes; lines cut off
at a fixed length; times in several spellings; keys that turn up late in the day. Everybody in them is invented.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Event = dict[str, Any]

DAY = datetime(2024, 5, 6, tzinfo=UTC)
CUT_AT = (2_043, 10_000)
"""Characters after which some writers of tracking logs cut a line off."""

LATE_FROM = 0.6
"""The share of the day after which the keys `label` and `nonInteraction` turn up."""

_LINES_A_WRITE = 1_000
_SUBJECTS = ("6.00.1x", "8.01x", "14.740x", "18.6501x", "CTL.SC1x", "7.00x")
_RUNS = ("1T2024", "2T2023")
_COUNTRIES = ("10.12", "10.40", "192.168", "172.16", "172.20")
_HOSTS = ("courses.edx.example", "preview.edx.example")
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
)
_NAMES = ("learner", "learner", "learner", "étudiant")
_LANGUAGES = ("en-US,en;q=0.9", "es-419,es;q=0.8,en;q=0.6", "zh-CN,zh;q=0.9", "")


@dataclass
class SampleLogSummary:
    """What `write_sample_log` wrote."""

    events: int = 0
    lines: int = 0
    """Lines of the file: the events, and the blank lines between them."""
    blank: int = 0
    syslog_prefixes: int = 0
    truncated: int = 0
    unreadable_times: int = 0
    bytes_unpacked: int = 0
    bytes_compressed: int = 0


def write_sample_log(
    out: Path, *, events: int, seed: int, progress: Callable[[SampleLogSummary], None] | None = None
) -> SampleLogSummary:
    """Write a gzip file of about 1,100 bytes an event (about 120 when compressed), the same for the same arguments.

    Args:
        out: The file; replaced if it exists.
        events: How many events the day has, at least 1.
        seed: Of the random numbers.
        progress: Called now and then with what was written so far.

    Raises:
        OSError: The file cannot be written.
    """
    summary = SampleLogSummary()
    day = _Day(random.Random(seed), events)  # noqa: S311 - sample data, no secrets
    with out.open("wb") as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
            while summary.events < events:
                lines = [day.line(summary) for _ in range(min(_LINES_A_WRITE, events - summary.events))]
                summary.bytes_unpacked += packed.write("".join(lines).encode())
                if progress is not None:
                    progress(summary)
        summary.bytes_compressed = file.tell()
    return summary


@dataclass(frozen=True)
class _Learner:
    username: str
    user_id: int
    session: str
    ip: str
    agent: str
    language: str
    course: _Course


@dataclass(frozen=True)
class _Course:
    key: str
    problems: list[str]
    videos: list[tuple[str, str]]
    pages: list[str]

    def usage_key(self, kind: str, name: str) -> str:
        return f"{self.key.replace('course-', 'block-', 1)}+type@{kind}+block@{name}"


class _Day:
    """Draws one line after the other."""

    def __init__(self, rng: random.Random, events: int) -> None:
        self._rng = rng
        self._step = timedelta(days=1) / events
        self._events = events
        self._courses = [self._course(f"course-v1:MITx+{s}+{r}") for s in _SUBJECTS for r in _RUNS]
        self._learners = [self._learner(n) for n in range(400)]
        makers = (
            (self._request, 30),
            (self._video, 36),
            (self._navigation, 15),
            (self._problem_check, 7),
            (self._problem_check_browser, 4),
            (self._problem_graded, 3),
            (self._mobile_video, 4),
            (self._enrollment, 1),
        )
        self._makers = [maker for maker, weight in makers for _ in range(weight)]

    def line(self, summary: SampleLogSummary) -> str:
        """The next line with its line end, and a blank one before it now and then."""
        rng = self._rng
        now = DAY + summary.events * self._step
        learner = rng.choice(self._learners)
        event = rng.choice(self._makers)(learner, now)
        oddity = rng.randrange(20_000)
        event["time"] = self._time(now, oddity, summary)
        if summary.events >= LATE_FROM * self._events and oddity % 50 == 0:
            event |= {"label": event["event_type"][:40], "nonInteraction": 1}
        text = json.dumps(event)
        summary.events += 1
        summary.lines += 1
        if oddity in range(10):
            summary.syslog_prefixes += 1
            text = f"{now:%b} {now.day:2} {now:%H:%M:%S} localhost {text}"
        elif oddity in range(10, 14):
            summary.truncated += 1
            text = text[: CUT_AT[len(text) > CUT_AT[1]]].removesuffix("}")
        elif oddity in range(14, 17):
            summary.blank += 1
            summary.lines += 1
            text = f"\n{text}"
        return f"{text}\n"

    def _time(self, now: datetime, oddity: int, summary: SampleLogSummary) -> str | int | float:
        """How the event says when it was; mostly as Python's `isoformat` does."""
        if oddity in range(17, 19):
            summary.unreadable_times += 1
            return "300-01-01"
        if oddity in range(20, 220):
            return now.replace(tzinfo=None).isoformat()
        if oddity in range(220, 420):
            return f"{now:%Y-%m-%dT%H:%M:%S}Z"
        if oddity in range(420, 620):
            return now.astimezone(timezone(timedelta(hours=-5))).isoformat()
        if oddity in range(620, 640):
            return int(now.timestamp())
        if oddity in range(640, 660):
            return int(now.timestamp() * 1_000)
        return now.isoformat(timespec="microseconds")

    def _course(self, key: str) -> _Course:
        return _Course(
            key,
            problems=[self._name() for _ in range(40)],
            videos=[(self._name(), self._name()[:11]) for _ in range(30)],
            pages=[f"{self._name()}/{self._name()}" for _ in range(20)],
        )

    def _learner(self, number: int) -> _Learner:
        rng = self._rng
        return _Learner(
            username=f"{rng.choice(_NAMES)}_{number:05}",
            user_id=4_000_000 + number,
            session=self._name(),
            ip=f"{rng.choice(_COUNTRIES)}.{rng.randrange(256)}.{rng.randrange(256)}",
            agent=rng.choice(_AGENTS),
            language=rng.choice(_LANGUAGES),
            course=rng.choice(self._courses),
        )

    def _name(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _base(self, learner: _Learner, source: str, event_type: str, path: str) -> Event:
        return {
            "username": learner.username,
            "event_source": source,
            "name": event_type,
            "accept_language": learner.language,
            "time": None,
            "agent": learner.agent,
            "page": None,
            "host": _HOSTS[0],
            "session": learner.session,
            "referer": f"https://{_HOSTS[0]}/courses/{learner.course.key}/courseware/",
            "context": {
                "user_id": learner.user_id,
                "org_id": "MITx",
                "course_id": learner.course.key,
                "path": path,
                "course_user_tags": {},
            },
            "ip": learner.ip,
            "event": "",
            "event_type": event_type,
        }

    def _browser(self, learner: _Learner, event_type: str) -> Event:
        event = self._base(learner, "browser", event_type, "/event")
        event["page"] = f"{event['referer']}{self._rng.choice(learner.course.pages)}/"
        return event

    def _request(self, learner: _Learner, _now: datetime) -> Event:
        """A page that the server delivered: its path is the event's type."""
        course = learner.course
        usage = course.usage_key("problem", self._rng.choice(course.problems))
        path = f"/courses/{course.key}/xblock/{usage}/handler/xmodule_handler/problem_get"
        event = self._base(learner, "server", path, path)
        event["event"] = '{"POST": {}, "GET": {}}'
        return event

    def _video(self, learner: _Learner, _now: datetime) -> Event:
        rng = self._rng
        name, code = rng.choice(learner.course.videos)
        event_type = rng.choice(("play_video", "pause_video", "load_video", "stop_video"))
        event = self._browser(learner, event_type)
        event["event"] = json.dumps(
            {"duration": 431.2, "code": code, "id": name, "currentTime": rng.randrange(431_000) / 1_000}
        )
        return event

    def _navigation(self, learner: _Learner, _now: datetime) -> Event:
        rng = self._rng
        event_type = rng.choice(("seq_next", "seq_goto", "page_close"))
        event = self._browser(learner, event_type)
        if event_type != "page_close":
            usage = learner.course.usage_key("sequential", rng.choice(learner.course.pages)[:32])
            old = rng.randrange(12)
            event["event"] = json.dumps({"current_tab": old, "tab_count": 12, "id": usage, "target_tab": old + 1})
        return event

    def _problem_check(self, learner: _Learner, _now: datetime) -> Event:
        rng = self._rng
        name = rng.choice(learner.course.problems)
        usage = learner.course.usage_key("problem", name)
        event = self._base(learner, "server", "problem_check", f"/courses/{learner.course.key}/xblock/{usage}/handler")
        event["context"]["module"] = {"usage_key": usage, "display_name": f"Problem {name[:2]}: “forces”"}
        inputs = [f"{name}_{part}_1" for part in range(2, rng.randrange(4, 8))]
        answers = {part: rng.choice(("choice_0", "choice_1", "3.14", "x^2 + 1")) for part in inputs}
        event["event"] = {
            "submission": {
                part: {
                    "question": "What is the acceleration of the block?",
                    "answer": answers[part],
                    "response_type": "multiplechoiceresponse",
                    "input_type": "choicegroup",
                    "correct": rng.choice((True, True, False)),
                    "variant": "",
                    "group_label": "",
                }
                for part in inputs
            },
            "success": "incorrect",
            "grade": rng.randrange(5),
            "correct_map": {
                part: {
                    "hint": "",
                    "hintmode": None,
                    "correctness": rng.choice(("correct", "incorrect")),
                    "msg": "",
                    "answervariable": None,
                    "npoints": None,
                    "queuestate": None,
                }
                for part in inputs
            },
            "state": {"student_answers": {}, "seed": 1, "done": None, "correct_map": {}, "input_state": {}},
            "answers": answers,
            "attempts": rng.randrange(1, 5),
            "max_grade": len(inputs),
            "problem_id": usage,
        }
        return event

    def _problem_check_browser(self, learner: _Learner, _now: datetime) -> Event:
        event = self._browser(learner, "problem_check")
        name = self._rng.choice(learner.course.problems)
        event["event"] = f"input_{name}_2_1=choice_{self._rng.randrange(4)}&input_{name}_3_1="
        return event

    def _problem_graded(self, learner: _Learner, _now: datetime) -> Event:
        event = self._browser(learner, "problem_graded")
        name = self._rng.choice(learner.course.problems)
        event["event"] = [
            f"input_{name}_2_1=choice_{self._rng.randrange(4)}",
            f'<div class="problem"><p id="{name}">A block slides\n\tdown a slope of 30°.</p></div>',
        ]
        return event

    def _mobile_video(self, learner: _Learner, now: datetime) -> Event:
        rng = self._rng
        name, code = rng.choice(learner.course.videos)
        event = self._base(learner, "mobile", "edx.video.played", "/segmentio/event")
        event["context"] |= {
            "application": {"name": "edx.mobileapp.iOS", "version": "4.0.2"},
            "client": {"os": {"name": "iOS", "version": "17.4"}, "timezone": "America/New_York", "ip": learner.ip},
            "component": "videoplayer",
            "received_at": (now + timedelta(seconds=rng.randrange(3_600))).isoformat(),
        }
        event["event"] = json.dumps({"current_time": rng.randrange(431), "module_id": name, "code": code})
        return event

    def _enrollment(self, learner: _Learner, _now: datetime) -> Event:
        event = self._base(learner, "server", "edx.course.enrollment.activated", "/change_enrollment")
        event["event"] = {
            "course_id": learner.course.key,
            "user_id": learner.user_id,
            "mode": self._rng.choice(("audit", "verified")),
        }
        return event

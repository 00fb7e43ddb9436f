"""The rows of a course's tables at a certain time, from what its learners had done by then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from edxorg.samples import invented, times
from edxorg.samples.assessment_rows import AssessmentRows, anonymous_id, submission_uuid
from edxorg.samples.dialects import NULL, exported, piped, quoted
from edxorg.samples.sample_tables import STUDENT_MODULE, TABLES, VERIFICATIONS
from edxorg.samples.story import PASSING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edxorg.samples.courses import Course
    from edxorg.samples.learner_progress import Module, Progress
    from edxorg.samples.learners import Learner
    from edxorg.samples.story import Enrollment
    from edxorg.samples.university import University

PROFILE_IDS_AFTER: Final = 500_000
"""The id of a profile is that of its user, and so many more."""

_COHORTS: Final = ("Default Group", "Evening", "On campus")
_TEAMS: Final = 4
_DENIED_EVERY: Final = 9
_MODULES_IN_COURSE: Final = 10_000
_NEWER_PROFILES_EVERY: Final = 3
_INDENTED_EVERY: Final = 12


class CourseRows:
    """Writes the rows of one course, one enrollment after the other."""

    def __init__(
        self, university: University, course: Course, until: int, add: Mapping[str, Callable[[str], None]]
    ) -> None:
        """Write the state before `until` with a function for each table, which takes a row without its line end."""
        self._course, self._until, self._prose = course, until, university.prose
        self._add_text = add
        self._instructor = university.instructor(course)
        self._text = quoted if has_newer_profiles(course) else exported
        self._numbers = {block.name: number for number, block in enumerate(course.blocks)}
        self._answers = [json.dumps(answer) for answer in university.prose.answers]
        self._team_sizes = [0] * _TEAMS
        self._assessments = AssessmentRows(course, self._instructor, until, university.prose, self._add)
        self._starts = university.first
        self._has_verifications = VERIFICATIONS in add

    def _add(self, table: str, **values: object) -> None:
        self._add_text[table](TABLES[table].row(values))

    def add_course(self) -> None:
        """Rows that do not come from learners."""
        course, instructor = self._course, self._instructor
        user = instructor.user_id(course.site)
        for role in ("instructor", "staff"):
            self._add(
                "student_courseaccessrole",
                org=course.organization,
                course_id=course.course_key,
                user_id=user,
                role=role,
            )
        self._add_article(1 + course.index, user, self._starts - 25 * times.DAY)
        if any(block.category == "openassessment" for block in course.blocks):
            self._assessments.add_course()

    def end(self) -> None:
        """Rows that need to know what all learners did."""
        self._assessments.end()
        if not _uses_teams(self._course):
            return
        for number, size in enumerate(self._team_sizes):
            made = times.mysql(self._starts - 20 * times.DAY)
            self._add(
                "teams",
                id=self._team_id(number),
                team_id=f"team-{invented.hex_of('team', self._course.partition, number)}",
                name=self._prose.phrases[number],
                course_id=self._course.course_key,
                topic_id=f"topic-{number}",
                date_created=made,
                description=exported(self._prose.remarks[number]),
                discussion_topic_id=invented.hex_of("topic", self._course.partition, number),
                last_activity_at=made,
                team_size=size,
            )

    def add(self, enrollment: Enrollment, progress: Progress) -> None:
        """The rows of an enrollment, and of the learner."""
        learner = enrollment.learner_at(self._until)
        self._add_account(enrollment, learner)
        self._add_enrollment(enrollment, learner)
        self._add_modules(enrollment, progress)
        if progress.subsections:
            self._add_grades(enrollment, progress)
        self._add_certificate(enrollment, learner, progress)
        if enrollment.verified_at is not None and self._has_verifications:
            self._add_verification(enrollment, enrollment.verified_at)
        if _uses_teams(self._course) and progress.last_at is not None:
            self._add_team_member(enrollment)
        if progress.modules and enrollment.turn % 50 == 7:  # noqa: PLR2004 - one in fifty has something to say
            self._add_article(enrollment.id, enrollment.user_id, enrollment.sessions[0].arrives)
        for submission in progress.submissions:
            self._assessments.add(enrollment, submission)

    def _add_account(self, enrollment: Enrollment, learner: Learner) -> None:
        user, text = enrollment.user_id, self._text
        joined = self._starts - learner.joined * times.SECOND
        self._add(
            "auth_user",
            id=user,
            username=learner.username,
            email=learner.email,
            last_login=times.mysql_fraction(self._starts - learner.logged_in),
            date_joined=times.mysql(joined),
        )
        self._add(
            "auth_userprofile",
            id=user + PROFILE_IDS_AFTER,
            user_id=user,
            name=text(learner.name),
            language=learner.language,
            meta=text(learner.meta),
            gender=learner.gender or NULL,
            year_of_birth=learner.year_of_birth or NULL,
            level_of_education=learner.education or NULL,
            goals=text(learner.goals),
            country=learner.country or NULL,
            bio=text(learner.bio),
        )
        self._add("user_id_map", hash_id=invented.hex_of("user", user), user_id=user, username=learner.username)
        if learner.language and learner.number % 10 == 0:
            self._add(
                "student_languageproficiency",
                id=user,
                user_profile_id=user + PROFILE_IDS_AFTER,
                code=learner.language,
            )

    def _add_enrollment(self, enrollment: Enrollment, learner: Learner) -> None:
        course = self._course
        both = {"user_id": enrollment.user_id, "course_id": course.course_key}
        self._add(
            "student_courseenrollment",
            **both,
            id=enrollment.id,
            created=times.mysql(enrollment.created),
            is_active=int(enrollment.is_active_at(self._until)),
            mode=enrollment.mode_at(self._until),
        )
        self._add(
            "student_anonymoususerid",
            **both,
            id=enrollment.id,
            anonymous_user_id=anonymous_id(enrollment.user_id, course),
        )
        self._add("django_comment_client_role_users", **both, name="Student")
        if enrollment.staff:
            self._add("django_comment_client_role_users", **both, name="Administrator")
        if course.index % 3 == 0:
            self._add("course_groups_cohortmembership", **both, name=_COHORTS[learner.number % 3])
        for key, value in tags_of(enrollment).items():
            self._add("user_api_usercoursetag", **both, id=enrollment.id, key=key, value=value)

    def _add_modules(self, enrollment: Enrollment, progress: Progress) -> None:
        """Add the rows of modules; most rows of a package are these, so they are not built from names of columns."""
        add, keys, texts = self._add_text[STUDENT_MODULE], self._course.usage_keys, _Texts()
        first_id = enrollment.id * _MODULES_IN_COURSE
        user, course_key = enrollment.user_id, self._course.course_key
        for name, module in progress.modules.items():
            number, category = self._numbers[name], module.block.category
            state = self._state(enrollment, module, indented=(enrollment.id + number) % _INDENTED_EVERY == 0)
            grade, most = (f"{float(module.right)}", "1.0") if category == "problem" else (NULL, NULL)
            add(
                f"{first_id + number}\t{category}\t{keys[name]}\t{user}\t{state}\t{grade}\t"
                f"{texts[module.created]}\t{texts[module.modified]}\t{most}\tna\t{course_key}"
            )

    def _state(self, enrollment: Enrollment, module: Module, *, indented: bool) -> str:
        block = module.block
        match block.category:
            case "problem":
                state = self._problem_state(module)
            case "video":
                minutes, seconds = divmod(module.value, 60)
                state = f'{{"saved_video_position": "00:{minutes:02}:{seconds:02}", "speed": 1.5}}'
            case "openassessment":
                state = f'{{"submission_uuid": "{submission_uuid(enrollment, block)}", "has_saved": false}}'
            case _:
                state = f'{{"position": {module.value}}}'
        if indented:
            state = f"{{\n {state[1:-1]}\n}}"
        return piped(state) if indented or "\\" in state else state

    def _problem_state(self, module: Module) -> str:
        part = self._course.part(module.block)
        answer = self._answers[module.answer % len(self._answers)]
        correctness = "correct" if module.right else "incorrect"
        return (
            f'{{"correct_map": {{"{part}": {{"hint": "", "hintmode": null, "correctness": "{correctness}", "msg": "", '
            f'"answervariable": null, "npoints": null, "queuestate": null}}}}, "input_state": {{"{part}": {{}}}}, '
            f'"last_submission_time": "{times.zulu(module.modified)}", "attempts": {module.value}, "done": true, '
            f'"student_answers": {{"{part}": {answer}}}, "seed": {module.answer % 1000}}}'
        )

    def _add_grades(self, enrollment: Enrollment, progress: Progress) -> None:
        both = {"user_id": enrollment.user_id, "course_id": self._course.course_key}
        first = min(subsection.created for subsection in progress.subsections.values())
        last = max(subsection.modified for subsection in progress.subsections.values())
        passed = progress.passed_at
        self._add(
            "grades_persistentcoursegrade",
            **both,
            percent_grade=grade_of(progress, self._course),
            letter_grade="" if passed is None else "Pass",
            passed_timestamp=NULL if passed is None else times.mysql_fraction(passed),
            created=times.mysql_fraction(first),
            modified=times.mysql_fraction(last),
        )
        for name, subsection in progress.subsections.items():
            possible = f"{self._course.problems_by_sequential[name]:.1f}"
            earned = f"{subsection.earned:.1f}"
            self._add(
                "grades_persistentsubsectiongrade",
                **both,
                usage_key=self._course.usage_keys[name],
                earned_all=earned,
                possible_all=possible,
                earned_graded=earned,
                possible_graded=possible,
                first_attempted=times.mysql_fraction(subsection.created),
                created=times.mysql_fraction(subsection.created + 40_000),
                modified=times.mysql_fraction(subsection.modified + 40_000),
            )

    def _add_certificate(self, enrollment: Enrollment, learner: Learner, progress: Progress) -> None:
        certificate = certificate_of(enrollment, progress, self._until)
        if certificate is None:
            return
        at, status = certificate
        issued = times.mysql(at)
        digits = invented.hex_of("certificate", enrollment.id)
        self._add(
            "certificates_generatedcertificate",
            id=enrollment.id,
            user_id=enrollment.user_id,
            grade=grade_of(progress, self._course),
            course_id=self._course.course_key,
            key=digits,
            status=status,
            verify_uuid=digits,
            name=exported(learner.name),
            created_date=issued,
            modified_date=issued,
            mode=enrollment.mode,
        )
        if status == DOWNLOADABLE and self._course.index % 9 == 0:
            self._add(
                "credit_crediteligibility",
                id=enrollment.id,
                created=times.mysql_fraction(at + 250_000),
                modified=times.mysql_fraction(at + 250_000),
                username=learner.username,
                deadline=times.mysql(at + 365 * times.DAY),
                course_id=self._course.course_key,
            )

    def _add_verification(self, enrollment: Enrollment, verified_at: int) -> None:
        """Add the photographs that a learner sent at the first checkpoint, and the verdict of a day later."""
        outcome = "denied" if enrollment.turn % _DENIED_EVERY == 0 else "approved"
        sent = verified_at + 10 * 60 * times.SECOND
        for at, status in ((sent, "submitted"), (sent + times.DAY, outcome)):
            if at < self._until:
                self._add(
                    VERIFICATIONS,
                    timestamp=times.mysql(at),
                    status=status,
                    course_id=self._course.course_key,
                    checkpoint_location=self._course.usage_keys[self._course.pages[0].vertical.name],
                    user_id=enrollment.user_id,
                )

    def _add_team_member(self, enrollment: Enrollment) -> None:
        number = enrollment.learner.number % (2 * _TEAMS)
        if number >= _TEAMS:
            return
        self._team_sizes[number] += 1
        joined = times.mysql(min(session.arrives for session in enrollment.sessions))
        self._add(
            "teams_membership",
            id=enrollment.id,
            user_id=enrollment.user_id,
            team_id=self._team_id(number),
            date_joined=joined,
            last_activity_at=joined,
        )

    def _team_id(self, number: int) -> int:
        return 1 + self._course.index * _TEAMS + number

    def _add_article(self, number: int, user: int, at: int) -> None:
        values: dict[str, Any] = {"id": number, "created": times.mysql(at), "modified": times.mysql(at)}
        self._add("wiki_article", **values, current_revision_id=number, owner_id=user)
        article = "\r\n\r\n## ".join(self._prose.articles[number % len(self._prose.articles)])
        title = self._prose.phrases[number % len(self._prose.phrases)]
        self._add(
            "wiki_articlerevision", **values, user_id=user, article_id=number, content=exported(article), title=title
        )


class _Texts(dict[int, str]):
    """Times as the tables print them, cached since many occur twice."""

    def __missing__(self, at: int) -> str:
        text = self[at] = times.mysql(at)
        return text


DOWNLOADABLE: Final = "downloadable"


def certificate_of(enrollment: Enrollment, progress: Progress, until: int) -> tuple[int, str] | None:
    """Return the time of the decision on a certificate, and its status; none if that was not before a time."""
    at = enrollment.certified_at()
    if at is None or at >= until:
        return None
    passed = progress.earned >= PASSING * enrollment.course.problems
    if enrollment.mode_at(at) == "audit":
        return at, "audit_passing" if passed else "audit_notpassing"
    return at, DOWNLOADABLE if passed else "notpassing"


def grade_of(progress: Progress, course: Course) -> str:
    """Return the share of the points that were earned, rounded to two digits."""
    return str(round(progress.earned / course.problems, 2))


def tags_of(enrollment: Enrollment) -> dict[str, str]:
    """Return the tags that the LMS keeps for a learner in a course, and adds to the context of its events there."""
    number = enrollment.learner.number
    if enrollment.course.index % 2 or number % 3:
        return {}
    return {"xblock.partition_service.partition_0": str(number % 2)}


def has_newer_profiles(course: Course) -> bool:
    """Return True if a course's profiles have RFC 4180 quotes, as in newer packages."""
    return course.index % _NEWER_PROFILES_EVERY == _NEWER_PROFILES_EVERY - 1


def _uses_teams(course: Course) -> bool:
    return course.index % 4 == 0

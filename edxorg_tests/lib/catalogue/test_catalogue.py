"""The catalogue's tables, from a small server on loopback and from answers that edX gave."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edxorg.lib.catalogue import (
    COURSE_METADATA,
    COURSE_RUN_METADATA,
    PROGRAM_COURSE_METADATA,
    PROGRAM_METADATA,
    PROGRAMS,
    Course,
    Output,
    Program,
    collect,
    courses_of,
)
from edxorg.lib.catalogue.listings import MAX_ROWS
from edxorg.samples.catalogue_server import CATALOGUE, PAGE_SIZE, SampleCatalogue, serve_sample_catalogue
from ol_orchestrate.lib.errors import BadInputError, SourceChangedError
from ol_orchestrate.lib.openedx_api import ApiCredentials, OpenEdxApi, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

STARTED = datetime(2026, 3, 1, 5, 0, 0, 123456, tzinfo=UTC)
COURSES = courses_of(CATALOGUE)

Response = dict[str, Any]


@pytest.fixture
def sample() -> Iterator[SampleCatalogue]:
    with serve_sample_catalogue(programs=23, courses=45, seed=7) as catalogue:
        yield catalogue


@contextmanager
def connected(catalogue: SampleCatalogue) -> Iterator[OpenEdxApi]:
    credentials = ApiCredentials(catalogue.client_id, catalogue.client_secret, catalogue.url)
    with OpenEdxApi.connect(lambda: credentials) as api:
        yield api


def rows(output: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.content.reader()]


def course_pages(*pages: list[Response], count: int | None = None) -> Iterator[Page[Course]]:
    total = sum(len(page) for page in pages) if count is None else count
    for results in pages:
        yield Page[Course].parse(json.dumps({"count": total, "next": None, "results": results}).encode())


def course(key: str, *runs: str, **fields: Any) -> Response:  # noqa: ANN401 - any JSON
    return {"key": key, "course_runs": [{"key": run} for run in runs], **fields}


def course_tables(pages: Iterable[Page[Course]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    with collect(COURSES, pages, retrieved_at=STARTED) as collected:
        return rows(collected.records), rows(collected.parts)


class Expected:
    """What the tables have to hold, written out from their description without looking at the code."""

    @staticmethod
    def image(image: Response | None) -> Response | None:
        return {"url": image["src"], "description": image.get("description")} if image and image.get("src") else None

    @classmethod
    def program(cls, program: Response) -> Response:
        same = ("uuid", "title", "subtitle", "type", "status")
        return {
            **{name: program.get(name) for name in same},
            "authoring_organizations": ", ".join(o["key"] for o in program["authoring_organizations"]),
            "data_modified_timestamp": program.get("data_modified_timestamp"),
            "retrieved_at": "2026-03-01T05:00:00.123456+00:00",
        }

    @classmethod
    def program_course(cls, program: Response, course: Response) -> Response:
        return {
            "program_uuid": program["uuid"],
            "course_key": course["key"],
            "course_title": course.get("title"),
            "course_short_description": course.get("short_description"),
            "course_type": course.get("course_type"),
        }

    @classmethod
    def course(cls, course: Response) -> Response:
        return {
            "course_key": course["key"],
            "title": course.get("title"),
            "owner": ", ".join(o["key"] for o in course["owners"]),
            "short_description": course.get("short_description"),
            "full_description": course.get("full_description"),
            "level_type": course.get("level_type"),
            "marketing_url": course.get("marketing_url"),
            "image": cls.image(course.get("image")),
            "course_type": course.get("course_type"),
            "subjects": [{"name": subject["name"]} for subject in course["subjects"]],
            "prerequisites": course["prerequisites"],
            "prerequisites_raw": course.get("prerequisites_raw"),
            "modified": course.get("modified"),
            "retrieved_at": "2026-03-01T05:00:00.123456+00:00",
        }

    @classmethod
    def run(cls, course: Response, run: Response) -> Response:
        return {
            "course_key": course["key"],
            "run_key": run["key"],
            "title": run.get("title"),
            "short_description": run.get("short_description"),
            "full_description": run.get("full_description"),
            "marketing_url": run.get("marketing_url"),
            "level_type": run.get("level_type"),
            "languages": run.get("content_language"),
            "start_on": run.get("start"),
            "end_on": run.get("end"),
            "enrollment_start": run.get("enrollment_start"),
            "enrollment_end": run.get("enrollment_end"),
            "announcement": run.get("announcement"),
            "pacing_type": run.get("pacing_type"),
            "enrollment_type": run.get("type"),
            "availability": run.get("availability"),
            "status": run.get("status"),
            "is_enrollable": run.get("is_enrollable"),
            "image": cls.image(run.get("image")),
            "seats": run["seats"],
            "staff": [{"first_name": p["given_name"], "last_name": p.get("family_name")} for p in run["staff"]],
            "weeks_to_complete": run.get("weeks_to_complete"),
            "min_effort": run.get("min_effort"),
            "max_effort": run.get("max_effort"),
            "estimated_hours": run.get("estimated_hours"),
            "modified": run.get("modified"),
            "retrieved_at": "2026-03-01T05:00:00.123456+00:00",
        }


def same_json(left: object, right: object) -> bool:
    """Equal values, types (`True` is not `1`, `40` is not `40.0`) and order of columns."""
    return json.dumps(left) == json.dumps(right)


class TestFromTheServer:
    def test_programs(self, sample: SampleCatalogue) -> None:
        with (
            connected(sample) as api,
            collect(PROGRAMS, api.pages(PROGRAMS.path, PROGRAMS.page), retrieved_at=STARTED) as collected,
        ):
            programs = sorted(sample.programs, key=lambda program: program["uuid"])
            assert same_json(rows(collected.records), [Expected.program(program) for program in programs])
            courses = [
                Expected.program_course(program, course)
                for program in programs
                for course in sorted(program["courses"], key=lambda course: course["key"])
            ]
            assert same_json(rows(collected.parts), courses)
            assert (collected.records.row_count, collected.parts.row_count) == (23, len(courses))

    def test_courses_and_runs(self, sample: SampleCatalogue) -> None:
        with (
            connected(sample) as api,
            collect(COURSES, api.pages(COURSES.path, COURSES.page), retrieved_at=STARTED) as collected,
        ):
            courses = sorted(sample.courses, key=lambda course: course["key"])
            assert same_json(rows(collected.records), [Expected.course(course) for course in courses])
            runs = [Expected.run(course, run) for course in courses for run in course["course_runs"]]
            assert same_json(rows(collected.parts), runs)
            assert collected.parts.row_count == len(runs)

    def test_a_course_taken_away_while_it_is_read_hides_no_other(self, sample: SampleCatalogue) -> None:
        def pages(api: OpenEdxApi) -> Iterator[Page[Course]]:
            for number, page in enumerate(api.pages(COURSES.path, COURSES.page)):
                yield page
                if number == 0:  # the record that was to come first on the next page moves to this one
                    del sample.courses[3]

        with connected(sample) as api, pytest.raises(SourceChangedError, match="44 of 45 records arrived, 0 more"):
            collect(COURSES, pages(api), retrieved_at=STARTED)

    def test_a_course_added_while_it_is_read_is_missed_once_and_noticed(self, sample: SampleCatalogue) -> None:
        def pages(api: OpenEdxApi) -> Iterator[Page[Course]]:
            for number, page in enumerate(api.pages(COURSES.path, COURSES.page)):
                yield page
                if number == 0:
                    sample.courses.insert(0, course("MITx+new", "course-v1:MITx+new+1"))

        with connected(sample) as api:
            with pytest.raises(SourceChangedError, match="45 of 46 records arrived, 1 more were repetitions") as caught:
                collect(COURSES, pages(api), retrieved_at=STARTED)
            assert caught.value.is_transient
            assert len(course_tables(api.pages(COURSES.path, COURSES.page))[0]) == 46

    def test_an_error_names_the_page_and_the_record(self, sample: SampleCatalogue) -> None:
        broken = sample.courses[PAGE_SIZE + 4]
        del broken["course_runs"][0]["key"]
        expected = r"offset=20, page 2: record no\. 5, course_runs no\. 1, key: Field required"
        with connected(sample) as api, pytest.raises(BadInputError, match=expected) as caught:
            collect(COURSES, api.pages(COURSES.path, COURSES.page), retrieved_at=STARTED)
        assert broken["key"] not in str(caught.value)

    def test_a_listing_of_very_many_rows_is_refused(self) -> None:
        def pages() -> Iterator[Page[Course]]:
            for number in range(MAX_ROWS // 1000 + 1):
                yield from course_pages([{"key": f"X+{number}-{each}"} for each in range(1000)])

        with pytest.raises(BadInputError, match=r"catalogs/10/courses/: over 200,000 rows\. Nothing is replaced"):
            collect(COURSES, pages(), retrieved_at=STARTED)

    def test_the_sample_is_the_same_for_the_same_seed(self, sample: SampleCatalogue) -> None:
        with serve_sample_catalogue(23, 45, seed=7) as again, serve_sample_catalogue(23, 45, seed=8) as other:
            assert (again.programs, again.courses) == (sample.programs, sample.courses)
            assert other.courses != sample.courses

    def test_the_sample_wants_a_token(self, sample: SampleCatalogue) -> None:
        sample.client_secret = "changed since"  # noqa: S105 - of a server that lives for one test
        credentials = ApiCredentials(sample.client_id, "sample-secret-7", sample.url)
        with OpenEdxApi.connect(lambda: credentials) as api, pytest.raises(Exception, match="invalid_client"):
            next(api.pages(PROGRAMS.path, PROGRAMS.page))


class TestCompleteness:
    def test_a_total_that_was_not_reached(self) -> None:
        with pytest.raises(SourceChangedError, match="/api/v1/catalogs/10/courses/: 2 of 3 records arrived"):
            course_tables(course_pages([course("a", "r1")], [course("b", "r2")], count=3))

    def test_repetitions_do_not_fill_up_the_total(self) -> None:
        with pytest.raises(SourceChangedError, match="2 of 3 records arrived, 1 more were repetitions"):
            course_tables(course_pages([course("a", "r"), course("b", "r")], [course("b", "r")], count=3))

    def test_the_largest_total_counts(self) -> None:
        def pages() -> Iterator[Page[Course]]:
            yield from course_pages([course("a", "r")], count=3)
            yield from course_pages([course("b", "r")], count=2)

        with pytest.raises(SourceChangedError, match="2 of 3"):
            course_tables(pages())

    def test_more_than_the_total_is_no_error(self) -> None:
        assert len(course_tables(course_pages([course("a", "r"), course("b", "r")], count=1))[0]) == 2

    def test_an_empty_catalogue_replaces_nothing(self) -> None:
        with pytest.raises(BadInputError, match="there is no record"):
            course_tables(course_pages([], count=0))

    def test_no_page_at_all(self) -> None:
        with pytest.raises(BadInputError, match="there is no record"):
            course_tables(iter(()))

    def test_a_listing_that_lost_its_runs_replaces_nothing(self) -> None:
        with pytest.raises(BadInputError, match="no record has rows for course_run_metadata"):
            course_tables(course_pages([{"key": "a", "runs": []}, {"key": "b", "course_runs": None}]))

    def test_single_records_may_be_without_parts(self) -> None:
        courses, runs = course_tables(course_pages([{"key": "b"}, course("a", "r"), course("c")]))
        assert [row["course_key"] for row in courses] == ["a", "b", "c"]
        assert [row["run_key"] for row in runs] == ["r"]

    def test_of_a_repeated_record_the_last_counts_with_its_parts(self) -> None:
        old, new = course("a", "r1", "r2", title="old"), course("a", "r3", "r2", "r3", title="new")
        with collect(COURSES, course_pages([old, course("b")], [new], count=2), retrieved_at=STARTED) as collected:
            assert [row["title"] for row in rows(collected.records)] == ["new", None]
            assert [row["run_key"] for row in rows(collected.parts)] == ["r2", "r3"]
            assert (collected.records.repeated, collected.parts.repeated) == (1, 1)
            assert (collected.records.row_count, collected.parts.row_count) == (2, 2)


class TestFields:
    @pytest.mark.parametrize("value", ["absent", None])
    def test_whatever_identifies_nothing_may_be_missing(self, sample: SampleCatalogue, value: str | None) -> None:
        """Every field of every object on its own, and the answer is the same but for that one value."""
        named = {"content_language": "languages", "start": "start_on", "end": "end_on", "type": "enrollment_type"}
        whole = next(c for c in sample.courses if c["image"] and all(run["staff"] for run in c["course_runs"]))
        courses, runs = course_tables(course_pages([whole]))
        other = course("zzz", "r")
        for field in whole:
            changed = {k: v for k, v in whole.items() if k != field} | ({field: None} if value is None else {})
            if field == "key":
                with pytest.raises(ValueError, match="key"):
                    course_tables(course_pages([changed]))
                continue
            got_courses, got_runs = course_tables(course_pages([changed, other]))
            column = {"owners": "owner"}.get(field, field)
            assert got_courses[0] == courses[0] | ({column: None} if column in courses[0] else {})
            assert got_runs[:-1] == ([] if field == "course_runs" else runs)
        for field in whole["course_runs"][0]:
            first = {k: v for k, v in whole["course_runs"][0].items() if k != field}
            changed = {**whole, "course_runs": [first | ({field: None} if value is None else {})]}
            if field == "key":
                with pytest.raises(ValueError, match="key"):
                    course_tables(course_pages([changed]))
                continue
            column = named.get(field, field)
            assert course_tables(course_pages([changed]))[1] == [
                runs[0] | ({column: None} if column in runs[0] else {})
            ]

    @pytest.mark.parametrize(
        "fields",
        [
            {"key": ""},
            {"key": 7},
            {"key": None},
            {"title": 7},
            {"modified": 1.5},
            {"owners": [{"name": "no key"}]},
            {"course_runs": [{"key": "r", "is_enrollable": "true"}]},
            {"course_runs": [{"key": "r", "min_effort": "5"}]},
        ],
    )
    def test_a_value_of_another_type_is_not_bent(self, fields: Response) -> None:
        with pytest.raises(ValueError, match=r"validation error"):
            course_tables(course_pages([{**course("a", "r"), **fields}]))

    @pytest.mark.parametrize("image", [None, {}, {"src": None, "description": "d"}, {"src": ""}])
    def test_a_picture_without_an_address_is_none(self, image: Response | None) -> None:
        runs = [{"key": "r", "image": image}]
        for table in course_tables(course_pages([{"key": "a", "image": image, "course_runs": runs}])):
            assert table[0]["image"] is None

    def test_numbers_keep_their_digits(self) -> None:
        runs = [
            {"key": "r", "min_effort": 2, "estimated_hours": 40.0, "seats": [{"price": "150.00", "credit_hours": 3}]}
        ]
        with collect(COURSES, course_pages([{"key": "a", "course_runs": runs}]), retrieved_at=STARTED) as collected:
            line = collected.parts.content.reader().read().decode()
        assert '"min_effort":2,' in line
        assert '"estimated_hours":40.0,' in line
        assert '"seats":[{"price":"150.00","credit_hours":3}]' in line

    def test_columns(self) -> None:
        names = {
            PROGRAM_METADATA: """uuid title subtitle type status authoring_organizations data_modified_timestamp
                retrieved_at""",
            PROGRAM_COURSE_METADATA: "program_uuid course_key course_title course_short_description course_type",
            COURSE_METADATA: """course_key title owner short_description full_description level_type marketing_url image
                course_type subjects prerequisites prerequisites_raw modified retrieved_at""",
            COURSE_RUN_METADATA: """course_key run_key title short_description full_description marketing_url level_type
                languages start_on end_on enrollment_start enrollment_end announcement pacing_type enrollment_type
                availability status is_enrollable image seats staff weeks_to_complete min_effort max_effort
                estimated_hours modified retrieved_at""",
        }
        for table, columns in names.items():
            assert [*table.row.model_fields, *["retrieved_at"][: table.stamped]] == columns.split()


class TestVersions:
    def test_the_version_is_of_the_rows_without_the_time(self) -> None:
        with collect(COURSES, course_pages([course("b", "r"), course("a")]), retrieved_at=STARTED) as collected:
            for output in (collected.records, collected.parts):
                lines = output.content.reader().read().splitlines(keepends=True)
                stamp = b',"retrieved_at":"2026-03-01T05:00:00.123456+00:00"}\n'
                assert all(line.endswith(stamp) for line in lines)
                plain = b"".join(line.removesuffix(stamp) + b"}\n" for line in lines)
                assert output.version == hashlib.sha256(plain).hexdigest()

    def test_a_table_without_the_time_has_its_own_hash_as_version(self) -> None:
        page = {"count": 1, "results": [{"uuid": "u", "courses": [{"key": "b"}, {"key": "a"}]}]}
        pages = [Page[Program].parse(json.dumps(page).encode())]
        with collect(PROGRAMS, pages, retrieved_at=STARTED) as collected:
            assert collected.parts.version == collected.parts.content.sha256
            assert [row["course_key"] for row in rows(collected.parts)] == ["a", "b"]

    @settings(max_examples=50)
    @given(st.permutations([course(k, *(f"{k}/{n}" for n in range(i))) for i, k in enumerate("abcde")]), st.data())
    def test_order_pages_and_time_change_no_version(self, records: list[Response], data: st.DataObject) -> None:
        cut = data.draw(st.integers(0, len(records)))
        later = data.draw(st.datetimes(timezones=st.just(UTC)))
        with (
            collect(COURSES, course_pages(records[:cut], records[cut:]), retrieved_at=later) as shuffled,
            collect(COURSES, course_pages(sorted(records, key=lambda r: str(r["key"]))), retrieved_at=STARTED) as plain,
        ):
            for one, other in zip(shuffled, plain, strict=True):
                assert one.version == other.version
                assert [r | {"retrieved_at": ""} for r in rows(one)] == [r | {"retrieved_at": ""} for r in rows(other)]

    def test_a_changed_value_changes_its_table_and_the_raw_records_only(self) -> None:
        with (
            collect(COURSES, course_pages([course("a", "r")]), retrieved_at=STARTED) as before,
            collect(COURSES, course_pages([course("a", "r", title="new")]), retrieved_at=STARTED) as after,
        ):
            assert before.records.version != after.records.version
            assert before.parts.version == after.parts.version
            assert before.raw.version != after.raw.version


def raw_of(*results: str) -> tuple[list[str], str]:
    """The raw records that a page of these becomes, and their version."""
    body = f'{{"count": 1, "next": null, "results": [{",".join(results)}]}}'
    with collect(COURSES, [Page[Course].parse(body.encode())], retrieved_at=STARTED) as collected:
        assert collected.raw.row_count == len(rows(collected.raw))
        return collected.raw.content.reader().read().decode().split("\n"), collected.raw.version


class TestRawRecords:
    RUNS = '"course_runs": [{"key": "r", "availability": "Current", "seats": [{"price": "1.00"}]}]'

    def test_each_is_a_line_as_it_came_sorted_by_key(self) -> None:
        new = '"new": {"x": 1.10e5, "big": 12345678901234567890.10}'
        one = f'{{"uuid": "\\u00e9é \u2028", "key": "b", {new}, "course_runs": []}}'
        other = '{\n  "key": "a",\n  "course_runs": [\n    {"key": "r"}\n  ]\n}'
        lines, _ = raw_of(one, other)
        assert lines == [
            '{"key":"a","course_runs":[{"key":"r"}]}',
            '{"uuid":"\\u00e9é \u2028","key":"b","new":{"x":1.10e5,"big":12345678901234567890.10},"course_runs":[]}',
            "",
        ]

    def test_of_a_repeated_record_the_last_counts(self) -> None:
        lines, _ = raw_of('{"key": "a", "new": 1, "course_runs": []}', '{"key": "a", "new": 2, "course_runs": []}')
        assert lines == ['{"key":"a","new":2,"course_runs":[]}', ""]

    def test_what_moves_with_the_clock_makes_no_version_and_all_else_does(self) -> None:
        record = f'{{"key": "a", "enrollment_count": 1, "hours": 12345678901234567890.10, {self.RUNS}}}'
        _, version = raw_of(record)
        assert raw_of(record.replace("Current", "Archived"))[1] == version
        assert raw_of(record.replace('"availability": "Current", ', ""))[1] == version
        assert raw_of(record.replace("1.00", "1.01"))[1] != version
        assert raw_of(record.replace('"enrollment_count": 1', '"enrollment_count": 2'))[1] != version
        assert raw_of(record.replace("890.10", "890.11"))[1] != version

    def test_thirty_days_with_one_change_have_two_versions(self) -> None:
        versions = []
        for day in range(30):
            moving = ("Upcoming", "Starting Soon", "Current")[day % 3]
            record = f'{{"key": "a", "enrollment_count": {1 + (day > 17)}, {self.RUNS}}}'
            versions.append(raw_of(record.replace("Current", moving))[1])
        assert len(set(versions)) == 2
        assert versions == sorted(versions, key=versions.index)

    def test_a_number_that_json_does_not_have_is_an_error(self) -> None:
        with pytest.raises(BadInputError, match=r"the page is no JSON: .*\. Report it"):
            raw_of('{"key": "a", "new": NaN, "course_runs": []}')


def serve_answers(answers: dict[str, Response]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._say({"access_token": "t", "expires_in": 60})

        def do_GET(self) -> None:
            self._say(answers[self.path])

        def _say(self, body: Response) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
            """Keep the test's output clean."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class TestRealAnswers:
    """Answers that edX gave to other clients; those of the courses lack the fields of later years."""

    def _outputs(self, path: str, results: list[Response], listing: Any) -> list[list[Response]]:  # noqa: ANN401 - of either record
        pages: dict[str, Response] = {
            path: {"count": len(results), "next": f"{path}?page=2", "previous": None, "results": results[:1]},
            f"{path}?page=2": {"count": len(results), "next": None, "previous": path, "results": results[1:]},
        }
        server = serve_answers(pages)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            credentials = ApiCredentials("i", "s", f"http://127.0.0.1:{server.server_port}")
            with (
                OpenEdxApi.connect(lambda: credentials) as api,
                collect(listing, api.pages(path, listing.page), retrieved_at=STARTED) as collected,
            ):
                return [rows(output) for output in collected]
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def test_programs(self, real_data: Callable[[str], Path]) -> None:
        programs = json.loads(real_data("discovery-api/test_mitx_programs.json").read_text())
        got, courses, raw = self._outputs(PROGRAMS.path, programs, PROGRAMS)
        programs.sort(key=lambda program: program["uuid"])
        assert same_json(raw, programs)
        assert len(got) == 3
        assert same_json(got, [Expected.program(program) for program in programs])
        expected = [
            Expected.program_course(program, c)
            for program in programs
            for c in sorted(program["courses"], key=lambda c: c["key"])
        ]
        assert same_json(courses, expected)

    @pytest.mark.parametrize("name", ["test_mitx_course.json", "test_non_mitx_course.json"])
    def test_courses(self, name: str, real_data: Callable[[str], Path]) -> None:
        courses = json.loads(real_data(f"discovery-api/{name}").read_text())["results"]
        by_key = {c["key"]: c for c in courses}
        assert len(by_key) == len(courses)
        got, runs, raw = self._outputs(COURSES.path, courses, COURSES)
        assert same_json(raw, [by_key[key] for key in sorted(by_key)])
        assert same_json(got, [Expected.course(by_key[key]) for key in sorted(by_key)])
        expected = [Expected.run(by_key[k], r) for k in sorted(by_key) for r in by_key[k]["course_runs"]]
        assert same_json(runs, sorted(expected, key=lambda row: (row["course_key"], row["run_key"])))
        assert runs
        assert runs[0]["is_enrollable"] is None

"""Passports of LTI tools: secrets in a course, which no output has."""

from __future__ import annotations

import gzip
import io
import json
from html import escape
from typing import ClassVar

import pytest

from ol_orchestrate.lib.openedx import (
    StaticAssets,
    course_outputs,
    manifest_line,
    read_course,
)
from ol_orchestrate.lib.openedx.passports import text_without_passports
from ol_orchestrate.testing.course_exports import POINTER, block, course_of, export, rows

CANARY = "canary-7f3a"

PASSPORT = f"tool:key:{CANARY}"


class TestSecrets:
    AS_JSON = json.dumps({"lti_passports": [PASSPORT], "kept": 1})
    QUOTED = AS_JSON.replace('"', "&quot;")
    BASE: ClassVar[dict[str, str | bytes]] = {
        "course.xml": POINTER,
        "course/2024.xml": '<course><html url_name="h"/></course>',
    }
    LIST = json.dumps([PASSPORT]).replace('"', "&quot;")
    FILES: ClassVar[dict[str, str | bytes]] = {
        "course.xml": POINTER,
        "course/2024.xml": (
            f'<course lti_passports="{LIST}" other="{QUOTED}" display_name="T"><!-- lti_passports="{PASSPORT}" -->'
            f"<lti_passports><x>{CANARY}</x></lti_passports><lti_passports value='{PASSPORT}'/>"
            f'<chapter url_name="c" lti_passports="{LIST}"><html url_name="h" xml_attributes="{QUOTED}"/></chapter>'
            '<vertical url_name="v"/></course>'
        ),
        "vertical/v.xml": (
            f'<vertical><lti lti_passports="{LIST}">{AS_JSON}</lti><html url_name="i"><![CDATA[{AS_JSON}]]></html>'
            f'<problem>"lti_passports": ["a]b", \'{PASSPORT}\'] , and more</problem></vertical>'
        ),
        "vertical/w.xml": f'<vertical lti_passports="{LIST}"/>'.encode("utf-16"),
        "policies/2024/policy.json": json.dumps(
            {
                "course/2024": {
                    "lti_passports": [PASSPORT],
                    "tabs": [{"name": "x", "lti_passports": [PASSPORT]}],
                    "tags": [AS_JSON, f"lti_passports = '{PASSPORT}'"],
                    "discussions_settings": {"deep": [{"er": {"lti_passports": PASSPORT}}]},
                    "advanced_modules": [json.dumps({"again": AS_JSON})],
                    "certificates": {"certificates": [{"signatories": [{"lti_passports": [PASSPORT], "name": "N"}]}]},
                }
            }
        ),
        "policies/2024/grading_policy.json": json.dumps(
            {"GRADER": [{"lti_passports": PASSPORT}], "GRADE_CUTOFFS": {"lti_passports": PASSPORT}}
        ),
        "policies/old.txt": PASSPORT,
        "backup/policy.json": json.dumps({"lti_passports": [PASSPORT]}),
        "backup/course.xml.orig": f"<course lti_passports='{PASSPORT}'/>",
        "about/howto.html": "<p>Write your lti_passports into the advanced settings.</p>",
    }

    def test_passports_are_in_no_output(self) -> None:
        out = io.BytesIO()
        with StaticAssets() as assets:
            course = read_course(io.BytesIO(export(self.FILES)), static_assets=assets)
            assets.write_archive(out)
            delivered = {"manifest": manifest_line(assets.manifest()), "bundle": gzip.decompress(out.getvalue())}
        for name, output in course_outputs(course, source_system="prod").items():
            delivered[name] = b"".join(output.chunks("now"))
            assert delivered[name] or name == "course_video"
        delivered["objects"] = repr(course).encode()
        assert [name for name, data in delivered.items() if CANARY.encode() in data] == []

    def test_content_beside_passports_is_kept(self) -> None:
        with StaticAssets() as assets:
            course = read_course(io.BytesIO(export(self.FILES)), static_assets=assets)
            paths = [file["path"] for file in assets.manifest()["files"]]
        assert paths == ["about/howto.html"]
        assert {problem.path for problem in course.problems} == {
            "course/backup/policy.json",
            "course/backup/course.xml.orig",
        }
        assert dict(course.blocks[0].attributes) == {"other": '{"kept": 1}', "display_name": "T"}
        (policy,) = rows(course, "course_policy")
        assert policy["tabs"] == [{"name": "x"}]
        assert policy["discussions_settings"] == {"deep": [{"er": {}}]}
        assert rows(course, "course_certificate_signatory")[0]["name"] == "N"
        assert b"and more" in block(course, "v_problem_2").raw_xml

    def test_passports_of_a_course_that_is_whole_in_course_xml_are_left_out(self) -> None:
        text = f'<course url_name="2024" org="MITx" course="6.00x" lti_passports="{self.LIST}"/>'
        course = course_of({"course.xml": text, "course/2024.xml": "<course/>"})
        assert CANARY not in repr(course)
        assert course.blocks[0].path == "course/course.xml"
        assert [problem.path for problem in course.problems] == ["course/course/2024.xml"]

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 900 + AS_JSON + "]" * 900,
            "[" * 200 + AS_JSON + "]" * 200,
            f"lti_passports: ['{PASSPORT}', \"{PASSPORT}\"",
            f'lti_passports = "{PASSPORT}',
            f"lti_passports = '{PASSPORT}\\",
            f'{{"a": "{{\\"lti_passports\\": [\\"{PASSPORT}\\"]}}" broken',
            f"x='lti_passports=&quot;{PASSPORT}&quot;'",
            f"{{&#x27;lti_passports&#x27;: &apos;{PASSPORT}&apos;}}",
            f"{{&amp;quot;lti_passports&amp;quot;: [&amp;quot;{PASSPORT}&amp;quot;]}}",
            f"{{'lti_passports': [u'{PASSPORT}']}}",
            f"lti_passports = ('a:b:c', '{PASSPORT}')",
            f"lti_passports:\n  - other:x:y\n  - {PASSPORT}\n",
            f'1,"{{""lti_passports"": [""{PASSPORT}""]}}"',
            f'[{{"name": "lti_passports", "value": ["{PASSPORT}"]}}]',
            f'{{"lti_passports": {{"value": ["{PASSPORT}"], "help": ""}}',
            f"<dt>lti_passports</dt><dd>{PASSPORT}</dd>",
        ],
    )
    def test_passports_in_text_that_is_no_json_are_cut_out(self, text: str) -> None:
        cut = text_without_passports(text)
        assert CANARY not in cut
        assert "lti_passports" in cut
        files = self.BASE | {
            "html/h.xml": f"<html>{escape(text)}</html>",
            "about/x.txt": text,
            "x.csv": text.encode("utf-16"),
        }
        with StaticAssets() as assets:
            course = read_course(io.BytesIO(export(files)), static_assets=assets)
            assert assets.manifest()["file_count"] == 0
        assert CANARY.encode() not in block(course, "h").raw_xml

    @pytest.mark.parametrize(
        "text",
        [
            "The lti_passports of a course: see Advanced Settings, 'lti_passports'.",
            ":smile:1, about lti_passports",
            "lti_passports, since 2024-01-31T10:30:00.000Z or 10:30:00, of http://host:8000/x: 1:2",
        ],
    )
    def test_text_that_only_mentions_passports_stays(self, text: str) -> None:
        assert text_without_passports(text) == text
        page = f"<html><![CDATA[{text}]]></html>"
        files = {**self.BASE, "html/h.xml": page, "about/x.txt": text}
        with StaticAssets() as assets:
            course = read_course(io.BytesIO(export(files)), static_assets=assets)
            assert assets.manifest()["file_count"] == 1
        assert block(course, "h").raw_xml == page.encode()

    def test_a_file_without_the_name_has_no_passports(self) -> None:
        with StaticAssets() as assets:
            read_course(io.BytesIO(export(self.BASE | {"about/x.txt": "host:port:path"})), static_assets=assets)
            assert assets.manifest()["file_count"] == 1

    def test_the_text_behind_an_element_with_passports_stays(self) -> None:
        page = f"<html><lti_passports>{PASSPORT}</lti_passports> kept</html>"
        course = course_of(self.BASE | {"html/h.xml": page})
        assert block(course, "h").raw_xml == b"<html><lti_passports/> kept</html>"

    @pytest.mark.parametrize(
        "text",
        [
            *('lti_passports = "canary"', "lti_passports: 'canary'", '{"lti_passports":"canary"'),
            *("lti_passports&quot;: &quot;canary&quot;", "lti_passports&#34;: 'canary'", 'lti_passports\': "canary"'),
            *('lti_passports\\": \\"canary\\"', 'lti_passports": \\"c"a\\"', "lti_passports='a\\'canary'"),
            *(
                "lti_passports: [canary]",
                "lti_passports: [\"a]\", 'b]', canary, &amp;]",
                'lti_passports: [\\"a]canary\\"]',
            ),
            *("lti_passports: [&quot;a]canary&quot;]", 'lti_passports = ["a\\"]canary"]', "lti_passports=[]"),
        ],
    )
    def test_what_is_assigned_to_the_name_is_left_out_whatever_its_form(self, text: str) -> None:
        before, _, _ = text.partition("lti_passports")
        assert text_without_passports(f"{text} end") == f"{before}lti_passports (left out) end"
        files = self.BASE | {"about/x.txt": f"{text} end"}
        with StaticAssets() as assets:
            read_course(io.BytesIO(export(files)), static_assets=assets)
            assert assets.manifest()["file_count"] == 0

    @pytest.mark.parametrize("text", ["w" * 300 + ":key:value, and lti_passports", "an lti_passport"])
    def test_what_only_looks_like_passports_stays(self, text: str) -> None:
        assert text_without_passports(text) == text
        files = self.BASE | {"x.csv": text[-16:].encode("utf-16")}
        with StaticAssets() as assets:
            read_course(io.BytesIO(export(files)), static_assets=assets)
            assert assets.manifest()["file_count"] == ("passports" not in text)

    def test_passports_in_another_element_than_their_name_are_cut_out(self) -> None:
        page = f"<html><p>lti_passports:</p> <code>{PASSPORT}</code> 10:30 a:b {PASSPORT}</html>"
        assert CANARY.encode() not in block(course_of(self.BASE | {"html/h.xml": page}), "h").raw_xml

    @pytest.mark.parametrize(
        "text",
        [
            f'<html lti_passports="[tool:key:&{CANARY};]"/>',
            f"<html>lti_passports <tool:key:{CANARY}></html>",
            f'<html lti_passports="x" {CANARY}:x="1"/>',
            f"<html lti_passports='x'><?{CANARY} ",
        ],
    )
    def test_the_problem_of_a_broken_file_quotes_no_passport(self, text: str) -> None:
        course = course_of(self.BASE | {"html/h.xml": text})
        (problem,) = course.problems
        assert str(problem).startswith("course/html/h.xml:1:")
        assert "broken XML" in problem.what
        assert CANARY not in str(problem)

    @pytest.mark.parametrize(
        "path", ["policies/2024/policy.json", "policies/2024.json", "policies/2024/grading_policy.json"]
    )
    @pytest.mark.parametrize("text", [AS_JSON[:-1], AS_JSON + ",", "{'course/2024': " + AS_JSON, AS_JSON + "\\"])
    def test_the_problem_of_a_broken_policy_quotes_no_passport(self, path: str, text: str) -> None:
        with StaticAssets() as assets:
            files = {**self.BASE, path: text}
            course = read_course(io.BytesIO(export(files)), static_assets=assets)
            assert assets.manifest()["file_count"] == 0
        (problem,) = course.problems
        assert problem.path == f"course/{path}"
        assert CANARY not in repr(course)

    def test_a_secret_across_two_chunks_of_a_static_file_is_seen(self) -> None:
        filler = b"x" * ((256 << 10) - 8)
        with StaticAssets() as assets:
            files: dict[str, str | bytes] = {
                "course.xml": POINTER,
                "about/big.json": filler + b'"lti_passports": ["a:b:c"]',
            }
            read_course(io.BytesIO(export(files)), static_assets=assets)
            assert assets.manifest()["file_count"] == 0

"""Reading a course from an export, and the rows and files that are made from it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol_orchestrate.lib.openedx import (
    Block,
    BlockKey,
    Course,
    CourseExportError,
    StaticAssets,
    course_outputs,
    manifest_line,
    read_course,
)
from ol_orchestrate.lib.openedx.passports import text_without_passports

if TYPE_CHECKING:
    from collections.abc import Mapping

POINTER = '<course url_name="2024" org="MITx" course="6.00x"/>'


def export(files: Mapping[str, str | bytes], *, root: str = "course/") -> bytes:
    """An export with these files below its root folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(root + path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0)


def course_of(files: Mapping[str, str | bytes], *, root: str = "course/") -> Course:
    return read_course(io.BytesIO(export({"course.xml": POINTER} | dict(files), root=root)))


def rows(course: Course, output: str) -> list[dict[str, Any]]:
    lines = course_outputs(course, source_system="prod")[output].chunks("2024-05-06T00:00:00+00:00")
    return [json.loads(line) for line in lines]


def keys(course: Course) -> list[tuple[str, str]]:
    return [(block.key.block_type, block.key.block_id) for block in course.blocks]


def block(course: Course, block_id: str) -> Block:
    return next(each for each in course.blocks if each.key.block_id == block_id)


SMALL = {
    "course/2024.xml": '<course display_name="Small"><chapter url_name="c"/><wiki slug="x"/></course>',
    "chapter/c.xml": '<chapter display_name="C"><sequential url_name="s"/></chapter>',
    "sequential/s.xml": '<sequential><vertical url_name="v"/></sequential>',
    "vertical/v.xml": (
        '<vertical><html url_name="h"/><video url_name="inline" edx_video_id="id-1"><video_asset duration="12.5"/>'
        '</video><problem url_name="p"/><discussion/></vertical>'
    ),
    "html/h.xml": '<html filename="h" display_name="Page"/>',
    "html/h.html": "<p>Page</p>",
    "problem/p.xml": '<problem max_attempts="3" weight="1.5" markdown="&gt;&gt;Q&lt;&lt;"><choice>a</choice></problem>',
    "video/alone.xml": '<video url_name="alone" edx_video_id="id-2"/>',
}


class TestBlocks:
    def test_pointers_and_inline_blocks_stand_in_reading_order_and_orphans_last(self) -> None:
        course = course_of(SMALL)
        assert keys(course) == [
            ("course", "2024"),
            ("chapter", "c"),
            ("sequential", "s"),
            ("vertical", "v"),
            ("html", "h"),
            ("video", "inline"),
            ("problem", "p"),
            ("discussion", "v_discussion_1"),
            ("video", "alone"),
        ]
        assert [each.parent and each.parent.block_id for each in course.blocks] == [
            None, "2024", "c", "s", "v", "v", "v", "v", None,
        ]  # fmt: skip
        assert course.problems == ()
        assert course.missing == ()

    def test_an_inline_block_names_the_file_it_stands_in_and_holds_its_own_xml_only(self) -> None:
        inline = block(course_of(SMALL), "inline")
        assert inline.path == "course/vertical/v.xml"
        assert inline.raw_xml == (
            b'<video url_name="inline" edx_video_id="id-1"><video_asset duration="12.5"/></video>'
        )

    def test_elements_that_are_no_blocks_have_no_row(self) -> None:
        course = course_of(
            {
                "course/2024.xml": '<course><!-- <chapter url_name="no"/> --><textbook title="t"/><?pi x?></course>',
                "html/h.xml": "<html><video src='film.mp4'/></html>",
                "drafts/vertical/d.xml": "<vertical/>",
                "static/x.xml": "<x/>",
                "assets/assets.xml": "<assets/>",
                "tabs/t.xml": "<t/>",
                "poll/p.xml": '<poll><tagging xblock-family="xblock_asides.v1" url_name="a"/></poll>',
            }
        )
        assert keys(course) == [("course", "2024"), ("html", "h"), ("poll", "p")]

    def test_only_marked_elements_inside_an_unknown_xblock_are_blocks(self) -> None:
        course = course_of(
            {"maze/m.xml": '<maze><wall/><video url_name="w" sub="x"/><cell xblock-family="xblock.v1"/></maze>'}
        )
        assert keys(course)[1:] == [("maze", "m"), ("video", "w"), ("cell", "m_cell_1")]

    def test_a_child_without_a_definition_is_missing(self) -> None:
        course = course_of({"course/2024.xml": '<course><chapter url_name="gone"/></course>'})
        assert [tuple(reference) for reference in course.missing] == [(("course", "2024"), ("chapter", "gone"))]

    @pytest.mark.parametrize("element", ['<video url_name="b" youtube="1:y"/>', '<video url_name="b">text</video>'])
    def test_an_element_that_is_more_than_a_pointer_is_the_block_and_its_file_is_listed(self, element: str) -> None:
        vertical = f'<vertical><video url_name="a" youtube="1:x"/>{element}</vertical>'
        files = {
            "vertical/v.xml": vertical,
            "video/b.xml": '<video edx_video_id="own"><html url_name="i">x</html></video>',
        }
        course = course_of({"course/2024.xml": "<course/>"} | files)
        assert block(course, "a").attributes["youtube"] == "1:x"
        assert block(course, "b").raw_xml == element.encode()
        assert keys(course)[1:] == [("vertical", "v"), ("video", "a"), ("video", "b")]
        assert [(problem.path, problem.what) for problem in course.problems] == [
            ("course/video/b.xml", 'not used: <video url_name="b"/> is defined inline in course/vertical/v.xml')
        ]

    def test_a_file_before_an_inline_definition_of_its_name_is_used(self) -> None:
        files = {
            "course/2024.xml": '<course><vertical url_name="z"/><vertical url_name="a"/></course>',
            "vertical/z.xml": '<vertical><html url_name="x"/></vertical>',
            "vertical/a.xml": '<vertical><html url_name="x" display_name="inline"/></vertical>',
            "html/x.xml": "<html/>",
        }
        course = course_of(files)
        assert (block(course, "x").path, block(course, "x").parent) == ("course/html/x.xml", ("vertical", "z"))
        (problem,) = course.problems
        assert problem.path == "course/vertical/a.xml"
        assert problem.what.startswith('another definition of <html url_name="x"/>; the first one in reading order')

    def test_the_first_inline_definition_in_reading_order_gives_parent_and_content(self) -> None:
        unit = '<vertical><html url_name="x">{}<problem url_name="{}">in it</problem></html></vertical>'
        units = "".join(f'<vertical url_name="{name}"/>' for name in "zba")
        files = {
            "course/2024.xml": f"<course>{units}</course>",
            "vertical/z.xml": '<vertical><html url_name="x"/></vertical>',
            "vertical/b.xml": unit.format("first", "p"),
            "vertical/a.xml": unit.format("second", "q"),
        }
        course = course_of(files)
        assert block(course, "x").parent == ("vertical", "b")
        assert b"first" in block(course, "x").raw_xml
        assert [key for key in keys(course) if key[0] != "vertical"] == [
            ("course", "2024"),
            ("html", "x"),
            ("problem", "p"),
        ]
        assert [(problem.path, problem.what.partition(" <")[0]) for problem in course.problems] == [
            ("course/vertical/z.xml", "a second use of"),
            ("course/vertical/a.xml", "another definition of"),
        ]
        assert course.missing == ()

    def test_one_inline_definition_in_two_places_is_a_second_use(self) -> None:
        unit = '<html url_name="x">same</html>'
        chapter = f'<vertical url_name="a">{unit}</vertical><vertical url_name="b">{unit}</vertical>'
        course = course_of({"course/2024.xml": f'<course><chapter url_name="c">{chapter}</chapter></course>'})
        assert block(course, "x").parent == ("vertical", "a")
        assert [problem.what[:12] for problem in course.problems] == ["a second use"]

    def test_the_first_definition_of_an_orphan_is_used(self) -> None:
        files = {
            "course/2024.xml": "<course/>",
            "vertical/a.xml": '<vertical><vertical url_name="b"/></vertical>',
            "vertical/b.xml": '<vertical><html url_name="x">first</html></vertical>',
            "vertical/c.xml": '<vertical><html url_name="x">second</html></vertical>',
        }
        course = course_of(files)
        assert keys(course)[1:] == [("vertical", "a"), ("vertical", "b"), ("html", "x"), ("vertical", "c")]
        assert block(course, "x").parent == ("vertical", "b")
        assert b"first" in block(course, "x").raw_xml
        assert [problem.path for problem in course.problems] == ["course/vertical/c.xml"]

    def test_blocks_below_an_element_that_is_no_block_are_children_of_the_block_above(self) -> None:
        inside = (
            '<group name="a"><html url_name="h"/><problem>1</problem></group><default><video/></default><textbook>'
            '<chapter/></textbook><wiki><html url_name="w" x="1"/></wiki><!-- <group/> -->'
        )
        sequential = f'<sequential><problem>0</problem><abtest url_name="t" experiment="e">{inside}</abtest>'
        sequential += "<section><section><discussion/></section></section></sequential>"
        course = course_of({"course/2024.xml": "<course/>", "sequential/s.xml": sequential, "html/h.xml": "<html/>"})
        assert keys(course)[1:] == [
            ("sequential", "s"),
            ("problem", "s_problem_1"),
            ("html", "h"),
            ("problem", "s_problem_2"),
            ("video", "s_video_3"),
            ("html", "w"),
            ("discussion", "s_discussion_4"),
        ]
        assert {each.parent for each in course.blocks[2:]} == {("sequential", "s")}
        assert course.problems == ()
        assert course.missing == ()

    def test_only_marked_elements_deep_in_a_leaf_are_blocks(self) -> None:
        problem = (
            '<problem><section><p><video src="film.mp4"/><video url_name="v" sub="x"/></p><group/></section></problem>'
        )
        course = course_of({"course/2024.xml": "<course/>", "problem/p.xml": problem})
        assert keys(course)[1:] == [("problem", "p"), ("video", "v")]
        assert block(course, "v").parent == ("problem", "p")

    def test_blocks_in_the_file_of_an_element_that_is_no_block_have_the_place_of_the_pointer_to_it(self) -> None:
        pointer = '<abtest url_name="t"/>'
        group = f'<group><video url_name="v"/><section url_name="u"/>{pointer}</group>'
        files = {
            "course/2024.xml": f"<course><html>1</html>{pointer}<html>2</html>{pointer}</course>",
            "abtest/t.xml": f"<abtest>{group}</abtest>",
            "section/u.xml": "<section><problem>3</problem></section>",
            "section/loose.xml": '<section><html url_name="l">4</html></section>',
            "video/v.xml": "<video/>",
        }
        course = course_of(files)
        assert [(each.key.block_id, each.parent and each.parent.block_id) for each in course.blocks] == [
            ("2024", None),
            ("2024_html_1", "2024"),
            ("v", "2024"),
            ("u_problem_1", "2024"),
            ("2024_html_2", "2024"),
            ("l", None),
        ]
        assert course.blocks[0].children == tuple(each.key for each in course.blocks[1:5])
        second = 'a second use of <abtest url_name="t"/>; left out here'
        assert [problem.what for problem in course.problems] == [second, second]

    def test_a_pointer_to_a_missing_file_of_groups_is_missing(self) -> None:
        course = course_of({"course/2024.xml": '<course><abtest url_name="t"/></course>'})
        assert [tuple(reference.child) for reference in course.missing] == [("abtest", "t")]

    def test_a_colon_in_a_name_is_a_folder(self) -> None:
        course = course_of(
            {"course/2024.xml": '<course><html url_name="week:1"/></course>', "html/week/1.xml": "<html/>"}
        )
        assert keys(course) == [("course", "2024"), ("html", "week:1")]
        assert course.missing == ()

    def test_a_cycle_ends_and_is_reported(self) -> None:
        files = {
            "course/2024.xml": '<course><chapter url_name="a"/></course>',
            "chapter/a.xml": '<chapter><sequential url_name="b"/></chapter>',
            "sequential/b.xml": '<sequential><chapter url_name="a"/></sequential>',
        }
        course = course_of(files)
        assert len(course.blocks) == 3
        assert [(problem.path, problem.what[:7]) for problem in course.problems] == [
            ("course/sequential/b.xml", "a cycle")
        ]

    def test_a_block_used_twice_has_one_row_and_its_first_parent(self) -> None:
        files = {
            "course/2024.xml": '<course><chapter url_name="a"/><chapter url_name="b"/></course>',
            "chapter/a.xml": '<chapter><html url_name="x"/></chapter>',
            "chapter/b.xml": '<chapter><html url_name="x"/><html url_name="x"/></chapter>',
            "html/x.xml": "<html/>",
        }
        course = course_of(files)
        assert block(course, "x").parent == BlockKey("chapter", "a")
        assert [each.key.block_id for each in course.blocks].count("x") == 1
        assert [problem.what[:12] for problem in course.problems] == ["a second use"] * 2

    def test_deeply_nested_blocks_are_read(self) -> None:
        depth = 2_000
        files = {f"vertical/{n}.xml": f'<vertical><vertical url_name="{n + 1}"/></vertical>' for n in range(depth)}
        course = course_of(files | {"course/2024.xml": '<course><vertical url_name="0"/></course>'})
        assert len(course.blocks) == depth + 1
        assert course.blocks[-1].key.block_id == str(depth - 1)


class TestOddExports:
    @pytest.mark.parametrize("root", ["", "./", "course/", "MITx-6.00x-2024/", "static/", "deep/er/"])
    def test_the_root_folder_may_be_any_or_none(self, root: str) -> None:
        with StaticAssets() as assets:
            files = {"course.xml": POINTER, **SMALL, "about/overview.html": "<p/>", "static/a.png": "x"}
            course = read_course(io.BytesIO(export(files, root=root)), static_assets=assets)
            assert len(course.blocks) == 9
            assert [file["path"] for file in assets.manifest()["files"]] == ["about/overview.html", "html/h.html"]
        assert course.problems == ()

    def test_appledouble_files_are_no_files(self) -> None:
        doubles = (
            "._course",
            "course/._course.xml",
            "course/html/._h.xml",
            "course/about/._a.html",
            "__MACOSX/c/x.xml",
        )
        files = {"course/course.xml": POINTER, "course/course/2024.xml": "<course/>"}
        data = export({**dict.fromkeys(doubles, "\0\5\x16\7"), **files}, root="")
        with StaticAssets() as assets:
            course = read_course(io.BytesIO(data), static_assets=assets)
            assert assets.manifest()["file_count"] == 0
        assert (course.course_id, len(course.blocks), course.problems) == ("course-v1:MITx+6.00x+2024", 1, ())

    def test_a_course_inline_in_course_xml_is_read(self) -> None:
        text = (
            '<course url_name="r" org="o" course="n" display_name="T"><chapter url_name="c"><html/></chapter></course>'
        )
        course = course_of({"course.xml": text})
        assert keys(course) == [("course", "r"), ("chapter", "c"), ("html", "c_html_1")]
        assert course.attributes["display_name"] == "T"
        assert course.problems == ()

    @pytest.mark.parametrize("more", [' display_name="T"', ' slug="s"'])
    def test_a_course_xml_that_is_no_pointer_is_the_course_and_the_file_is_listed(self, more: str) -> None:
        files = {
            "course.xml": POINTER.replace("/>", f'{more}><html url_name="alone"/></course>'),
            "html/alone.xml": "<html/>",
        }
        course = course_of(SMALL | files)
        assert keys(course)[:3] == [("course", "2024"), ("html", "alone"), ("chapter", "c")]
        assert course.blocks[0].path == "course/course.xml"
        assert [problem.path for problem in course.problems] == ["course/course/2024.xml"]
        assert "not used" in course.problems[0].what

    @pytest.mark.parametrize(
        ("url_name", "course_id", "run", "listed"),
        [
            ("course", "MITx-6.00x-1T2016", "1T2016", False),
            ("course", "MITx-6.00x-2012_Fall-A-ccx-2", "2012_Fall-A", False),
            ("course", "MITx-7.00x-1T2016", "1T2016", True),
            ("course", None, "course", True),
            ("2024", "MITx-6.00x-2024", "2024", False),
            ("2024", "MITx-6.00x-2024-ccx-12", "2024", False),
            ("2024", "MITx-6.00x-2023", "2024", True),
            ("2024", "HarvardX-6.00x-2024", "2024", True),
            ("2024", None, "2024", False),
        ],
    )
    def test_the_exports_name_tells_the_run_where_the_course_does_not(
        self, url_name: str, course_id: str | None, run: str, *, listed: bool
    ) -> None:
        files = {
            "course.xml": POINTER.replace("2024", url_name),
            f"course/{url_name}.xml": "<course/>",
            f"policies/{url_name}/policy.json": json.dumps({f"course/{url_name}": {"tags": ["t"]}}),
        }
        course = read_course(io.BytesIO(export(files)), course_id=course_id)
        (metadata,) = rows(course, "course_metadata")
        assert (metadata["course_id"], metadata["semester"]) == (f"course-v1:MITx+6.00x+{run}", run)
        assert rows(course, "course_policy")[0]["tags"] == ["t"]
        assert keys(course) == [("course", url_name)]
        assert [problem.path for problem in course.problems] == ["course/course.xml"] * listed

    def test_a_course_without_its_file_has_a_row_and_a_problem(self) -> None:
        course = course_of({})
        assert keys(course) == [("course", "2024")]
        assert course.problems[0].path == "course/course/2024.xml"

    def test_org_and_number_may_stand_in_the_courses_own_file(self) -> None:
        course = course_of({"course.xml": '<course url_name="r"/>', "course/r.xml": '<course org="o" number="n"/>'})
        assert course.course_id == "course-v1:o+n+r"

    def test_the_only_file_in_course_names_the_run(self) -> None:
        course = course_of({"course.xml": '<course org="o" course="n"/>', "course/r.xml": "<course/>"})
        assert course.run == "r"

    def test_one_file_in_roots_stands_for_course_xml(self) -> None:
        data = export({"roots/2024.xml": POINTER, **SMALL})
        assert len(read_course(io.BytesIO(data)).blocks) == 9

    def test_the_other_runs_of_a_repository_are_left_out_and_reported(self) -> None:
        course = course_of(SMALL | {"roots/2024.xml": POINTER, "course/2023.xml": "<course/>"})
        assert len(course.blocks) == 9
        assert [problem.path for problem in course.problems] == ["course/course/2023.xml"]

    def test_a_template_or_any_broken_file_is_reported_with_its_place_and_the_rest_is_there(self) -> None:
        template = "<chapter>\n  % for n in range(3):\n  <html url_name=${n}/>\n</chapter>"
        course = course_of(SMALL | {"chapter/c.xml": template, "html/h.xml": "<html>&nbsp;</html>"})
        assert [(problem.path, problem.line) for problem in course.problems] == [
            ("course/chapter/c.xml", 3),
            ("course/html/h.xml", 1),
        ]
        assert [problem.column for problem in course.problems] == [18, 13]
        assert {tuple(reference.child) for reference in course.missing} == {("chapter", "c"), ("html", "h")}
        assert len(course.blocks) == 7

    def test_a_course_file_that_is_broken_leaves_the_row_from_the_pointer(self) -> None:
        course = course_of(SMALL | {"course/2024.xml": "<course display_name='T'>"})
        assert course.blocks[0].path == "course/course.xml"
        assert course.blocks[0].key == BlockKey("course", "2024")
        assert {problem.path for problem in course.problems} == {"course/course/2024.xml"}

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
    def test_documents_may_be_in_other_encodings(self, encoding: str) -> None:
        declaration = "<?xml version='1.0' encoding='iso-8859-1'?>" if encoding == "latin-1" else ""
        text = f"{declaration}<html display_name='Einführung'/>"
        course = course_of(SMALL | {"html/h.xml": text.encode(encoding)})
        assert block(course, "h").attributes["display_name"] == "Einführung"
        assert "Einführung" in block(course, "h").raw_xml.decode()

    @pytest.mark.parametrize("declared", ["utf-16", "UTF-16LE", "iso-8859-1", "windows-1251", "nonsense"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_what_is_utf_8_is_read_as_that_whatever_it_declares(self, declared: str, mark: bytes) -> None:
        text = f"<?xml version='1.0' encoding='{declared}'?>\n<html display_name='Einführung 東'/>"
        course = course_of(SMALL | {"html/h.xml": mark + text.encode()})
        assert course.problems == ()
        assert block(course, "h").attributes["display_name"] == "Einführung 東"

    def test_names_in_decomposed_unicode_and_in_latin_1_are_found(self) -> None:
        files = {
            "course/2024.xml": '<course><html url_name="é"/><html url_name="ü"/></course>',
            "html/e\u0301.xml": "<html/>",
        }
        data = bytearray(gzip.decompress(export({"course.xml": POINTER, **files, "html/ZZ.xml": "<html/>"})))
        place = data.index(b"course/html/ZZ.xml")
        data[place : place + 18] = "course/html/ü.xml".encode("latin-1") + b"\0"
        header = data[place : place + 512]
        header[148:156] = b" " * 8
        data[place + 148 : place + 156] = b"%06o\0 " % sum(header)
        course = read_course(io.BytesIO(gzip.compress(bytes(data))))
        assert keys(course)[1:] == [("html", "é"), ("html", "ü")]
        assert course.missing == ()
        assert (
            json.loads(b"".join(course_outputs(course, source_system="prod")["course_video"].chunks("")) or "{}") == {}
        )


class TestPolicies:
    def test_the_policy_of_the_run_is_read(self) -> None:
        policy = {
            "tabs": [1],
            "tags": ["t"],
            "self_paced": "false",
            "display_coursenumber": "X",
            "advanced_modules": ["a"],
        }
        course = course_of(SMALL | {"policies/2024/policy.json": json.dumps({"course/2024": policy, "chapter/c": {}})})
        assert rows(course, "course_policy") == [
            {
                "course_id": "course-v1:MITx+6.00x+2024",
                "advanced_modules": ["a"],
                "discussions_settings": {},
                "display_coursenumber": "X",
                "self_paced": False,
                "tabs": [1],
                "tags": ["t"],
            }
        ]

    def test_a_policy_overrides_the_xml_of_a_block(self) -> None:
        policy = {
            "course/2024": {
                "display_name": "T",
                "start": "2024-01-01T00:00:00Z",
                "end": None,
                "self_paced": True,
                "instructor_info": {"instructors": []},
            },
            "chapter/c": {"display_name": None},
            "problem/p": {"max_attempts": 5, "weight": 2.5, "markdown": None},
            "video/inline": {"edx_video_id": "id-9", "display_name": 7},
            "html/week:1": {"display_name": "Week"},
        }
        attributes = 'display_name="X" start="2020" end="2021" self_paced="false" enrollment_start="2019"'
        files = {
            "course/2024.xml": f'<course {attributes}><chapter url_name="c"/><html url_name="week:1"/></course>',
            "html/week/1.xml": "<html/>",
            "policies/2024/policy.json": json.dumps(policy),
        }
        course = course_of(SMALL | files)
        (metadata,) = rows(course, "course_metadata")
        assert (metadata["title"], metadata["course_start"], metadata["course_end"]) == (
            "T",
            "2024-01-01T00:00:00Z",
            None,
        )
        assert (metadata["self_paced"], metadata["instructor_info"]) == (True, '{"instructors": []}')
        assert metadata["enrollment_start"] == "2019"
        by_id = {row["block_id"]: row for row in rows(course, "course_xml_blocks")}
        assert {name: row["block_display_name"] for name, row in by_id.items() if row["block_display_name"]} == {
            "2024": "T",
            "inline": "7",
            "week:1": "Week",
            "h": "Page",
        }
        assert [by_id["p"][name] for name in ("max_attempts", "weight", "markdown")] == ["5", "2.5", None]
        assert by_id["p"]["xml_attributes"] == {"max_attempts": "3", "weight": "1.5", "markdown": ">>Q<<"}
        assert by_id["2024"]["xml_attributes"]["display_name"] == "X"
        assert by_id["inline"]["edx_video_id"] == "id-9"
        assert [row["edx_video_id"] for row in rows(course, "course_video")] == ["id-9", "id-2"]
        assert course.problems == ()

    def test_a_policy_of_a_block_that_is_no_object_is_listed_and_overrides_nothing(self) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": '{"course/2024": {}, "chapter/c": "x"}'})
        (problem,) = course.problems
        assert (problem.path, problem.what) == (
            "course/policies/2024/policy.json",
            "'chapter/c' is no object; it overrides nothing",
        )

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_numbers_that_json_has_not_are_read_as_null_and_listed(self, number: str) -> None:
        text = f'{{"course/2024": {{"tags": [{number}, 1.5, {number}], "weight": {number}}}}}'
        course = course_of(SMALL | {"policies/2024/policy.json": text})
        assert rows(course, "course_policy")[0]["tags"] == [None, 1.5, None]
        (problem,) = course.problems
        assert problem.path == "course/policies/2024/policy.json"
        assert "are read as null; there are 3" in problem.what

    def test_policies_in_their_older_places_are_read(self) -> None:
        policy = json.dumps({"course/2024": {"tags": ["old"]}})
        grading = json.dumps({"GRADER": [{"type": "HW"}], "GRADE_CUTOFFS": {"Pass": 0.5}})
        course = course_of(
            SMALL | {"policies/2024.json": policy, "grading_policy.json": grading, "policies/x.py": "x = 1"}
        )
        assert rows(course, "course_policy")[0]["tags"] == ["old"]
        assert rows(course, "course_grading_policy") == [
            {
                "course_id": "course-v1:MITx+6.00x+2024",
                "graders": [{"type": "HW"}],
                "grade_cutoffs": {"Pass": 0.5},
            }
        ]

    def test_a_policy_that_kept_its_old_runs_name_is_used(self) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": '{"course/2023": {"tags": ["kept"]}}'})
        assert rows(course, "course_policy")[0]["tags"] == ["kept"]

    def test_policies_of_another_run_are_not_this_runs(self) -> None:
        course = course_of(SMALL | {"policies/2023/policy.json": '{"course/2023": {"tags": ["other"]}}'})
        assert rows(course, "course_policy") == []
        assert [problem.path for problem in course.problems] == ["course/policies/2023/policy.json"]

    @pytest.mark.parametrize(
        ("text", "line", "column"),
        [
            ('{"course/2024":\n  {"tabs": [}}', 2, 13),
            ("[" * 5_000 + "]" * 5_000, None, None),
        ],
    )
    def test_broken_json_is_reported_with_its_place_and_the_rest_is_there(
        self, text: str, line: int | None, column: int | None
    ) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": text, "policies/2024/grading_policy.json": "{}"})
        (problem,) = course.problems
        assert (problem.path, problem.line, problem.column) == ("course/policies/2024/policy.json", line, column)
        assert len(course.blocks) == 9
        assert rows(course, "course_grading_policy")[0]["graders"] == []

    def test_signatories_have_their_own_fields_and_their_certificate(self) -> None:
        signatory = {
            "id": 7,
            "name": "N",
            "title": "T",
            "organization": "O",
            "signature_image_path": "",
            "certificate": None,
        }
        certificates = {"certificates": [{"id": 3, "signatories": [signatory, signatory | {"id": 8}]}, {"id": 4}]}
        policy = json.dumps({"course/2024": {"certificates": certificates}})
        course = course_of(SMALL | {"policies/2024/policy.json": policy})
        expected = {**signatory, "certificate_id": 3, "course_id": "course-v1:MITx+6.00x+2024"}
        assert rows(course, "course_certificate_signatory") == [expected, expected | {"id": 8}]

    @pytest.mark.parametrize("certificates", [[], "x", {"certificates": [3]}, {"certificates": [{"signatories": [1]}]}])
    def test_certificates_of_another_shape_cost_no_more_than_themselves(self, certificates: object) -> None:
        policy = json.dumps({"course/2024": {"certificates": certificates, "tags": ["t"]}})
        course = course_of(SMALL | {"policies/2024/policy.json": policy})
        assert rows(course, "course_certificate_signatory") == []
        assert rows(course, "course_policy")[0]["tags"] == ["t"]


class TestRows:
    def test_the_row_of_course_metadata_has_the_settings_of_the_run(self) -> None:
        attributes = {
            "display_name": "T",
            "start": '"2020-01-01T00:00:00Z"',
            "end": "soon",
            "enrollment_start": "a",
            "enrollment_end": "b",
            "self_paced": '"true"',
            "instructor_info": '{"instructors": []}',
        }
        text = "".join(f" {name}='{value}'" for name, value in attributes.items())
        assert rows(course_of({"course/2024.xml": f"<course{text}/>"}), "course_metadata") == [
            {
                "course_id": "course-v1:MITx+6.00x+2024",
                "institution": "MITx",
                "course_number": "6.00x",
                "semester": "2024",
                "title": "T",
                "course_start": "2020-01-01T00:00:00Z",
                "course_end": "soon",
                "enrollment_start": "a",
                "enrollment_end": "b",
                "self_paced": True,
                "instructor_info": '{"instructors": []}',
            }
        ]

    @pytest.mark.parametrize(
        ("text", "date"),
        [
            ('"2016-01-01T00:00:00+00:00"', "2016-01-01T00:00:00+00:00"),
            (' "January 1, 2016" ', "January 1, 2016"),
            ("null", None),
            ("2016", "2016"),
            ('"2016', '"2016'),
            ('"a" or "b"', '"a" or "b"'),
            ("[" * 5_000, "[" * 5_000),
            ("", ""),
        ],
    )
    def test_a_date_in_json_quotes_is_unwrapped(self, text: str, date: str | None) -> None:
        names = {"start": "course_start", "end": "course_end"} | {
            name: name for name in ("enrollment_start", "enrollment_end")
        }
        course = course_of({"course/2024.xml": "<course " + " ".join(f"{name}='{text}'" for name in names) + "/>"})
        (row,) = rows(course, "course_metadata")
        assert {row[column] for column in names.values()} == {date}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("self_paced='true'", True),
            ("self_paced='false'", False),
            ("self_paced='&quot;false&quot;'", False),
            ("self_paced='&quot;True&quot;'", True),
            ("self_paced=''", False),
            ("", False),
        ],
    )
    def test_self_paced_is_a_real_boolean(self, text: str, *, expected: bool) -> None:
        course = course_of({"course/2024.xml": f"<course {text}/>"})
        assert rows(course, "course_metadata")[0]["self_paced"] is expected

    def test_course_video_has_a_row_for_each_video_wherever_it_stands(self) -> None:
        common = {"course_id": "course-v1:MITx+6.00x+2024"}
        assert rows(course_of(SMALL), "course_video") == [
            common | {"video_block_id": "inline", "edx_video_id": "id-1", "duration": "12.5"},
            common | {"video_block_id": "alone", "edx_video_id": "id-2", "duration": None},
        ]

    def test_course_xml_blocks_has_a_row_for_each_block(self) -> None:
        by_id = {row["block_id"]: row for row in rows(course_of(SMALL), "course_xml_blocks")}
        assert len(by_id) == 9
        assert by_id["p"] == {
            "course_id": "course-v1:MITx+6.00x+2024",
            "source_system": "prod",
            "block_id": "p",
            "block_type": "problem",
            "block_display_name": "",
            "block_parent": "v",
            "xml_attributes": {"max_attempts": "3", "weight": "1.5", "markdown": ">>Q<<"},
            "xml_path": "course/problem/p.xml",
            "raw_xml": SMALL["problem/p.xml"],
            "retrieved_at": "2024-05-06T00:00:00+00:00",
            "edx_video_id": None,
            "duration": None,
            "max_attempts": "3",
            "weight": "1.5",
            "markdown": ">>Q<<",
        }
        assert by_id["2024"]["block_parent"] is None
        assert by_id["2024"]["block_display_name"] == "Small"
        assert (by_id["inline"]["edx_video_id"], by_id["inline"]["duration"]) == ("id-1", "12.5")
        assert by_id["h"]["raw_xml"] == SMALL["html/h.xml"]

    def test_lines_are_utf_8_and_one_object_each(self) -> None:
        name = 'Größe\u2028\u0085 "x" 東'
        attribute = name.replace('"', "&quot;").replace("\u0085", "&#133;")
        course = course_of({"course/2024.xml": f'<course display_name="{attribute}"/>'})
        (line,) = course_outputs(course, source_system="prod")["course_metadata"].chunks("")
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        assert json.loads(line)["title"] == name
        assert "東".encode() in line

    def test_a_lone_surrogate_in_a_policy_does_not_break_the_line(self) -> None:
        course = course_of(SMALL | {"policies/2024/policy.json": '{"course/2024": {"tags": ["\\ud800"]}}'})
        assert rows(course, "course_policy")[0]["tags"] == ["?"]


class TestDataVersions:
    def test_the_data_version_leaves_out_the_time(self) -> None:
        output = course_outputs(course_of(SMALL), source_system="prod")["course_xml_blocks"]
        lines = [json.loads(line) for line in output.chunks("2024")]
        for line in lines:
            assert line.pop("retrieved_at") == "2024"
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        assert output.data_version() == hashlib.sha256(content.encode()).hexdigest()

    def test_the_version_of_an_output_without_a_time_is_that_of_its_bytes(self) -> None:
        output = course_outputs(course_of(SMALL), source_system="prod")["course_video"]
        assert output.data_version() == hashlib.sha256(b"".join(output.chunks("2024"))).hexdigest()

    def test_the_order_of_the_archive_changes_nothing(self) -> None:
        files = {"course.xml": POINTER, **SMALL, "about/a.html": "<p/>", "about/b.html": "<p/>"}
        results = []
        for items in (files.items(), reversed(files.items())):
            out = io.BytesIO()
            with StaticAssets() as assets:
                course = read_course(io.BytesIO(export(dict(items))), static_assets=assets)
                assets.write_archive(out)
                outputs = course_outputs(course, source_system="prod").values()
                versions = [output.data_version() for output in outputs]
                results.append((versions, assets.manifest(), out.getvalue()))
        assert results[0] == results[1]

    def test_any_change_of_content_changes_the_version(self) -> None:
        changed = course_of(SMALL | {"problem/p.xml": '<problem weight="2"/>'})
        for name, output in course_outputs(course_of(SMALL), source_system="prod").items():
            same = output.data_version() == course_outputs(changed, source_system="prod")[name].data_version()
            assert same == (name != "course_xml_blocks")


class TestStaticAssets:
    FILES: ClassVar[dict[str, str | bytes]] = {
        "about/overview.html": "<p>Überblick</p>",
        "html/h.html": "<p/>",
        "LICENSE": "free",
        "python_lib/a b.py": "x = 1\n",
        "tabs/é.srt": b"\xff\0",
        "static/no.png": "no",
        "assets/no.txt": "no",
        "drafts/html/no.html": "no",
        "policies/2024/no.txt": "no",
        "policies/no.py": "no",
    }
    PATHS = ("LICENSE", "about/overview.html", "html/h.html", "python_lib/a b.py", "tabs/é.srt")

    def bundle(self) -> tuple[bytes, dict[str, Any]]:
        out = io.BytesIO()
        with StaticAssets() as assets:
            read_course(io.BytesIO(export({"course.xml": POINTER, **self.FILES})), static_assets=assets)
            assets.write_archive(out)
            return out.getvalue(), json.loads(manifest_line(assets.manifest()))

    def test_the_bundle_holds_the_files_that_are_not_xml(self) -> None:
        bundle, manifest = self.bundle()
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:gz") as tar:
            found = {}
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                found[member.name] = content.read()
                assert (member.mtime, member.uid, member.uname, member.mode) == (0, 0, "", 0o644)
        expected = {path: self.FILES[path] for path in self.PATHS}
        assert found == {path: text.encode() if isinstance(text, str) else text for path, text in expected.items()}
        assert list(found) == sorted(found)
        assert [file["path"] for file in manifest["files"]] == list(self.PATHS)

    def test_the_manifest_tells_size_type_and_hash(self) -> None:
        _, manifest = self.bundle()
        assert manifest["file_count"] == 5
        assert manifest["files"][4] == {
            "path": "tabs/é.srt",
            "mime_type": "application/x-subrip",
            "size_bytes": 2,
            "sha256": hashlib.sha256(b"\xff\0").hexdigest(),
        }
        assert [file["mime_type"] for file in manifest["files"][:2]] == ["application/octet-stream", "text/html"]
        listing = "".join(f"{file['sha256']}  {file['path']}\n" for file in manifest["files"])
        assert manifest["data_version"] == hashlib.sha256(listing.encode()).hexdigest()

    def test_the_bundle_is_reproducible(self) -> None:
        first, second = self.bundle(), self.bundle()
        assert first == second
        assert first[0][4:8] == bytes(4)  # no time in the gzip header

    def test_a_course_without_static_assets_has_an_empty_bundle(self) -> None:
        out = io.BytesIO()
        with StaticAssets() as assets:
            read_course(io.BytesIO(export({"course.xml": POINTER})), static_assets=assets)
            assets.write_archive(out)
            assert assets.manifest()["file_count"] == 0
        with tarfile.open(fileobj=io.BytesIO(out.getvalue()), mode="r:gz") as tar:
            assert tar.getnames() == []

    def test_files_below_a_folder_taken_for_the_static_one_are_reported(self) -> None:
        data = export({"course.xml": POINTER, **SMALL, "about/static/x.html": "x"}, root="")
        course = read_course(io.BytesIO(data))
        assert [problem.path for problem in course.problems] == ["about/static/x.html"]


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


class Tree(NamedTuple):
    block_type: str
    inline: bool
    children: tuple[Tree, ...]


TYPES = st.sampled_from(["chapter", "sequential", "vertical", "split_test", "wrapper"])
TREES = st.recursive(
    st.builds(Tree, TYPES, st.booleans(), st.just(())),
    lambda inner: st.builds(Tree, TYPES, st.booleans(), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=25,
)


class Written(NamedTuple):
    files: dict[str, str]
    expected: list[tuple[tuple[str, str], tuple[str, str] | None]]


def write(tree: Tree) -> Written:
    """The files of a course whose only chapter-like child is the tree, and its blocks with their parents in order."""
    written = Written({"course.xml": POINTER}, [(("course", "2024"), None)])

    def element(node: Tree, parent: tuple[str, str]) -> str:
        key = (node.block_type, f"b{len(written.expected)}")
        written.expected.append((key, parent))
        content = "".join(element(child, key) for child in node.children)
        if node.inline:
            return f'<{node.block_type} url_name="{key[1]}" display_name="d">{content}</{node.block_type}>'
        written.files[f"{node.block_type}/{key[1]}.xml"] = f"<{node.block_type}>{content}</{node.block_type}>"
        return f'<{node.block_type} url_name="{key[1]}"/>'

    written.files["course/2024.xml"] = f"<course>{element(tree, ('course', '2024'))}</course>"
    return written


@given(TREES)
@settings(deadline=None)
def test_any_tree_of_own_and_inline_blocks_is_read_back(tree: Tree) -> None:
    written = write(tree)
    course = course_of(written.files)
    assert [(tuple(each.key), each.parent and tuple(each.parent)) for each in course.blocks] == written.expected
    assert course.missing == ()
    assert course.problems == ()


@given(st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 14), max_size=5), min_size=1))
@settings(deadline=None)
def test_every_reference_of_any_graph_leads_to_a_block_or_is_missing(graph: dict[int, list[int]]) -> None:
    files = {
        f"vertical/{node}.xml": "<vertical>" + "".join(f'<vertical url_name="{n}"/>' for n in children) + "</vertical>"
        for node, children in graph.items()
    }
    course = course_of(files | {"course/2024.xml": '<course><vertical url_name="0"/></course>'})
    there = {each.key for each in course.blocks}
    assert len(there) == len(course.blocks) == len(graph) + 1
    missing = {(reference.parent, reference.child) for reference in course.missing}
    for each in course.blocks:
        for child in each.children:
            assert (child in there) != ((each.key, child) in missing)


def test_a_course_is_read_from_chunks_as_from_a_file() -> None:
    data = export({"course.xml": POINTER, **SMALL})
    chunks = [data[start : start + 7] for start in range(0, len(data), 7)]
    assert read_course(chunks) == course_of(SMALL)


def test_a_course_without_org_is_refused() -> None:
    with pytest.raises(CourseExportError, match=r"no org or no course number"):
        course_of({"course.xml": '<course url_name="x" course="y"/>'})

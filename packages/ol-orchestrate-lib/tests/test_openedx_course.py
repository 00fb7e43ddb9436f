"""Reading the blocks of a course from an export, plain and odd ones."""

from __future__ import annotations

import gzip
import io
import json
from typing import NamedTuple, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol_orchestrate.lib.openedx import (
    BlockKey,
    Course,
    CourseExportError,
    StaticAssets,
    course_outputs,
    read_course,
)
from ol_orchestrate.testing.course_exports import POINTER, SMALL, block, course_of, export, rows


def keys(course: Course) -> list[tuple[str, str]]:
    return [(block.key.block_type, block.key.block_id) for block in course.blocks]


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

    def test_a_block_in_a_namespace_has_its_type_without_it(self) -> None:
        inside = '<vertical xmlns:x="urn:x"><x:html url_name="n" a="1"/></vertical>'
        assert keys(course_of({"course/2024.xml": "<course/>", "vertical/v.xml": inside}))[1:] == [
            *(("vertical", "v"), ("html", "n"))
        ]

    def test_the_text_behind_a_block_is_none_of_its_xml(self) -> None:
        course = course_of({"vertical/v.xml": '<vertical><html url_name="i">x</html> behind </vertical>'})
        assert block(course, "i").raw_xml == b'<html url_name="i">x</html>'

    def test_of_two_files_of_a_block_the_first_is_used_and_the_files_after_them_are_read(self) -> None:
        files = {"html/week/1.xml": '<html a="1"/>', "html/week:1.xml": '<html a="2"/>', "video/v.xml": "<video/>"}
        course = course_of(files | {"course/2024.xml": "<course/>"})
        assert keys(course)[1:] == [("html", "week:1"), ("video", "v")]
        assert dict(block(course, "week:1").attributes) == {"a": "1"}
        assert [(problem.path, problem.what) for problem in course.problems] == [
            *(
                (
                    "course/html/week:1.xml",
                    'a second file of <html url_name="week:1"/>; the one in course/html/week/1.xml is used',
                ),
            )
        ]

    def test_blocks_in_a_container_need_no_name(self) -> None:
        containers = (
            *("chapter", "conditional", "course", "itembank", "library", "library_content", "problemset", "randomize"),
            *("sequential", "split_test", "vertical", "videosequence", "wrapper"),
        )
        inside = "".join(f'<{each} url_name="{each}"><html>x</html></{each}>' for each in containers)
        course = course_of({"course/2024.xml": f"<course>{inside}</course>"})
        assert [key for key in keys(course)[1:] if key[0] == "html"] == [
            ("html", f"{each}_html_1") for each in containers
        ]

    def test_an_xml_file_in_a_folder_without_blocks_is_none(self) -> None:
        folders = ("about", "info", "policies", "roots", "tabs")
        files = {f"{folder}/x.xml": "<html/>" for folder in folders} | {"roots/y.xml": "<html/>"}
        course = course_of({"course/2024.xml": "<course/>"} | files)
        assert (keys(course), course.problems) == ([("course", "2024")], ())

    def test_settings_of_a_container_are_no_blocks(self) -> None:
        settings = ("lti_passports", "grading", "meta", "metadata", "show", "textbook", "wiki")
        inside = "".join(f"<{each}><x/></{each}>" for each in settings)
        assert len(course_of({"course/2024.xml": f"<course>{inside}</course>"}).blocks) == 1

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
        assert course.files == 2
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
            ("course", "MITx-7.00-1T2016", "1T2016", True),
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
        files = {"course/r.xml": "<course/>", "html/h.xml": "<html/>"}
        assert course_of({"course.xml": '<course org="o" course="n"/>'} | files).run == "r"

    def test_of_two_folders_with_a_course_the_upper_one_is_it(self) -> None:
        lower = {"a/b/course.xml": POINTER.replace("6.00x", "7.00x"), "a/b/course/2024.xml": "<course/>"}
        upper = {"z/course.xml": POINTER, "z/course/2024.xml": "<course/>"}
        assert course_of_members(lower | upper).number == "6.00x"

    def test_an_xml_file_beside_course_xml_is_reported(self) -> None:
        course = course_of(SMALL | {"stray.xml": "<html/>"})
        assert [(problem.path, problem.what) for problem in course.problems] == [
            ("course/stray.xml", "an XML file beside course.xml; it is not read")
        ]

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

    @pytest.mark.parametrize("declared", ["iso-8859-15", "windows-1252"])
    def test_a_euro_sign_is_read_in_the_encodings_that_have_one(self, declared: str) -> None:
        text = f"<?xml version='1.0' encoding='{declared}'?><html display_name='5 €'/>"
        course = course_of(SMALL | {"html/h.xml": text.encode(declared)})
        assert block(course, "h").attributes["display_name"] == "5 €"

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


def course_of_members(files: dict[str, str]) -> Course:
    return read_course(io.BytesIO(export(files, root="")))


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


def test_a_file_is_read_by_its_bytes_and_not_by_lines() -> None:
    class File(io.BytesIO):
        def __iter__(self) -> Self:
            raise AssertionError

    assert read_course(File(export({"course.xml": POINTER, **SMALL}))) == course_of(SMALL)


def test_a_course_without_org_is_refused() -> None:
    with pytest.raises(CourseExportError, match=r"no org or no course number"):
        course_of({"course.xml": '<course url_name="x" course="y"/>'})

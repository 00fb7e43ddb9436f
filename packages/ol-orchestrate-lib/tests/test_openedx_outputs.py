"""The rows and files that are made of a course."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any, ClassVar

import pytest

from ol_orchestrate.lib.openedx import (
    StaticAssets,
    course_outputs,
    manifest_line,
    read_course,
)
from ol_orchestrate.testing.course_exports import POINTER, SMALL, course_of, export, rows


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

    def test_types_are_those_that_courses_use(self) -> None:
        types = {
            "md": "text/markdown",
            "sjson": "application/json",
            "srt": "application/x-subrip",
            "vtt": "text/vtt",
            "webp": "image/webp",
            "woff": "font/woff",
            "woff2": "font/woff2",
        }
        with StaticAssets() as assets:
            files = {"course.xml": POINTER} | {f"about/x.{suffix}": "x" for suffix in types}
            read_course(io.BytesIO(export(files)), static_assets=assets)
            assert [file["mime_type"] for file in assets.manifest()["files"]] == list(types.values())

    def test_the_bundle_is_reproducible(self) -> None:
        first, second = self.bundle(), self.bundle()
        assert first == second
        assert first[0][3:8] == bytes(5)  # no name and no time in the gzip header

    def test_a_course_without_static_assets_has_an_empty_bundle(self) -> None:
        out = io.BytesIO()
        with StaticAssets() as assets:
            read_course(io.BytesIO(export({"course.xml": POINTER})), static_assets=assets)
            assets.write_archive(out)
            assert assets.manifest()["file_count"] == 0
        with tarfile.open(fileobj=io.BytesIO(out.getvalue()), mode="r:gz") as tar:
            assert tar.getnames() == []

    def test_a_file_may_have_the_name_of_a_folder_of_static_files(self) -> None:
        with StaticAssets() as assets:
            files = {"course.xml": POINTER, **SMALL, "about/static": "x"}
            course = read_course(io.BytesIO(export(files, root="")), static_assets=assets)
            assert [file["path"] for file in assets.manifest()["files"]] == ["about/static", "html/h.html"]
        assert course.problems == ()

    def test_files_below_a_folder_taken_for_the_static_one_are_reported(self) -> None:
        data = export({"course.xml": POINTER, **SMALL, "about/static/x.html": "x"}, root="")
        course = read_course(io.BytesIO(data))
        assert [problem.path for problem in course.problems] == ["about/static/x.html"]

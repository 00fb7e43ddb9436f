"""Archives that are broken, forged or made to harm: each ends in an error or a problem, and none fills the memory."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx import (
    CourseExportError,
    RatioLimit,
    StaticAssets,
    course_outputs,
    export_files,
    policies,
    read_course,
    safe_json,
    safe_xml,
    static_assets,
    structure,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ol_orchestrate.lib.openedx import Course

POINTER = b'<course url_name="r" org="o" course="n"/>'
MODULE = "ol_orchestrate.lib.openedx"


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, target
    return info, data


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pack(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return gzip.compress(tar_of(*members), compresslevel=1, mtime=0)


def read(data: bytes) -> Course:
    return read_course(io.BytesIO(data), name="x.xml.tar.gz")


def with_file(name: str, data: bytes) -> Course:
    return read(pack(member("c/course.xml", POINTER), member("c/course/r.xml", b"<course/>"), member(name, data)))


def problems(course: Course) -> dict[str, str]:
    return {problem.path: problem.what for problem in course.problems}


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("course/course.xml", POINTER)
    return buffer.getvalue()


WHOLE = pack(
    member("c/course.xml", POINTER),
    member("c/html/x.xml", b"<html>" + b"".join(b"%x" % (n * n * 2_654_435_761) for n in range(600)) + b"</html>"),
)


class TestLimits:
    def test_limits_are_as_their_errors_tell_them(self) -> None:
        assert (export_files.MAX_MEMBERS, export_files.MAX_NAME_LENGTH) == (100_000, 1_024)
        assert (export_files.MAX_DOCUMENT_BYTES, export_files.MAX_DOCUMENTS_BYTES) == (16 * 1024**2, 64 * 1024**2)
        assert (export_files.RATIO_COUNTS_FROM, static_assets.MAX_STATIC_BYTES) == (64 * 1024**2, 8 * 1024**3)
        assert (safe_xml.MAX_MARKUP, safe_xml.MAX_ATTRIBUTES, safe_json.MAX_JSON_DEPTH) == (100_000, 1_000, 100)
        assert (policies.MAX_POLICY_BYTES, policies.MAX_POLICY_VALUES) == (8 * 1024**2, 500_000)
        assert (structure.MAX_STRUCTURE_BYTES, structure.MAX_STRUCTURE_VALUES) == (16 * 1024**2, 1_500_000)
        assert (structure.MAX_JOINED_BYTES, tree.MAX_BLOCKS) == (96 * 1024**2, 200_000)


class TestNoExports:
    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"", "the file is empty"),
            (zipped(), "no gzip file, but a zip archive"),
            (tar_of(member("c/course.xml", POINTER)), "no gzip file, but an uncompressed tar"),
            (b"<course/>" * 100, "no gzip file, but text"),
            (gzip.compress(b""), "no tar archive, but empty"),
            (gzip.compress(b"<course/>" * 100), "no tar archive, but text"),
            (gzip.compress(WHOLE), "no tar archive, but gzip"),
            (pack(), "no XML file at all"),
            (pack(member("c/about/x.html", b"x")), "no XML file at all"),
            (pack(member("c/html/x.xml", b"<html/>")), "no course.xml among 1 XML files, the first is c/html/x.xml"),
            (pack(member("library/library.xml", b"<library/>")), r"a content library \(library.xml\)"),
            (pack(member("c/course.xml", b"<library/>")), "c/course.xml holds <library>"),
            (pack(member("c/course.xml", b"<course")), "c/course.xml:1:8: broken XML"),
            (pack(member("a/course.xml", POINTER), member("b/course.xml", POINTER)), "several courses, in a/ and b/"),
            (pack(member("c/roots/a.xml", POINTER), member("c/roots/b.xml", POINTER)), "roots/ holds 2 runs"),
            (pack(member("c/course.xml", b"<course/>")), "no url_name, and c/course/ holds 0 runs"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_the_error_of_a_file_that_is_no_export_names_its_format(self, data: bytes, what: str) -> None:
        with pytest.raises(CourseExportError, match=f"^x.xml.tar.gz .*{what}|^x.xml.tar.gz: .*{what}") as caught:
            read(data)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_archive_is_an_error(self, share: float) -> None:
        with pytest.raises(CourseExportError, match=r"is truncated: .* breaks off after byte"):
            read(WHOLE[: int(len(WHOLE) * share)])

    def test_a_tar_cut_inside_its_gzip_is_an_error(self) -> None:
        tar = tar_of(member("c/course.xml", POINTER), member("c/html/x.xml", b"x" * 5_000))
        with pytest.raises(CourseExportError, match=r"is truncated|is damaged"):
            read(gzip.compress(tar[:4_000]))

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda tar: tar.rstrip(b"\0").ljust(2_048, b"\0"), "is truncated: .* without the mark of its end"),
            (lambda tar: tar + b"more", "is no course export: something follows the end of the tar"),
        ],
        ids=["no mark of the end", "bytes after the end"],
    )
    def test_the_end_of_the_tar_is_judged_as_in_any_archive(self, change: Callable[[bytes], bytes], what: str) -> None:
        tar = tar_of(member("c/course.xml", POINTER), member("c/html/x.xml", b"<html/>"))
        with pytest.raises(CourseExportError, match=what):
            read(gzip.compress(change(tar)))

    def test_bytes_after_the_gzip_are_an_error(self) -> None:
        with pytest.raises(CourseExportError, match="; 4 bytes that are no gzip follow"):
            read(WHOLE + b"more")

    def test_a_wrong_checksum_is_an_error(self) -> None:
        with pytest.raises(CourseExportError, match="its checksum is wrong"):
            read(WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:])

    def test_a_broken_header_in_the_middle_is_not_the_end(self) -> None:
        tar = bytearray(tar_of(member("c/course.xml", POINTER), member("c/html/x.xml", b"<html/>")))
        tar[1_024 + 20] ^= 0xFF
        with pytest.raises(CourseExportError, match="a wrong checksum, in the header at byte 1,024"):
            read(gzip.compress(bytes(tar)))

    def test_an_error_of_the_source_is_not_taken_for_bad_input(self) -> None:
        def chunks() -> Iterator[bytes]:
            yield WHOLE[:100]
            message = "connection reset"
            raise ConnectionError(message)

        with pytest.raises(ConnectionError, match="connection reset"):
            read_course(chunks())

    @given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
    @settings(max_examples=150)
    def test_any_flipped_byte_gives_the_course_or_an_error_for_operators(self, place: int, flip: int) -> None:
        data = bytearray(WHOLE)
        data[place] ^= flip
        try:
            course = read(bytes(data))
        except BadInputError:
            return
        assert course == read(WHOLE)  # a byte of the gzip header that means nothing


class TestMembers:
    @pytest.mark.parametrize("name", ["/etc/evil.xml", "../evil.xml", "c/../../evil.xml", "/c/html/evil.xml"])
    def test_names_that_lead_out_are_not_read(self, name: str) -> None:
        assert problems(with_file(name, b"<html/>")) == {name: "its name leads out of the archive; it was not read"}

    @pytest.mark.parametrize("name", ["c/html/a\nb.xml", "c/html/\x1b[31m.xml", "c/html/" + "n" * 2_000 + ".xml"])
    def test_names_with_control_characters_or_without_end_are_not_read(self, name: str) -> None:
        (problem,) = with_file(name, b"<html/>").problems
        assert "too long or has control characters" in problem.what
        assert "\n" not in str(problem)
        assert "\x1b" not in str(problem)
        assert len(str(problem)) < 1_300

    @pytest.mark.parametrize(
        ("kind", "what"),
        [
            (tarfile.SYMTYPE, "a link; links are not followed"),
            (tarfile.LNKTYPE, "a link; links are not followed"),
            (tarfile.CHRTYPE, "a device or a pipe; it was not read"),
            (tarfile.FIFOTYPE, "a device or a pipe; it was not read"),
        ],
    )
    def test_links_and_devices_are_not_followed(self, kind: bytes, what: str) -> None:
        data = pack(
            member("c/course.xml", POINTER),
            member("c/course/r.xml", b"<course/>"),
            member("c/html/x.xml", kind=kind, target="/etc/passwd"),
            member("c/about/y.html", kind=kind, target="../../secret"),
        )
        with StaticAssets() as assets:
            course = read_course(io.BytesIO(data), static_assets=assets)
            assert assets.manifest()["file_count"] == 0
        assert problems(course) == {"c/html/x.xml": what, "c/about/y.html": what}
        assert len(course.blocks) == 1

    def test_a_course_xml_that_links_to_a_run_names_that_run(self) -> None:
        runs = [member(f"c/roots/{run}.xml", POINTER.replace(b'"r"', b'"%s"' % run.encode())) for run in ("a", "b")]
        files = [member("c/course/b.xml", b'<course display_name="B"/>'), member("c/course/a.xml", b"<course/>")]
        course = read(pack(member("c/course.xml", kind=tarfile.SYMTYPE, target="roots/b.xml"), *runs, *files))
        assert (course.run, course.attributes["display_name"]) == ("b", "B")

    def test_a_link_outside_of_the_course_is_no_course(self) -> None:
        links = [member("readme", kind=tarfile.SYMTYPE, target="c/readme"), member("c/course.xml", POINTER)]
        assert len(read(pack(*links, member("c/course/r.xml", b"<course/>"))).blocks) == 1

    def test_needless_parts_of_a_name_are_left_out(self) -> None:
        names = ("./c/course.xml", "c/./course//r.xml", "c//html/x.xml")
        data = pack(*map(member, names, (POINTER, b'<course><html url_name="x"/></course>', b"<html/>")))
        assert [block.path for block in read(data).blocks] == ["c/course/r.xml", "c/html/x.xml"]

    def test_a_name_up_to_the_limit_is_read(self) -> None:
        name = "c/about/" + "n" * (1_024 - 8)
        for more, found in (("", {}), ("n", {name: "its name is too long or has control characters; it was not read"})):
            assert problems(with_file(name + more, b"")) == found

    def test_a_member_that_comes_twice_is_read_as_the_last(self) -> None:
        data = pack(
            member("c/course.xml", POINTER),
            member("c/course/r.xml", b"<course/>"),
            member("c/course/r.xml", b'<course display_name="last"/>'),
            member("c/about/x.html", b"first"),
            member("c/about/x.html", b"last"),
        )
        with StaticAssets() as assets:
            course = read_course(io.BytesIO(data), static_assets=assets)
            assert [file["size_bytes"] for file in assets.manifest()["files"]] == [4]
        assert course.attributes["display_name"] == "last"
        assert "twice" in problems(course)["c/course/r.xml"]

    def test_problems_are_counted_after_the_first_thousand(self) -> None:
        course = read(pack(member("c/course.xml", POINTER), *(member(f"../{n}.xml") for n in range(1_500))))
        assert len(course.problems) == 1_001
        assert course.problems[-1].what == "501 more problems are not listed"

    def test_too_many_members_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.export_files.MAX_MEMBERS", 10)
        assert read(pack(member("c/course.xml", POINTER), *(member(f"c/{n}.txt") for n in range(9)))).files == 10
        with pytest.raises(CourseExportError, match="more than 10 members"):
            read(pack(member("c/course.xml", POINTER), *(member(f"c/{n}.txt") for n in range(10))))


class TestDocuments:
    LAUGHS = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))

    @pytest.mark.parametrize(
        "text",
        [
            b'<!DOCTYPE html [<!ENTITY a0 "ha">' + LAUGHS + b"]><html>&a9;</html>",
            b'<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><html>&x;</html>',
            b'<!DOCTYPE html SYSTEM "http://127.0.0.1:1/x.dtd"><html/>',
            b'<?xml version="1.0"?>\n<!-- <html/> -->\n<!DOCTYPE html><html/>',
            b"\xef\xbb\xbf<!DOCTYPE html><html/>",
            '<!DOCTYPE html [<!ENTITY x "y">]><html>&x;</html>'.encode("utf-16"),
            '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE html><html/>'.encode("utf-16"),
            b'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE html><html/>',
        ],
    )
    def test_a_dtd_is_refused_with_its_path(self, text: bytes) -> None:
        course = with_file("c/html/x.xml", text)
        assert problems(course) == {"c/html/x.xml": "a DTD is refused, as it can read files and fill the memory"}
        assert len(course.blocks) == 1

    def test_a_doctype_in_a_page_is_no_dtd(self) -> None:
        course = with_file("c/html/x.xml", b"<html><![CDATA[<!DOCTYPE html><p/>]]></html>")
        assert course.problems == ()
        assert course.blocks[1].raw_xml == b"<html><![CDATA[<!DOCTYPE html><p/>]]></html>"

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("<html/>".encode("utf-16-le"), "does not begin with a tag"),
            ("<html/>".encode("utf-32"), "broken XML"),
            ("<?xml version='1.0' encoding='cp037'?><html/>".encode("cp037"), "does not begin with a tag"),
            (b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE', "broken XML"),
            (b'<?xml version="1.0" encoding="koi8-r"?><html>\xd4</html>', "the encoding 'koi8-r' is not read"),
            (b'<?xml version="1.0" encoding="nonsense"?><html>\xd4</html>', "the encoding 'nonsense' is not read"),
            (b'<?xml version="1.0" encoding="\xe9"?><html>\xd4</html>', "the encoding '\ufffd' is not read"),
            (b'<?xml version="1.0" encoding="cp1252"?><html>\x81</html>', "neither UTF-8 nor cp1252"),
            (b'<?xml version="1.0" encoding="utf-8"?><html>\x81</html>', "broken XML"),
            (b"<h1>\0</h1>", "Char 0x0"),
            (b"\xff\xfe<", "begins as UTF-16 and is not"),
            (b"", "does not begin with a tag"),
            (b"<html>\xff</html>", "broken XML"),
            (b"<html>\0</html>", "broken XML"),
            (b"<html>" + b"<b>" * 50_000, "broken XML"),
            (b"<html>" + b"<b>" * 300 + b"</b>" * 300 + b"</html>", "depth"),
            (b"<html a='1' a='2'/>", "broken XML"),
        ],
    )
    def test_what_is_no_xml_is_reported(self, text: bytes, what: str) -> None:
        course = with_file("c/html/x.xml", text)
        assert what.lower() in problems(course)["c/html/x.xml"].lower()
        assert len(course.blocks) == 1

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("c/html/x.xml", "c/html/x.xml:1:7: broken XML: "),
            ("/a\r\nb\x1b[2J", r"/a\r\nb\x1b[2J: its name leads out of the archive"),
            ("c/../\u2028", r"c/../\u2028: its name leads out of the archive"),
        ],
    )
    def test_a_problem_is_one_printable_line(self, name: str, line: str) -> None:
        (problem,) = with_file(name, b"<html>\0</html>").problems
        assert str(problem).startswith(line)
        assert str(problem).isprintable()

    def test_an_attribute_of_a_megabyte_is_read(self) -> None:
        course = with_file("c/html/x.xml", b'<html transcript="' + b"t" * (1 << 20) + b'"/>')
        assert len(course.blocks[1].attributes["transcript"]) == 1 << 20
        assert course.problems == ()

    @pytest.mark.parametrize(
        "text", [b"<a/>" * 600_000, b"<a " + b" ".join(b"a%d=''" % n for n in range(600_000)) + b"/>"]
    )
    def test_too_many_elements_or_attributes_are_refused_before_they_take_memory(self, text: bytes) -> None:
        data = pack(member("c/course.xml", POINTER), member("c/course/r.xml", b"<course>" + text + b"</course>"))
        tracemalloc.start()
        course = read(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "more than 100000 tags or attributes" in problems(course)["c/course/r.xml"]
        assert peak < 60 << 20

    @pytest.mark.parametrize(
        "text", [b"<html>" + b"<b/>" * 9 + b"</html>", b"<html " + b" ".join(b"a%d='='" % n for n in range(5)) + b"/>"]
    )
    def test_markup_up_to_the_limit_is_read(self, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        most = max(text.count(b"<"), text.count(b"="))
        monkeypatch.setattr(f"{MODULE}.safe_xml.MAX_MARKUP", most)
        assert problems(with_file("c/html/x.xml", text)) == {}
        monkeypatch.setattr(f"{MODULE}.safe_xml.MAX_MARKUP", most - 1)
        assert problems(with_file("c/html/x.xml", text)) == {"c/html/x.xml": f"more than {most - 1} tags or attributes"}

    def test_attributes_of_an_element_up_to_the_limit_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.safe_xml.MAX_ATTRIBUTES", 3)
        assert problems(with_file("c/html/x.xml", b"<html a='1' b='2' c='3'><p a='1'/></html>")) == {}
        assert problems(with_file("c/html/x.xml", b"<html><p a='1' b='2' c='3' d='4'/></html>")) == {
            "c/html/x.xml": "an element with more than 3 attributes"
        }

    def test_an_element_with_very_many_attributes_is_refused_in_no_time(self) -> None:
        attributes = b" ".join(b"a%d=''" % n for n in range(90_000))
        started = time.process_time()
        course = with_file("c/html/x.xml", b"<html><p " + attributes + b"/></html>")
        assert time.process_time() - started < 2
        assert problems(course) == {"c/html/x.xml": "an element with more than 1000 attributes"}

    def test_a_file_beyond_the_limit_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.export_files.MAX_DOCUMENT_BYTES", 1_000)
        course = with_file("c/html/x.xml", b"<html>" + b"x" * 1_000 + b"</html>")
        assert "larger than" in problems(course)["c/html/x.xml"]

    def test_documents_up_to_the_limits_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = b"<html>" + b"x" * (1 << 20) + b"</html>"
        both = len(text) + len(POINTER) + len(b"<course/>")
        for limit, size in (("MAX_DOCUMENT_BYTES", len(text)), ("MAX_DOCUMENTS_BYTES", both)):
            monkeypatch.setattr(f"{MODULE}.export_files.{limit}", size)
        assert problems(with_file("c/html/x.xml", text)) == {}
        monkeypatch.setattr(f"{MODULE}.export_files.MAX_DOCUMENTS_BYTES", both - 1)
        with pytest.raises(CourseExportError, match="its XML and JSON files are larger than 1 MiB together"):
            with_file("c/html/x.xml", text)
        monkeypatch.setattr(f"{MODULE}.export_files.MAX_DOCUMENT_BYTES", len(text) - 1)
        assert problems(with_file("c/html/x.xml", text)) == {"c/html/x.xml": "larger than 1 MiB"}

    def test_documents_beyond_the_limit_together_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.export_files.MAX_DOCUMENTS_BYTES", 1_000)
        with pytest.raises(CourseExportError, match="its XML and JSON files are larger than"):
            with_file("c/html/x.xml", b"<html>" + b"x" * 1_000 + b"</html>")

    def test_inline_blocks_inside_each_other_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.tree.MAX_DOCUMENTS_BYTES", 100_000)
        nested = b"<vertical>" * 200 + b"x" * 1_000 + b"</vertical>" * 200
        with pytest.raises(CourseExportError, match="inline blocks"):
            with_file("c/vertical/v.xml", nested)

    def test_the_xml_of_blocks_is_read_up_to_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        page = b"<html><b>x</b></html>"
        size = len(b"<course/>") + len(page)
        monkeypatch.setattr(f"{MODULE}.tree.MAX_DOCUMENTS_BYTES", size)
        assert len(with_file("c/html/x.xml", page).blocks) == 2
        monkeypatch.setattr(f"{MODULE}.tree.MAX_DOCUMENTS_BYTES", size - 1)
        with pytest.raises(CourseExportError, match="inline blocks"):
            with_file("c/html/x.xml", page)

    def test_too_many_blocks_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.tree.MAX_BLOCKS", 100)
        # The course, the vertical and those in it.
        course = with_file("c/vertical/v.xml", b"<vertical>" + b"<html/>" * 98 + b"</vertical>")
        assert len(course.blocks) == 100
        with pytest.raises(CourseExportError, match="more than 100 blocks or 64 MiB of XML"):
            with_file("c/vertical/v.xml", b"<vertical>" + b"<html/>" * 99 + b"</vertical>")

    @pytest.mark.parametrize("text", [b"{", b"\xff", b"[]", b'"x"', b'{"course/r": 3}', b"{}"])
    def test_a_policy_that_is_no_object_is_reported(self, text: bytes) -> None:
        course = with_file("c/policies/r/policy.json", text)
        assert [problem.path for problem in course.problems] == ["c/policies/r/policy.json"]
        assert list(course_outputs(course, source_system="prod")["course_policy"].chunks("")) == []

    @pytest.mark.parametrize(
        ("limit", "what"),
        [("MAX_POLICY_VALUES", "it may hold more than 50 values"), ("MAX_POLICY_BYTES", "larger than 0 MiB")],
    )
    def test_a_policy_beyond_a_limit_is_left_out_and_the_rest_is_there(
        self, monkeypatch: pytest.MonkeyPatch, limit: str, what: str
    ) -> None:
        monkeypatch.setattr(f"{MODULE}.policies.{limit}", 50)
        course = with_file("c/policies/r/policy.json", b'{"course/r": {"tabs": [' + b"0," * 50 + b"0]}}")
        assert what in problems(course)["c/policies/r/policy.json"]
        assert len(course.blocks) == 1
        assert course.policies.course is None


class TestBombs:
    @staticmethod
    def bomb(name: str, size: int) -> Iterator[bytes]:
        """An archive that unpacks to so many zeros in a member after the course, 1,000:1."""
        compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
        info = tarfile.TarInfo(name)
        info.size = size
        yield compressor.compress(tar_of(member("c/course.xml", POINTER))[:1_024] + info.tobuf())
        zeros = bytes(1 << 20)
        for _ in range(size >> 20):
            yield compressor.compress(zeros)
        yield compressor.flush()

    @pytest.mark.parametrize("name", ["c/about/zeros.html", "c/static/zeros.bin", "c/html/zeros.xml"])
    def test_a_bomb_is_refused_early_and_within_the_memory(self, name: str) -> None:
        tracemalloc.start()
        with StaticAssets() as assets, pytest.raises(CourseExportError, match="unpacks to more than 200 times"):
            read_course(self.bomb(name, 400 << 20), static_assets=assets)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20

    def test_the_error_of_a_bomb_names_the_setting_to_raise_for_a_real_course(self) -> None:
        unpacked = gzip.decompress(b"".join(self.bomb("c/about/zeros.html", 70 << 20))) + bytes(1_024)
        archive = gzip.compress(unpacked)
        with pytest.raises(
            CourseExportError, match=r"more than 900 times its size.*If it is a real course, raise RATIO$"
        ):
            read_course(io.BytesIO(archive), ratio_limit=RatioLimit(900, "RATIO"))
        assert len(read_course(io.BytesIO(archive), ratio_limit=RatioLimit(1_100, "RATIO")).blocks) == 1

    @pytest.mark.parametrize(("ratio", "rest", "refused"), [(2, 0, False), (3, 1, True)])
    def test_the_ratio_is_exact(self, ratio: int, rest: int, *, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        tar = tar_of(member("c/course.xml", POINTER), member("c/course/r.xml", b"<course/>"))
        packed, more = divmod(len(tar), ratio)
        assert more == rest
        archive = gzip.compress(tar)
        name = b"n" * (packed - len(archive) - 1) + b"\0"
        archive = archive[:3] + b"\x08" + archive[4:10] + name + archive[10:]
        assert len(archive) == packed
        monkeypatch.setattr(f"{MODULE}.export_files.RATIO_COUNTS_FROM", len(tar))
        assert len(read_course([archive], ratio_limit=RatioLimit(ratio, "RATIO")).blocks) == 1
        monkeypatch.setattr(f"{MODULE}.export_files.RATIO_COUNTS_FROM", len(tar) - 1)
        if refused:
            with pytest.raises(CourseExportError, match="unpacks to more than 3 times"):
                read_course([archive], ratio_limit=RatioLimit(ratio, "RATIO"))
        else:
            assert len(read_course([archive], ratio_limit=RatioLimit(ratio, "RATIO")).blocks) == 1

    def test_a_bomb_after_the_end_of_the_tar_is_refused(self) -> None:
        data = tar_of(member("c/course.xml", POINTER)) + bytes(100 << 20)
        with pytest.raises(CourseExportError, match=r"unpacks to more than 200 times .*, raise ratio_limit$"):
            read(gzip.compress(data))

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
    def test_a_header_that_is_a_bomb_is_refused(self, kind: bytes) -> None:
        with pytest.raises(CourseExportError, match="longer extended headers"):
            read(pack(member("c/course.xml", POINTER), member("x", bytes(2 << 20), kind)))

    def test_headers_about_headers_without_end_are_refused(self) -> None:
        chain = [member("x", b"name", tarfile.GNUTYPE_LONGNAME) for _ in range(3_000)]
        with pytest.raises(CourseExportError, match="more than 16 extended headers"):
            read(pack(member("c/course.xml", POINTER), *chain))

    def test_static_files_up_to_the_limit_are_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.static_assets.MAX_STATIC_BYTES", 1_000)
        with StaticAssets() as assets:
            assets.collect("a", [bytes(400), bytes(100)])
            assets.collect("b", [bytes(500)])
            with pytest.raises(CourseExportError):
                assets.collect("c", [bytes(1)])

    def test_the_limit_of_static_files_is_told_in_gibibytes(self) -> None:
        class Large(bytes):
            def __len__(self) -> int:
                return (8 << 30) + 1

        with StaticAssets() as assets, pytest.raises(CourseExportError, match="are larger than 8 GiB together"):
            assets.collect("x", [Large()])

    def test_static_files_beyond_the_limit_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{MODULE}.static_assets.MAX_STATIC_BYTES", 1_000)
        data = pack(member("c/course.xml", POINTER), member("c/about/x.html", bytes(1_001)))
        with StaticAssets() as assets, pytest.raises(CourseExportError, match=r"c/about/x\.html: the static files"):
            read_course(io.BytesIO(data), static_assets=assets)

    def test_an_archive_inside_an_archive_is_a_file_like_any(self) -> None:
        inner = gzip.compress(bytes(10 << 20))
        with StaticAssets() as assets:
            data = pack(member("c/course.xml", POINTER), member("c/python_lib/x.zip", inner))
            read_course(io.BytesIO(data), static_assets=assets)
            assert [file["size_bytes"] for file in assets.manifest()["files"]] == [len(inner)]

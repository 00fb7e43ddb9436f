"""The rules by which tables are read and written, one by one."""

from __future__ import annotations

import hashlib
import re
from functools import cached_property

import pytest

from edxorg.lib.tables import CourseColumns, Dialect, Escapes, RowHash, convert_table, cutting
from edxorg.lib.tables import convert as tables_convert
from edxorg.lib.tables.chunks import Chunk
from edxorg_tests.support.tables import ADDED, convert, raw, split

STUDENTMODULE = "id\tmodule_type\tmodule_id\tstudent_id\tstate\tgrade\tcreated\tmodified\tmax_grade\tdone\tcourse_id"


def table(*lines: str, header: str = "id\ttext\tlast", line_end: str = "\n") -> bytes:
    return "".join(line + line_end for line in (header, *lines)).encode()


class TestOutput:
    def test_output_has_the_rows_in_order_and_six_more_columns(self) -> None:
        got = convert(table("1\ta\tb", "2\tc\td"))
        assert got.records[0] == [
            *("id", "text", "last", "extracted_course_key", "extracted_course_organization", "extracted_course_number"),
            *("extracted_course_run", "extracted_source_platform", "row_hash"),
        ]
        first, second = (hashlib.sha256(line).hexdigest() for line in (b"1\ta\tb", b"2\tc\td"))
        assert got.records[1:] == [["1", "a", "b", *ADDED, first], ["2", "c", "d", *ADDED, second]]
        assert got.output is not None
        assert got.output.endswith(second.encode() + b"\n")

    def test_a_conversion_reports_its_counts(self) -> None:
        report = convert(table("1\ta\tb", "2\tc")).report
        assert (report.columns, report.dialect) == (("id", "text", "last"), Dialect.PLAIN)
        assert (report.records_in, report.rows_out, report.rejected.total()) == (2, 0, 2)

    def test_a_field_is_quoted_only_if_it_must_be(self) -> None:
        odd = "\0\x01\x0b\x0c\x1c\x85\u2028\u2029'#,; |"
        got = convert(table(f"1\t{odd}\t", '2\ta "b"\t', "3\ta\rb\t"))
        assert got.output is not None
        lines = got.output.split(b"\n")
        assert lines[1].startswith(f"1\t{odd}\t\t".encode())
        assert lines[2].startswith(b'2\t"a ""b"""\t\t')
        assert lines[3].startswith(b'3\t"a\rb"\t\t')
        assert got.rows[0][1] == odd

    def test_added_values_are_quoted_as_well(self) -> None:
        course = CourseColumns('a"b', "c\td", "e", "f", "g")
        spools = convert_table([table("1\ta\tb")], course=course)
        assert spools.rows is not None
        row = spools.rows.reader().read().split(b"\n")[1]
        assert row.startswith(b'1\ta\tb\t"a""b"\t"c\td"\te\tf\tg\t')
        spools.close()

    def test_null_escapes_and_carriage_returns_stay_byte_for_byte(self) -> None:
        got = convert(table("NULL\ta\\tb\\\\n\\n\tNone", "\t a\rb \t\r"))
        assert got.rows == [["NULL", "a\\tb\\\\n\\n", "None"], ["", " a\rb ", "\r"]]

    def test_an_empty_last_column_is_a_field(self) -> None:
        assert convert(table("1\t\t", "\t\t")).rows == [["1", "", ""], ["", "", ""]]

    def test_the_last_line_needs_no_line_end(self) -> None:
        whole = convert(table("1\ta\tb", "2\tc\td"))
        assert convert(table("1\ta\tb", "2\tc\td")[:-1]).output == whole.output

    @pytest.mark.parametrize("missing", [1, 2])
    def test_the_last_line_needs_no_cr_lf(self, missing: int) -> None:
        data = table("1\ta\tb", '2\t"c""d"\te', line_end="\r\n")
        assert convert(data[:-missing]).output == convert(data).output

    def test_output_does_not_depend_on_where_blocks_end(self) -> None:
        data = table('1\t"a\nb"\té', '2\t{"c": 1}\td', "3\te\\\nf\tg")
        whole = convert(data)
        assert all(convert(split(data, place)).output == whole.output for place in range(len(data)))
        assert convert(iter(data[place : place + 1] for place in range(len(data)))).output == whole.output

    @pytest.mark.parametrize("chunk", range(1, 40))
    def test_output_does_not_depend_on_the_size_of_chunks(self, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
        data = table('1\t"a""\nb\\\nc\\\nd"\te', '2\t"f""\ng\n"\th', "3\ti\\\nj\tk", '4\t"l""\nm"\tn\\', "5\to\tp")
        for dialect in Dialect:
            whole = convert(data, dialect=dialect)
            with monkeypatch.context() as patch:
                patch.setattr(cutting, "CHUNK", chunk)
                assert convert(data, dialect=dialect) == whole


class TestRowHash:
    def test_row_hash_is_of_the_original_bytes(self) -> None:
        record = b'1\t"{""a"": 1}"\tb\r'
        got = convert(table(record.decode()))
        assert got.hashes == [hashlib.sha256(record).hexdigest()]

    def test_row_hash_has_the_line_ends_inside_a_record_but_not_the_last(self) -> None:
        got = convert(b'a\tb\r\n1\t"x""\r\ny"\r\n')
        assert got.hashes == [hashlib.sha256(b'1\t"x""\r\ny"').hexdigest()]

    def test_concatenated_row_hash_is_of_the_fields_with_nothing_between(self) -> None:
        got = convert(table("1\t23\tx", '12\t3\t"x"'), row_hash=RowHash.CONCATENATED)
        assert got.hashes == [hashlib.sha256(fields).hexdigest() for fields in (b"123x", b'123"x"')]


class TestHeader:
    @pytest.mark.parametrize("data", [b"", b"\n", b"\r\n", b"\xef\xbb\xbf"])
    def test_a_dump_without_a_byte_is_an_empty_table(self, data: bytes) -> None:
        got = convert(data)
        assert (got.report.records_in, got.output, got.problem, got.report.columns) == (0, None, None, ())

    @pytest.mark.parametrize("data", [b"a\tb", b"a\tb\n", b"a\tb\r\n", b'"a"\t"b"\n'])
    def test_a_dump_of_only_a_header_is_an_empty_table(self, data: bytes) -> None:
        got = convert(data)
        assert (got.report.records_in, got.output, got.problem, got.report.columns) == (0, None, None, ("a", "b"))

    def test_a_byte_order_mark_is_no_part_of_the_first_name(self) -> None:
        got = convert(b"\xef\xbb\xbfid\n1\n")
        assert got.report.columns == ("id",)
        assert got.output is not None
        assert got.output.startswith(b"id\t")

    @pytest.mark.parametrize(
        ("header", "why"),
        [
            (b"a\tb\ta", "columns 1 and 3 have the same name"),
            (b"id\tx\tID", "columns 1 and 3 have the same name"),
            (b"a\trow_hash", "column 2 is named row_hash, which is added to every table"),
            (b"Extracted_Course_Key", "column 1 is named extracted_course_key, which is added to every table"),
            (b"a\t\tb", "column 2 of 3 is not named"),
            (b"\n1\t2", "column 1 of 1 is not named"),
            (b"a\t", "column 2 of 2 is not named"),
            (b"a\xff", "column 1 of 1 is not named"),
            ("a\té".encode(), "column 2 of 2 is not named"),
            (b"a\rb", "column 1 of 1 is not named"),
            (b"a\0", "column 1 of 1 is not named"),
            (b"a\t1b", "column 2 of 2 is not named"),
            (b"a\tb c", "column 2 of 2 is not named"),
            (b"a\t" + b"b" * 65, "column 2 of 2 is not named"),
            (b'a\t"b"', "column 2 of 2 is not named"),
            (b'"a"\t"b""c"', "column 2 of 2 is not named"),
            (b"\t".join(b"c%d" % number for number in range(5000)), "5,000 columns"),
            (b"x" * (2 << 20), "over 1,048,576 bytes"),
        ],
    )
    def test_a_bad_header_fails_the_table(self, header: bytes, why: str) -> None:
        got = convert(header + b"\n1\t2\n")
        assert got.problem is not None
        assert why in got.problem
        assert got.output is None
        assert got.report.records_in == 0

    def test_a_header_of_the_greatest_length_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cutting, "HEADER_LIMIT", 10)
        assert convert(table(header="ten\tletters"[:10])).report.columns == ("ten", "letter")
        assert "over 10 bytes" in (convert(table(header="ten\tletters")).problem or "")

    @pytest.mark.parametrize(
        "first_row",
        [
            "7\thonor\tAda\tLovelace\tada@example.com",
            "ada\tLovelace\tada@example.com\tThe Analytical Engine\tNULL",
            "edX/DemoX/Demo_Course\tada\tAda Lovelace\tstudent\t1",
            '"ada"\t"Lovelace"\t"ada@example.com"',
        ],
    )
    def test_a_table_that_begins_with_a_learner_fails_and_no_message_quotes_the_learner(self, first_row: str) -> None:
        got = convert(table("8\tb\tc\td\te", header=first_row))
        assert got.problem is not None
        assert "no readable header: column" in got.problem
        assert (got.output, got.rejects, got.report.columns) == (None, [], ())
        assert not set(re.findall(r"\w{4,}", first_row)) & set(re.findall(r"\w{4,}", got.problem))

    def test_a_header_of_a_known_table_has_a_known_column_and_any_number_of_others(self) -> None:
        known = frozenset({"id", "username"})
        assert convert(table(header="renamed\tUserName\tadded"), known_columns=known).problem is None
        got = convert(table(header="ada\tLovelace\thonor"), known_columns=known)
        assert got.problem is not None
        assert "none of its 3 names is a column of this table" in got.problem
        assert (got.output, got.report.columns) == (None, ())
        assert not {"ada", "Lovelace", "honor"} & set(re.findall(r"\w+", got.problem))

    def test_a_name_is_made_of_letters_digits_and_underscores(self) -> None:
        names = ["id", "user_id", "is_active", "email_key", "_state", "V2", "submissions_studentitem_2", "x" * 64]
        assert convert(table(header="\t".join(names))).report.columns == tuple(names)

    def test_names_of_a_header_may_be_in_quotes(self) -> None:
        got = convert(table('"1"\t"a"\t""', header='"id"\t"text"\t"last"'))
        assert (got.report.columns, got.report.dialect) == (("id", "text", "last"), Dialect.QUOTED)
        assert got.rows == [["1", "a", ""]]


class TestPlain:
    def test_quotes_mean_nothing(self) -> None:
        got = convert(table('1\t"a"\t"', '2\ta "b" c\t5"', '3\t"x\ty"'))
        assert got.report.dialect is Dialect.PLAIN
        assert got.rows == [["1", '"a"', '"'], ["2", 'a "b" c', '5"'], ["3", '"x', 'y"']]

    def test_backslashes_mean_nothing_in_plain(self) -> None:
        got = convert(table("1\ta\\\tb", "2\tc\td\\", "3\te\\q\tf"))
        assert got.report.dialect is Dialect.PLAIN
        assert got.rows == [["1", "a\\", "b"], ["2", "c", "d\\"], ["3", "e\\q", "f"]]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ('"{""a"": 1}"', '{"a": 1}'),
            ('"[""a"", ""b""]"', '["a", "b"]'),
            ('"{}"', '"{}"'),
            ('"{"a": 1}"', '"{"a": 1}"'),
            ('"{""a"": "1}"', '"{""a"": "1}"'),
            ('"{""a""]"', '"{""a""]"'),
            ('"a ""b"" c"', '"a ""b"" c"'),
            ('{"a": 1}', '{"a": 1}'),
            ('{""a"": 1}', '{""a"": 1}'),
        ],
    )
    @pytest.mark.parametrize("last", ["x", 'x"', "x\r", 'x"\r'])
    def test_of_wrapped_fields_only_json_with_doubled_quotes_is_unwrapped(
        self, field: str, value: str, last: str
    ) -> None:
        got = convert(table(f"1\t{field}\t{last}"), dialect=Dialect.PLAIN)
        assert got.rows == [["1", value, last]]

    def test_lines_with_other_numbers_of_fields_are_rejected(self) -> None:
        got = convert(table("1\ta\tb", "2\ta\tb\tc", "3\tc\td"))
        assert got.reasons == [(3, "too_many_fields")]
        assert got.rows == [["1", "a", "b"], ["3", "c", "d"]]


class TestEscaped:
    def test_a_tab_or_lf_after_an_odd_number_of_backslashes_is_data(self) -> None:
        got = convert(table("1\ta\\\tb\tc", "2\ta\\\nb\\\\\tc", "3\t\\\\\\\tb\tc"))
        assert got.report.dialect is Dialect.ESCAPED
        assert got.rows == [["1", "a\\\tb", "c"], ["2", "a\\\nb\\\\", "c"], ["3", "\\\\\\\tb", "c"]]

    def test_a_tab_or_lf_after_an_even_number_of_backslashes_ends_a_field_or_record(self) -> None:
        got = convert(table("1\ta\tb\\\\", "2\ta\\\\\tb", "3\tc\td"), dialect=Dialect.ESCAPED)
        assert got.rows == [["1", "a", "b\\\\"], ["2", "a\\\\", "b"], ["3", "c", "d"]]

    def test_escaped_is_chosen_if_fewer_lines_misfit_it(self) -> None:
        escaped, plain = "1\ta\\\tb\tc", "2\tc\td\\"
        assert convert(table(plain, plain, escaped, "x\ty\tz")).report.dialect is Dialect.PLAIN
        assert convert(table(plain, escaped, "x\ty\tz", escaped, escaped)).report.dialect is Dialect.ESCAPED

    def test_a_tie_between_plain_and_escaped_goes_to_plain(self) -> None:
        assert convert(table('1\t{"a": "\\\\n"}\tx')).report.dialect is Dialect.PLAIN

    def test_a_tie_under_the_header_of_studentmodule_goes_to_escaped(self) -> None:
        fields = ["1", "problem", "block", "7", '{"a": 1}', "NULL", "then", "now", "1", "na", "course"]
        assert convert(table("\t".join(fields), header=STUDENTMODULE)).report.dialect is Dialect.ESCAPED
        longer = table("\t".join([*fields, "x"]), header=STUDENTMODULE + "\tx")
        assert convert(longer).report.dialect is Dialect.PLAIN

    @pytest.mark.parametrize("pair", ["\\q", "\\N", '\\"', "\\\r"])
    def test_pairs_that_no_exporter_writes_do_not_fit_escaped(self, pair: str) -> None:
        got = convert(table("1\ta\tb", f'2\t{pair}"\tc', "3\td\te"), dialect=Dialect.ESCAPED)
        assert got.reasons == [(3, "escapes")]

    def test_a_line_with_another_pair_that_reads_alike_in_all_dialects_is_delivered(self) -> None:
        got = convert(table("1\ta\\\tb\tc", "2\ta\\q\tb", "3\ta\\\tb\tc"))
        assert got.report.dialect is Dialect.ESCAPED
        assert got.rows[1] == ["2", "a\\q", "b"]

    @pytest.mark.parametrize("field", ["a\\\tb\\q", "a\\\nb\\q", "a\\q\\\nb"])
    def test_a_record_with_another_pair_that_reads_otherwise_in_plain_is_rejected(self, field: str) -> None:
        got = convert(table("1\ta\tb", f"2\t{field}\tc", "3\td\te"), dialect=Dialect.ESCAPED)
        assert got.reasons == [(3, "escapes")]

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    @pytest.mark.parametrize("escapes", Escapes)
    def test_an_escaped_tab_ends_no_field_where_the_line_has_as_many_tabs_as_a_record(
        self, escapes: Escapes, line_end: str
    ) -> None:
        data = table("1\ta\tb", "2\ta\\\tb", "3\ta\\\tb\tc", "4\td\te", line_end=line_end)
        got = convert(data, dialect=Dialect.ESCAPED, escapes=escapes)
        assert [reason for reason in got.reasons if reason[1] != "neighbour"] == [(3, "too_few_fields")]

    def test_an_escaped_tab_ends_no_field_where_the_last_record_is_not_over(self) -> None:
        lines = ("1\ta\\\tb\tc", "2\ta\\\tb", *["3\ta\\\tb\tc"] * 9, "4\td\te\\")
        got = convert(table(*lines), dialect=Dialect.ESCAPED)
        assert [reason for _, reason in got.reasons] == ["too_few_fields", "neighbour", "neighbour", "escapes"]

    def test_a_value_that_is_not_over_at_the_end_of_the_file_is_rejected(self) -> None:
        got = convert(table("1\ta\tb", "2\ta\tb\\"), dialect=Dialect.ESCAPED)
        assert got.reasons == [(3, "escapes")]

    def test_json_is_unwrapped_in_escaped_as_well(self) -> None:
        got = convert(table('1\ta\\\tb\t"{""a"": 1}"', '2\tx"y\tz'), dialect=Dialect.ESCAPED)
        assert got.rows == [["1", "a\\\tb", '{"a": 1}'], ["2", 'x"y', "z"]]


class TestQuoted:
    def test_quoted_unwraps_every_wrapped_field(self) -> None:
        got = convert(table('1\t"a ""b"" c"\t"d"', '2\t"a\tb"\t"c\nd"', '3\t""\t""""'))
        assert (got.report.dialect, got.report.rfc4180_records, got.report.rfc4180_violations) == (Dialect.QUOTED, 3, 0)
        assert got.rows == [["1", 'a "b" c', "d"], ["2", "a\tb", "c\nd"], ["3", "", '"']]

    @pytest.mark.parametrize("place", range(3))
    def test_the_only_quotes_of_a_record_are_taken_off(self, place: int) -> None:
        fields = ["1", "a", "x"]
        fields[place] = "a'b c"
        line = "\t".join(f'"{field}"' if n == place else field for n, field in enumerate(fields))
        assert convert(table(line), dialect=Dialect.QUOTED).rows == [fields]

    def test_backslashes_mean_nothing(self) -> None:
        got = convert(table('1\t"a\\"\t"b""c"', "2\td\\\te\\"))
        assert got.rows == [["1", "a\\", 'b"c'], ["2", "d\\", "e\\"]]

    @pytest.mark.parametrize("line", ['a"b\tx', '"a"b\tx', '"a" \tx', 'x\ta""', '"a\tx', 'x\t"a'])
    def test_quoted_is_strict(self, line: str) -> None:
        good = [f'{number}\t"""x"""\tz' for number in range(10)]
        got = convert(table(*good, f"1\t{line}", "3\tb\tc"))
        assert (got.report.dialect, got.report.rfc4180_records, got.report.rfc4180_violations) == (
            Dialect.QUOTED,
            10,
            1,
        )
        assert (12, "quotes") in got.reasons
        assert got.rows[-1] == ["3", "b", "c"]

    def test_a_sound_record_with_the_wrong_number_of_fields_is_rejected_whole(self) -> None:
        got = convert(table("1\tx\ty", '2\t"a', "3\tb\tc", 'd"', "4\te\tf"), dialect=Dialect.QUOTED)
        assert raw(got.rejects[0]) == b'2\t"a\n3\tb\tc\nd"'
        assert got.reasons == [(3, "too_few_fields"), (2, "neighbour"), (6, "neighbour")]

    def test_a_lone_lf_where_lines_end_in_cr_lf_is_only_data_inside_quotes(self) -> None:
        got = convert(b'a\tb\r\n1\t"x\ny"\r\n2\tx\n3\t"z\r\n"\r\n')
        assert got.rows == [["1", "x\ny"], ["3", "z\r\n"]]
        assert got.reasons == [(4, "line_end")]

    def test_ten_quoted_records_to_one_violation_are_enough_for_quoted(self) -> None:
        good, bad = '1\t"a ""b"""\tc', '2\ta "b"\tc'
        assert convert(table(*[good] * 10, bad)).report.dialect is Dialect.QUOTED
        assert convert(table(*[good] * 9, bad)).report.dialect is Dialect.MIXED

    @pytest.mark.parametrize("field", ['"a"', '"a b"', '""'])
    def test_needless_quotes_prove_nothing(self, field: str) -> None:
        assert convert(table(f"1\t{field}\tx")).report.dialect is Dialect.PLAIN

    @pytest.mark.parametrize("inside", ['""', "\t", "\r", "\n"])
    def test_quotes_that_are_needed_prove_quoted(self, inside: str) -> None:
        got = convert(table(f'1\t"a{inside}b"\tx'))
        assert (got.report.dialect, got.report.rfc4180_records) == (Dialect.QUOTED, 1)
        assert got.rows == [["1", f"a{inside}b".replace('""', '"'), "x"]]

    def test_a_lf_alone_proves_nothing_where_each_line_is_a_plain_record(self) -> None:
        got = convert(table('"a', 'b"', header="only"))
        assert (got.report.dialect, got.report.rfc4180_records) == (Dialect.PLAIN, 0)
        assert got.rows == [['"a'], ['b"']]


class TestMixed:
    RAW = ('2\tsays "a"\tx', '3\t{"a": 1}\ty')
    WRAPPED = '1\t"a ""b"""\tc'

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    def test_mixed_takes_the_dialect_that_fits(self, line_end: str) -> None:
        got = convert(table(*self.RAW, '4\t"a\nb\tc"\tx', "5\td\te", line_end=line_end))
        assert (got.report.dialect, got.report.rfc4180_records, got.report.rfc4180_violations) == (Dialect.MIXED, 1, 2)
        assert got.rows == [["2", 'says "a"', "x"], ["3", '{"a": 1}', "y"], ["4", "a\nb\tc", "x"], ["5", "d", "e"]]

    @pytest.mark.parametrize("last", ["x", '"[""b""]"'])
    def test_mixed_takes_a_record_that_dialects_read_alike(self, last: str) -> None:
        got = convert(table(*self.RAW, f'4\t"{{""a"": 1}}"\t{last}'))
        assert got.report.dialect is Dialect.MIXED
        assert got.rows[-1] == ["4", '{"a": 1}', last.strip('"').replace('""', '"')]

    def test_mixed_takes_lines_of_a_quoted_record_that_does_not_fit(self) -> None:
        got = convert(table(*self.RAW, '4\ta\t"x', 'y"\t"b"\tc', '6\t"d\te"\tf'))
        assert got.report.dialect is Dialect.MIXED
        assert got.rows[2:] == [["4", "a", '"x'], ['y"', '"b"', "c"], ["6", "d\te", "f"]]
        got = convert(table(*self.RAW, '4\ta\t"x', '5\t""\tc', 'z"\tb\td', '6\t"d\te"\tf'))
        assert got.rows[2:-1] == [["4", "a", '"x'], ["5", '""', "c"], ['z"', "b", "d"]]

    def test_mixed_rejects_a_record_that_dialects_read_differently(self) -> None:
        got = convert(table(*self.RAW, self.WRAPPED, '5\t"a"\tx'))
        assert got.reasons == [(4, "ambiguous"), (5, "ambiguous")]
        assert got.report.ambiguous == 2

    def test_mixed_rejects_all_lines_that_two_dialects_claim(self) -> None:
        got = convert(table(*self.RAW, '4\ta\t"x', '5\tb\t""y"', "6\tc\td"))
        assert [raw(reject) for reject in got.rejects] == [b'4\ta\t"x\n5\tb\t""y"']
        assert got.rows[-1] == ["6", "c", "d"]

    def test_the_base_of_mixed_may_be_escaped(self) -> None:
        got = convert(table(*self.RAW, "4\ta\\\tb\tc", '5\t"a\tb"\tc'))
        assert got.report.dialect is Dialect.MIXED
        assert got.rows[-2:] == [["4", "a\\\tb", "c"], ["5", "a\tb", "c"]]

    def test_an_escaped_tab_ends_no_field_of_mixed_where_rfc_4180_cannot_read_the_line(self) -> None:
        got = convert(table(*self.RAW, *["4\ta\\\tb\tc"] * 9, '5\t"a\tb"\tc', '6\ta"\\\tb', "7\ta\tb"))
        assert (got.report.dialect, got.reasons[0]) == (Dialect.MIXED, (14, "too_few_fields"))

    def test_a_field_that_only_escaped_reads_on_is_ambiguous(self) -> None:
        got = convert(table(*self.RAW, "4\ta\\\tb\tc", '5\t"a\tb"\tc', "6\ta\tb\\", "c"))
        assert (got.report.dialect, got.reasons) == (Dialect.MIXED, [(6, "ambiguous")])
        assert raw(got.rejects[0]) == b"6\ta\tb\\\nc"


class TestForcedReading:
    DATA = table('1\t"a ""b"""\tx')

    def test_a_forced_dialect_is_taken_against_the_counts(self) -> None:
        assert convert(self.DATA).rows == [["1", 'a "b"', "x"]]
        got = convert(self.DATA, dialect=Dialect.PLAIN)
        assert (got.report.dialect, got.problem) == (Dialect.PLAIN, None)
        assert got.rows == [["1", '"a ""b"""', "x"]]

    def test_a_forced_dialect_may_be_mixed(self) -> None:
        got = convert(self.DATA, dialect=Dialect.MIXED)
        assert got.report.dialect is Dialect.MIXED
        assert got.reasons == [(2, "ambiguous")]

    def test_counts_go_on_with_a_forced_dialect(self) -> None:
        report = convert(self.DATA * 2, dialect=Dialect.PLAIN).report
        assert (report.rfc4180_records, report.rfc4180_violations) == (2, 0)


class TestLateEvidence:
    PLAIN = table(*['1\ta "b" c\tx1'] * 800_000)

    def test_late_evidence_for_another_dialect_fails_the_table(self) -> None:
        got = convert([self.PLAIN, b'2\t"a\tb"\tx\n3\tshort\n'])
        assert got.problem is not None
        assert "dialect" in got.problem
        assert got.output is None
        assert got.reasons == [(800_002, "too_many_fields"), (800_003, "too_few_fields")]

    def test_late_evidence_for_the_chosen_dialect_fails_nothing(self) -> None:
        assert convert([self.PLAIN, b'2\ta "b" c\tx\n']).problem is None

    def test_evidence_that_comes_in_time_fails_nothing(self) -> None:
        got = convert([table(*["1\tabcd\tx1234"] * 1_000_000), b'2\t"a\tb"\tx\n'])
        assert (got.problem, got.report.dialect) == (None, Dialect.QUOTED)

    @pytest.mark.parametrize(("lines", "chosen"), [(3, Dialect.MIXED), (2, None)])
    def test_a_dialect_is_chosen_after_so_many_lines(
        self, lines: int, chosen: Dialect | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables_convert, "WINDOW_LINES", lines)
        data = table('1\ta "b"\txyz', '1\ta "b"\txyz', '2\t"ab\tc"\txy', header="id\ttext\tend")
        monkeypatch.setattr(cutting, "CHUNK", len(data) // 4)
        assert {len(line) for line in data.splitlines(keepends=True)} == {cutting.CHUNK}
        got = convert(data)
        assert (got.problem is None) == (chosen is not None)
        assert got.report.dialect is (chosen or Dialect.PLAIN)


class TestDecode:
    def test_decoding_undoes_pairs_in_one_pass_and_empties_null(self) -> None:
        got = convert(table("1\ta\\\\n\\n\\r\\t\\0\tNULL", "2\ta\\\tb\\\nc\\\0\td"), escapes=Escapes.DECODE)
        assert got.rows == [["1", "a\\n\n\r\t\0", ""], ["2", "a\tb\nc\0", "d"]]

    @pytest.mark.parametrize("dialect", [Dialect.PLAIN, Dialect.ESCAPED, Dialect.MIXED])
    def test_decoding_empties_null_in_rows_without_escapes(self, dialect: Dialect) -> None:
        got = convert(table("1\tNULL\tNULL x", "NULL\ta\tNULL"), escapes=Escapes.DECODE, dialect=dialect)
        assert got.rows == [["1", "", "NULL x"], ["", "a", ""]]

    def test_decoding_leaves_a_file_with_another_pair_alone(self) -> None:
        got = convert(table("1\ta\\n\tNULL", "2\ta\\qb\tc"), escapes=Escapes.DECODE)
        assert got.rows == [["1", "a\\n", "NULL"], ["2", "a\\qb", "c"]]

    def test_decoding_leaves_a_quoted_file_alone(self) -> None:
        got = convert(table('1\t"a ""b\\n"""\tNULL'), escapes=Escapes.DECODE)
        assert got.report.dialect == Dialect.QUOTED
        assert got.rows == [["1", 'a "b\\n"', "NULL"]]

    def test_decoding_leaves_the_quoted_records_of_a_mixed_file_alone(self) -> None:
        got = convert(table('1\t"a\t\\n"\tNULL', '2\ta "b" \\n\tNULL'), escapes=Escapes.DECODE)
        assert got.report.dialect == Dialect.MIXED
        assert got.rows == [["1", "a\t\\n", "NULL"], ["2", 'a "b" \n', ""]]

    def test_decoding_leaves_the_row_hash_alone(self) -> None:
        data = table("1\ta\\nb\tNULL")
        assert convert(data, escapes=Escapes.DECODE).hashes == convert(data).hashes


class TestLineEnds:
    def test_a_lf_file_keeps_its_carriage_returns(self) -> None:
        assert convert(table("1\ta\tb\r", "2\tc\td")).rows == [["1", "a", "b\r"], ["2", "c", "d"]]

    def test_cr_lf_ends_all_lines_if_it_ends_the_header(self) -> None:
        got = convert(table("1\ta\tb", '2\t{"c": 1}\td\r', "3\te\tf", line_end="\r\n"))
        assert got.rows == [["1", "a", "b"], ["2", '{"c": 1}', "d\r"], ["3", "e", "f"]]
        assert got.output is not None
        assert b"\r\n" not in got.output

    def test_a_line_without_its_cr_fits_nothing(self) -> None:
        got = convert(b"a\tb\r\n1\tx\r\n2\ty\n3\tz\r\n")
        assert got.reasons == [(3, "line_end")]

    def test_a_backslash_before_cr_lf_escapes_nothing(self) -> None:
        got = convert(b"a\tb\r\n1\tx\\\r\n2\ty\r\n", dialect=Dialect.ESCAPED)
        assert (got.rows, got.reasons) == ([["2", "y"]], [(2, "escapes")])

    def test_cr_lf_inside_an_escaped_value_is_data(self) -> None:
        got = convert(b"a\tb\r\n1\tx\\\ny\r\n2\tz\r\n", dialect=Dialect.ESCAPED)
        assert got.rows == [["1", "x\\\ny"], ["2", "z"]]


def test_a_chunk_that_waits_keeps_nothing_but_its_bytes() -> None:
    chunk = Chunk(b'1\t"a""b"\n2\tc\\\n3\td"\n', 1, crlf=False)
    kept = set(vars(chunk))
    for name, member in vars(Chunk).items():
        if isinstance(member, cached_property):
            getattr(chunk, name)
    assert set(vars(chunk)) > kept
    chunk.forget()
    assert set(vars(chunk)) == kept

"""One line at a time: its event, or the reason why it has none."""

from __future__ import annotations

import json

import pytest

from edxorg.lib.tracking_log import exact_path
from edxorg.lib.tracking_log.exact_path import NotAnObjectError, read_event, top_level_members
from edxorg.lib.tracking_log.log_rejects import LineRejectReason, RejectedLineError
from edxorg_tests.support.tracking_logs import MIB

SPACES = " \t\r\n"


def values(line: bytes) -> dict[str, str | None]:
    event = read_event(line).event
    assert event.places == [0]
    return {key: json.loads(bytes(text)) for key, (text,) in zip(event.keys, event.columns, strict=True)}


def reason(line: bytes) -> LineRejectReason:
    with pytest.raises(RejectedLineError) as rejected:
        read_event(line)
    return rejected.value.reason


def members(text: str) -> list[tuple[str, str]]:
    return [(key.decode(), value.decode()) for key, value in top_level_members(text.encode())]


class TestMembers:
    @pytest.mark.parametrize(
        "value",
        [
            *('""', '"a"', '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uDE00é"', '"a\\nb"', "true", "false", "null"),
            *("0", "-0", "10", "-1.50E+3", "0.1e-7", "1e999", "12345678901234567890123"),
            *("[]", "{}", "[[]]", "[{}]", '{"a":[]}', '{"a":{}}', "[1]", '["a"]', "[1,2,3]", '{"a":1,"a":2,"b":"c"}'),
            *('[{"a":[1,{"b":2}],"c":3},4]', '{"a":[{"b":[1]}],"c":{"d":5}}', '[[],{},[1],{"a":1}]', "[[1],2]"),
        ],
    )
    def test_a_value_is_its_own_text_wherever_it_stands(self, value: str) -> None:
        expected = ("a", "1")
        for before, after in (([], []), ([expected], []), ([], [expected]), ([expected], [expected])):
            all_members = [*before, ("k", value), *after]
            text = "{" + ",".join(f'"{key}":{each}' for key, each in all_members) + "}"
            assert members(text) == [(f'"{key}"', each) for key, each in all_members]

    @pytest.mark.parametrize("space", [*SPACES, SPACES])
    def test_white_space_may_stand_between_any_two_tokens(self, space: str) -> None:
        assert members(space.join(["", "{", "}", ""])) == []
        for value in (
            *(["[", "]"], ["{", "}"], ["[", "1", ",", '"x"', ",", "[", "]", "]"], ["{", '"c"', ":", "1", "}"]),
            ["{", '"c"', ":", "{", '"d"', ":", "null", "}", ",", '"e"', ":", "[", "true", "]", "}"],
        ):
            tokens = ["{", '"a"', ":", *value, ",", '"b"', ":", *value, "}"]
            text = space.join(value)
            assert members(space.join(["", *tokens, ""])) == [('"a"', text), ('"b"', text)]

    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", "1", "[]", '"a"', "{", "}", "{}}", "{}{}", "{}x", "x{}", "{,}", "{1}", "{a:1}", "{'a':1}"),
            *('{"a"}', '{"a":}', '{"a" 1}', '{"a":1', '{"a":1,}', '{"a":1,,"b":2}', '{"a":1 "b":2}', '{"a":1;"b":2}'),
            *('{"a":1}{"b":2}', '{"a":1},{"b":2}', '{"a":tru}', '{"a":xtrue}', '{"a":NaN}', '{"a":01}', '{"a":1.}'),
            *('{"a":.5}', '{"a":+1}', '{"a":1e}', '{"a":"}', '{"a":"\\x"}', '{"a":"\\u12g4"}', '{"a":"\x1f"}'),
            *(
                '{"a\n":1}',
                '{"a":[}',
                '{"a":]}',
                '{"a":[1}',
                '{"a":{"b":1]}',
                '{"a":[1}]}',
                '{"a":{"b":1}',
                '{"a":[1,]}',
            ),
            *('{"a":[,1]}', '{"a":[1 2]}', '{"a":[1]]}', '{"a":{"b":1}}}', '{"a":{"b"}}', '{"a":{"b":1,}}'),
            *(
                '{"a":{"b":1,2}}',
                '{"a":{1:2}}',
                '{"a":{"b":1 "c":2}}',
                '{"a":["b":1]}',
                '{"a":{"b":[1}]}}',
                '{"a":[{"b":1]}',
            ),
        ],
    )
    def test_what_is_not_one_object_is_refused(self, text: str) -> None:
        with pytest.raises(NotAnObjectError):
            members(text)

    def test_brackets_may_be_nested_without_end(self) -> None:
        deep = "[" * 50_000 + '{"b":[' * 50_000 + "]}" * 50_000 + "]" * 50_000
        assert members(f'{{"a":{deep},"c":1}}') == [('"a"', deep), ('"c"', "1")]


class TestEvents:
    @pytest.mark.parametrize("space", ["", "  "])
    def test_strings_stay_and_all_else_becomes_its_text(self, space: str) -> None:
        line = f'{{"s":{space}"caf\\u00e9","é":1.10,"t":"null","z":null,"o":{{"a": [1]}},"l":[],"u":"😀","e":""}}'
        assert values(line.encode()) == {
            "s": "café",
            "é": "1.10",
            "t": "null",
            "z": None,
            "o": '{"a": [1]}',
            "l": "[]",
            "u": "😀",
            "e": "",
        }
        assert read_event(line.encode()).exact is bool(space)

    @pytest.mark.parametrize(
        ("time", "utc"),
        [
            (b'"2024-05-06T07:08:09.5-05:00"', "2024-05-06 12:08:09.500000"),
            (b'"1714979289"', "2024-05-06 07:08:09.000000"),
            (b"1714979289123", "2024-05-06 07:08:09.123000"),
        ],
    )
    @pytest.mark.parametrize("space", [b"", b"  "])
    def test_the_time_is_in_utc(self, time: bytes, utc: str, space: bytes) -> None:
        assert values(b'{"a":"1714979289","time":%b%b,"b":1714979289}' % (space, time)) == {
            "a": "1714979289",
            "time": utc,
            "b": "1714979289",
        }

    @pytest.mark.parametrize("space", [b"", b"  "])
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (b'{"time":%b"soon"}', LineRejectReason.UNREADABLE_TIME),
            (b'{"time":%bnull}', LineRejectReason.UNREADABLE_TIME),
            (b'{"time":%b[]}', LineRejectReason.UNREADABLE_TIME),
            (b'{"a":%b1,"b":2,"a":1}', LineRejectReason.REPEATED_KEY),
            (b'{"a":%b1,"\\u0061":2}', LineRejectReason.REPEATED_KEY),
            (b'{"a":%b"\\ud83d"}', LineRejectReason.LONE_SURROGATE),
            (b'{"\\ud83d":%b1}', LineRejectReason.LONE_SURROGATE),
            (b'{"a":%b"\xff"}', LineRejectReason.INVALID_UTF8),
            (b'{"a":%b1', LineRejectReason.NO_OBJECT),
            (b'{"a":%b1}}', LineRejectReason.NO_OBJECT),
            (b'{"a":%b\xff', LineRejectReason.INVALID_UTF8),
            (b"%bevent", LineRejectReason.NO_OBJECT),
            (b"%b", LineRejectReason.NO_OBJECT),
            (b"%bev\xffent", LineRejectReason.INVALID_UTF8),
            (b'%b[{"a":1}]', LineRejectReason.NO_OBJECT),
        ],
    )
    def test_other_lines_have_a_reason(self, line: bytes, why: LineRejectReason, space: bytes) -> None:
        assert reason(line % space) == why

    @pytest.mark.parametrize("count", [500, 501, 503])
    def test_all_keys_of_a_line_are_read_up_to_one_more_than_there_may_be(self, count: int) -> None:
        line = b'{"k0":  0' + b"".join(b',"k%d":%d' % (number, number) for number in range(1, count))
        assert values(line + b"}") == {f"k{number}": str(number) for number in range(min(count, 501))}
        assert reason(line) == LineRejectReason.NO_OBJECT
        assert reason(line + b',"k1":1}') == LineRejectReason.REPEATED_KEY if count == 500 else True

    def test_what_a_line_becomes_is_never_over_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line = '{"é":  "caf\\u00e9", "b": ["x", null], "c": null}'.encode()
        becomes = '{"é":"café","b":"[\\"x\\", null]","c":null}'.encode()
        monkeypatch.setattr(exact_path, "MAX_LINE_BYTES", len(becomes))
        assert values(line) == json.loads(becomes)
        monkeypatch.setattr(exact_path, "MAX_LINE_BYTES", len(becomes) - 1)
        assert reason(line) == LineRejectReason.TOO_LONG

    def test_the_limit_is_16_mebibytes(self) -> None:
        text = "x" * (16 * MIB - len('{"a":""}'))
        assert values(b'{"a":"%b"}' % text.encode()) == {"a": text}
        assert reason(b'{"a":"%bx"}' % text.encode()) == LineRejectReason.TOO_LONG


class TestBeforeTheObject:
    @pytest.mark.parametrize(
        "prefix",
        [
            *(
                b"lms_1 | ",
                b"lms_1|",
                b"a.b-C_9 \t|\t",
                b"\x1b[36;1mlms\x1b[0m | ",
                b"\x1b[36mlms \x1b[0m\x1b[1m |\x1b[0m ",
            ),
            *(b" \x1b[1;2m\x1b[3mlms | ", b"[pod/lms-0] ", b"[pod/lms-0/lms] ", b"Jan  1 00:00:00 host "),
            *(
                b"<134>Dec 31 23:59:59 host app[12]: ",
                b"<13>1 2014-09-09T00:00:48.003Z host ",
                b"2014-09-09 00:00:48,003 x ",
            ),
            *(b"lms | Feb 2 01:02:03 host ", b"[pod/a/b] 2014-09-09T00:00:48+00:00 x ", b"\t lms | "),
        ],
    )
    @pytest.mark.parametrize("line", [b'{"a":1}', b'{"a":  1}'])
    def test_a_prefix_is_dropped_and_told(self, prefix: bytes, line: bytes) -> None:
        assert values(prefix + line) == {"a": "1"}
        assert read_event(prefix + line)[1:] == (b"  " in line, False, True)

    @pytest.mark.parametrize(
        "prefix",
        [
            *(
                b"x",
                b"lms ",
                b"| ",
                b"l ms | ",
                b"lms | x",
                b"lms | lms | ",
                b"[pod] ",
                b"[pod/lms]",
                b"[POD/lms] ",
                b"[pod/a/b/c] ",
            ),
            *(
                b"Jab 1 00:00:00 host ",
                b"Jan 1 00:00 host ",
                b"2014-09-09 host ",
                b"Jan 1 00:00:00 { ",
                b"_lms | ",
                b"x | x ",
            ),
        ],
    )
    def test_anything_else_is_no_prefix(self, prefix: bytes) -> None:
        assert reason(prefix + b'{"a":1}') == LineRejectReason.NO_OBJECT

    @pytest.mark.parametrize("line", [b'{"a":1}', b'{"a":  1}'])
    @pytest.mark.parametrize(
        ("before", "nul_bytes", "prefix"),
        [
            *((b"", False, False), (b"\xef\xbb\xbf", False, False), (b"\0", True, False), (b"\0" * 9, True, False)),
            *(
                (b"\xef\xbb\xbf\0", True, False),
                (b" \t", False, False),
                (b"\0 \t", True, False),
                (b" \r", False, False),
                (b"\0lms | ", True, True),
            ),
            (b"\xef\xbb\xbflms | ", False, True),
        ],
    )
    @pytest.mark.parametrize("after", [b"", b"\r", b" \t\r", b"\t"])
    def test_bytes_around_it_are_dropped_and_told(
        self,
        line: bytes,
        before: bytes,
        nul_bytes: bool,  # noqa: FBT001
        prefix: bool,  # noqa: FBT001
        after: bytes,
    ) -> None:
        assert values(before + line + after) == {"a": "1"}
        assert read_event(before + line + after)[1:] == (b"  " in line, nul_bytes, prefix)

    @pytest.mark.parametrize(
        "before", [b"x\0", b"\0x\0", b"\xef\xbb", b"\0\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf", b"x \t"]
    )
    def test_other_bytes_before_it_make_it_none(self, before: bytes) -> None:
        expected = LineRejectReason.INVALID_UTF8 if before == b"\xef\xbb" else LineRejectReason.NO_OBJECT
        assert reason(before + b'{"a":1}') == expected

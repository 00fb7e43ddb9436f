"""A second, slow reader of tables, which goes byte by byte and is written from the rules alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edxorg.lib.tables import Dialect
from edxorg_tests.support.tables import convert, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

STUDENTMODULE = b"id\tmodule_type\tmodule_id\tstudent_id\tstate\tgrade\tcreated\tmodified\tmax_grade\tdone\tcourse_id"

TAB, LF, CR, QUOTE, BACKSLASH = b'\t\n\r"\\'


@dataclass(frozen=True)
class Fit:
    """One record in one dialect: how many lines, and its values, or None if it does not fit."""

    lines: int
    values: list[bytes] | None
    tabs: int
    shows_quoting: bool = False


class Model:
    """A table with a sound header."""

    def __init__(self, data: bytes) -> None:
        header, _, body = data.partition(b"\n")
        self.crlf = header.endswith(b"\r")
        names = header.removesuffix(b"\r").split(b"\t")
        self.columns = len(names)
        self.wrapped = all(len(name) > 1 and name[:1] == name[-1:] == b'"' for name in names)
        self.studentmodule = header.removesuffix(b"\r") == STUDENTMODULE
        self.lines = body.split(b"\n")
        if self.lines[-1] == b"":
            self.lines.pop()
        elif self.crlf and not self.lines[-1].endswith(b"\r"):
            self.lines[-1] += b"\r"

    def ended(self, raw_record: bytes) -> bytes | None:
        """The record without its CR; None if it should have one and has not."""
        if not self.crlf:
            return raw_record
        return raw_record[:-1] if raw_record.endswith(b"\r") else None

    def is_alike(self, line: bytes) -> bool:
        content = self.ended(line)
        return content is not None and (
            content.count(b"\t") == self.columns - 1
            and b'"' not in content
            and b"\\\t" not in content
            and not content.endswith(b"\\")
        )

    def plain(self, start: int) -> Fit:
        content = self.ended(self.lines[start])
        fields = (self.lines[start] if content is None else content).split(b"\t")
        fits = content is not None and len(fields) == self.columns
        return Fit(1, [unwrapped(field) for field in fields] if fits else None, len(fields) - 1)

    def escaped(self, start: int) -> Fit:
        end = start
        fields, pending, good = [bytearray()], False, True
        while True:
            line = self.lines[end]
            last = self.crlf and line.endswith(b"\r")
            for place, byte in enumerate(line):
                if pending:
                    good = good and byte in b"\\nrt0\t\0"
                    pending = False
                    fields[-1].append(byte)
                elif byte == TAB:
                    fields.append(bytearray())
                elif last and place == len(line) - 1:
                    break
                else:
                    pending = byte == BACKSLASH
                    fields[-1].append(byte)
            else:
                good = good and not (self.crlf and not pending)
            end += 1
            if not pending:
                break
            if end == len(self.lines):
                good = False
                break
            pending = False
            fields[-1].append(LF)
        if len(fields) == self.columns and self.is_alike(self.lines[start]):
            good = True
        fits = good and len(fields) == self.columns
        return Fit(end - start, [unwrapped(bytes(field)) for field in fields] if fits else None, len(fields) - 1)

    def misfits_escaped(self, start: int) -> int:
        fit = self.escaped(start)
        if fit.values is None:
            return fit.lines
        pairs, rest = [], b"\n".join(self.lines[start : start + fit.lines])
        while (place := rest.find(b"\\")) >= 0:
            pairs.append(rest[place + 1 : place + 2])
            rest = rest[place + 2 :]
        return 0 if all(pair in (b"\\", b"n", b"r", b"t", b"0", b"\t", b"\n", b"\0") for pair in pairs) else fit.lines

    def quoted(self, start: int) -> Fit | None:  # noqa: C901, PLR0912 - the grammar of RFC 4180, a character at a time
        """None if the quotes are wrong."""
        text = b"\n".join(self.lines[start:]) + b"\n"
        fields: list[bytes] = []
        shows = False
        at = 0
        while True:
            wrapped = text[at] == QUOTE
            field = bytearray()
            if wrapped:
                at += 1
                while True:
                    if at >= len(text) - 1:
                        return None
                    if text[at] != QUOTE:
                        field.append(text[at])
                        at += 1
                    elif text[at + 1] == QUOTE:
                        field.append(QUOTE)
                        at += 2
                    else:
                        at += 1
                        break
            else:
                while text[at] not in b'\t\n"':
                    field.append(text[at])
                    at += 1
                if self.crlf and text[at] == LF:
                    if field[-1:] != b"\r":
                        return None
                    del field[-1]
                    at -= 1
            needs = b'"\t\r' if self.columns == 1 and not self.crlf else b'"\t\r\n'
            shows = shows or (wrapped and any(byte in field for byte in needs))
            fields.append(bytes(field))
            if text[at] == TAB:
                at += 1
                continue
            if text[at : at + 1 + self.crlf] != (b"\r\n" if self.crlf else b"\n"):
                return None
            lines = text[: at + self.crlf].count(b"\n") + 1
            fits = len(fields) == self.columns
            return Fit(lines, fields if fits else None, len(fields) - 1, fits and shows)

    def choose(self) -> tuple[Dialect, Dialect, int, int]:
        first = next((place for place, line in enumerate(self.lines) if not self.is_alike(line)), len(self.lines))
        a = b = not_plain = not_escaped = 0
        at = first
        while at < len(self.lines):
            fit = self.quoted(at)
            if fit is None:
                b += b'"' in self.lines[at]
            elif fit.values is None:
                b += sum(b'"' in line for line in self.lines[at : at + fit.lines])
            else:
                a += fit.shows_quoting
            at += fit.lines if fit else 1
        not_plain = sum(self.plain(place).values is None for place in range(first, len(self.lines)))
        at = first
        while at < len(self.lines):
            not_escaped += self.misfits_escaped(at)
            at += self.escaped(at).lines
        if self.wrapped or (a and a >= 10 * b):
            return Dialect.QUOTED, Dialect.QUOTED, a, b
        tie = not_escaped == not_plain and self.studentmodule
        base = Dialect.ESCAPED if not_escaped < not_plain or tie else Dialect.PLAIN
        return (Dialect.MIXED if a else base), base, a, b

    def records(self, dialect: Dialect, base: Dialect) -> Iterator[tuple[int, Fit]]:
        quoted: dict[int, Fit | None] = {}
        at = 0
        while at < len(self.lines):
            quoted[at] = self.quoted(at)
            at += getattr(quoted[at], "lines", 1)
        at = 0
        while at < len(self.lines):
            of_base = self.escaped(at) if base is Dialect.ESCAPED else self.plain(at)
            of_quoted = quoted.get(at)
            fit = of_base
            if dialect is Dialect.QUOTED:
                fit = of_quoted or Fit(1, None, self.lines[at].count(b"\t"))
            elif dialect is Dialect.MIXED and of_quoted and of_quoted.values is not None:
                if of_base.values is None:
                    fit = of_quoted
                elif (of_base.lines, of_base.values) != (of_quoted.lines, of_quoted.values):
                    fit = Fit(max(of_base.lines, of_quoted.lines), None, self.columns)
            yield at, fit
            at += fit.lines

    def rows(self, dialect: Dialect, base: Dialect) -> tuple[list[list[bytes]], list[int]]:
        """Values of what is delivered, and the first lines, counted from 1, of what is not."""
        fits = list(self.records(dialect, base))
        bad = set()
        for place, (at, fit) in enumerate(fits):
            text = b"\n".join(self.lines[at : at + fit.lines])
            if fit.values is None or not is_utf8(text):
                bad.add(place)
        short = [fit.values is None and fit.tabs < self.columns - 1 for _, fit in fits]
        place = 0
        while place < len(fits):
            if not short[place]:
                place += 1
                continue
            end = place
            while end < len(fits) and short[end]:
                end += 1
            if sum(fits[each][1].tabs for each in range(place, end)) != self.columns - 1:
                bad |= {each for each in (place - 1, end) if 0 <= each < len(fits)}
            place = end
        rows = [fit.values for place, (_, fit) in enumerate(fits) if place not in bad and fit.values is not None]
        return rows, sorted(fits[place][0] + 2 for place in bad)


def unwrapped(field: bytes) -> bytes:
    if field[:2] + field[-2:] not in (b'"{}"', b'"[]"'):
        return field
    inner = field[1:-1]
    parts = inner.split(b'""')
    return b'"'.join(parts) if len(parts) > 1 and not any(b'"' in part for part in parts) else field


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def assert_as_the_model(data: bytes, blocks: list[bytes], forced: Dialect | None = None) -> None:
    model = Model(data)
    dialect, base, a, b = model.choose()
    if forced:
        dialect, base = forced, base if forced is Dialect.MIXED else forced
        if base is Dialect.QUOTED:
            base = Dialect.PLAIN
    rows, rejected = model.rows(dialect, base)
    got = convert(blocks, dialect=forced)
    assert got.report.dialect == dialect
    assert (got.report.rfc4180_records, got.report.rfc4180_violations) == (a, b)
    assert sorted(line for line, _ in got.reasons) == rejected
    assert (got.rows if rows else []) == [[value.decode() for value in row] for row in rows]
    for reject in got.rejects:
        assert raw(reject) in data

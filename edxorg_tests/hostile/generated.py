"""Makes hostile inputs by kind, the same ones from the same seed."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
import random
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, Final

from edxorg_tests.hostile.cases import (
    COURSE,
    GOOD_MEMBERS,
    LOG,
    Case,
    Road,
    archive_of,
    export_of,
    packed,
    tar_member,
    tar_of,
)
from edxorg_tests.hostile.mutations import ODD_JSON, broken_header, mutated, nested, with_odd_value
from edxorg_tests.support.archives import table_name
from edxorg_tests.support.tables import Table, csv_all, csv_minimal, exporter, mysql_batch, mysqlpipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ol_orchestrate.testing.openpgp_keys import GnuPG

ADA, EVE = "ada@example.org", "eve@example.org"
TABLE: Final = table_name("teams", course=COURSE)
FORUM: Final = f"{COURSE}-prod.mongo"
ROWS: Final = b"id\tname\n1\tforged\n2\trow\n"

_ENDINGS: Final = [
    "-auth_user-prod-analytics.sql",
    "-course_structure-edge-analytics.json",
    "-course-prod-edge-analytics.xml.tar.gz",
    "-prod.mongo",
    ".mongo",
    "-auth_user-prod-analytics.sql.failed",
    "-auth_user-prod-analytics.sql.gpg",
]
_IN_COURSES: Final = [
    *("\0", "\n", "\r", "\t", " ", "|", "\\", "$(id)", "`id`", "%2e%2e%2f", "?", "*", "'", '"', ";", "&", "<b>", "{0}"),
    *("..", "\x7f", "\x1b[2J", "\u202e", "\u2028", "\u200b", "\udcff", "\ud800", "#", "@", "!", "=", ",", "x" * 240),
]
_BEFORE: Final = ["../", "../../", "/", "/etc/", "//", "a/../../", "./../", "a/..", "__MACOSX/", "._", "\n/", "\u2029/"]


def names(rng: random.Random) -> Case:
    """A member whose name leads out, forges a key, or is none."""
    parts = ["Bad", "6.00x", "2012_Fall"]
    match rng.randrange(3):
        case 0:
            place = rng.randrange(3)
            at = rng.randrange(len(parts[place]) + 1)
            parts[place] = parts[place][:at] + rng.choice(_IN_COURSES) + parts[place][at:]
            name = "-".join(parts)
        case 1:
            name = rng.choice(_BEFORE) + "-".join(parts)
        case _:
            name = rng.choice(
                ["", "Bad", "Bad-6.00x", "-6.00x-T1", ".-a-b", ".a-b-c", "a-..-c", "a" * 5000, "a-b-" + "0" * 33]
            )
            name = rng.choice(["", "x/", "é/"]) + name
    name += rng.choice(_ENDINGS)
    if rng.random() < 0.3 and name.isprintable():
        content = zip_of((name, ROWS))
        return Case(
            "names", f"in a zip, {name[:80]!a}", content, name="mitx-2024-01-31.zip", may_be_sound="0" * 33 in name
        )
    return Case("names", f"{name[:80]!a}", archive_of((name, ROWS)), may_be_sound="0" * 33 in name)


def zip_of(*members: tuple[str, bytes]) -> bytes:
    """A zip of hostile members between healthy ones."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*GOOD_MEMBERS[:2], *members, *GOOD_MEMBERS[2:]]:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


_WRITERS: Final = [exporter, mysql_batch, mysqlpipe, csv_minimal, csv_all]
_CELLS: Final = [
    'say "hi"',
    "two\nlines",
    "a\tb",
    "C:\\",
    '{"a": "\\n"}',
    "é",
    "",
    None,
    "x" * 300,
    "1\r",
    "NULL",
    '""',
]
_ROWS_TO_SET_ASIDE: Final = [
    ("a row of 100,000 fields", b"1" + b"\tx" * 100_000),
    ("a row of one field", b"1"),
    ("a row that is no UTF-8", b"1\t\xff\tc"),
    ("a surrogate", b"1\t\xed\xa0\x80\tc"),
    ("an overlong NUL", b"1\t\xc0\x80\tc"),
    ("5,000 rows of one field", b"1\n" * 4_999 + b"1"),
    ("a row of TABs", b"\t" * 5_000),
    ("rows of NUL bytes", b"\0\n" * 100),
]
_HEADERS_TO_REFUSE: Final = [
    ("a column twice", b"id\tid\tname"),
    ("a record instead of the header", b"7\tada\tada@example.com"),
    ("a column without a name", b"id\t\tname"),
    ("5,000 columns with one name", b"\t".join([b"x"] * 5_000)),
    ("a column with a name of a megabyte", b"id\tname\t" + b"x" * (1 << 20)),
    ("a header that is no UTF-8", b"id\tna\xffme\tx"),
    ("a header that is a formula", b"=cmd|' /C calc'!A0\tname\tx"),
    ("a header with a NUL", b"id\0\tname\tx"),
]


def tables(rng: random.Random) -> Case:
    """A table with broken records, or without a header, or with random changes."""
    rows: Table = [
        ["id", "name", "text"],
        *([str(n), rng.choice(_CELLS), rng.choice(_CELLS)] for n in range(rng.randint(1, 30))),
    ]
    sound = rng.choice(_WRITERS)(rows)
    match rng.randrange(4):
        case 0:
            title, row = rng.choice(_ROWS_TO_SET_ASIDE)
            head, _, rest = exporter([["id", "name", "text"], ["1", "a", "b"]]).partition(b"\n")
            content = head + b"\n" + rest * 3 + row + b"\n" + rest * 3
            return Case("tables", title, archive_of((TABLE, content)))
        case 1:
            title, header = rng.choice(_HEADERS_TO_REFUSE)
            content = header + b"\n" + sound.partition(b"\n")[2]
            return Case("tables", title, archive_of((TABLE, content)))
        case _:
            return Case("tables", "random changes", archive_of((TABLE, mutated(sound, rng))), may_be_sound=True)


_EVENTS: Final = [
    b'{"name": "play_video", "time": "2024-05-06T07:08:09.123456+00:00", "event": "{\\"id\\": \\"x\\"}", "page": null}',
    b'{"username":"ada","time":"2024-05-06T07:08:09+00:00","context":{"course_id":"course-v1:a+b+c","path":"/x"}}',
    b'{"name": "caf\\u00e9", "n": 12345678901234567890, "ok": true}',
]
_LINES: Final = [
    *(
        b"{",
        b"}",
        b"[1]",
        b"null",
        b'"x"',
        b"\0" * 50,
        b"\xff\xfe",
        b"{}{}",
        b'{"a":1,"a":2}',
        b'{"time": "yesterday"}',
    ),
    *(b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"time":1e99}', b'{"time":"9999-12-31T23:59:59-12:00"}', b'{"a":NaN}'),
    *(b'{"a":' + b"[" * 50_000, b'{"a":"' + b"x" * 300_000, b"{" * 10_000, b'{"' + b"k" * 300 + b'":1}'),
    b"{" + b",".join(b'"k%d":1' % number for number in range(600)) + b"}",
    b'{"time":-99999999999}',
]


def logs(rng: random.Random) -> Case:
    """A log with broken lines, or with random changes, or whose gzip is broken."""
    lines = [rng.choice(_EVENTS) for _ in range(rng.randint(3, 40))]
    match rng.randrange(4):
        case 0 | 1:
            for _ in range(rng.randint(1, 5)):
                lines.insert(rng.randrange(len(lines)), rng.choice(_LINES))
            return Case("logs", "lines that are no events", packed(b"\n".join(lines) + b"\n"), Road.LOG, LOG)
        case 2:
            content = packed(mutated(b"\n".join(lines), rng))
            return Case("logs", "random changes", content, Road.LOG, LOG, may_be_sound=True)
        case _:
            title, content = broken_gzip(packed(b"\n".join(lines) + b"\n"), rng)
            return Case("logs", title, content, Road.LOG, LOG, may_be_sound=title == "random changes")


def broken_gzip(sound: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A gzip that is broken, and how."""
    plain = gzip.decompress(sound)
    return rng.choice(
        [
            ("a cut gzip", sound[: rng.randrange(len(sound) - 1)]),
            ("a gzip in a gzip", packed(sound)),
            ("a gzip with a wrong checksum", sound[:-8] + rng.randbytes(4) + sound[-4:]),
            ("a gzip with a wrong length", sound[:-4] + rng.randbytes(4)),
            ("a gzip with other bytes behind it", sound + b"x" * rng.randint(1, 5_000)),
            ("a gzip with half a gzip behind it", sound + sound[: len(sound) // 2]),
            ("a gzip with unknown flags", sound[:3] + b"\xe0" + sound[4:]),
            ("a gzip with a name without end", sound[:3] + b"\x08" + sound[4:10] + b"n" * 100_000),
            ("a gzip with a wrong method", sound[:2] + b"\x07" + sound[3:]),
            ("a bzip2", bz2.compress(plain)),
            ("an xz", lzma.compress(plain)),
            ("random bytes", rng.randbytes(2_000)),
            ("zero bytes", bytes(5_000)),
            ("an empty gzip", packed(b"")),
            ("nothing", b""),
            ("random changes", mutated(sound, rng)),
        ]
    )


def gzips(rng: random.Random) -> Case:
    """An archive whose gzip is broken."""
    title, content = broken_gzip(archive_of((TABLE, ROWS)), rng)
    return Case("gzips", title, content, may_be_sound=title == "random changes", is_alone=title == "random changes")


_NO_FILES: Final = [
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    b"Z",
    b"M",
    b"V",
]
_TARGETS: Final = ["../../evil", "/etc/passwd", TABLE, "", "\0", "x" * 99]
_PAX: Final = [
    *(
        b"path=../../evil",
        b"path=" + b"x" * 5_000,
        b"size=99999999999",
        b"size=-1",
        b"size=x",
        b"path=a\0b",
        b"GNU.sparse.major=9",
    ),
    *(b"linkpath=/etc/passwd", b"path=\xff\xfe", b"GNU.sparse.map=0,1,2", b"GNU.sparse.realsize=9223372036854775807"),
]


def pax(records: list[bytes], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header."""
    lines = b""
    for record in records:
        size = next(size for size in itertools.count(len(record)) if size == len(b"%d %b\n" % (size, record)))
        lines += b"%d %b\n" % (size, record)
    return tar_member("pax", lines, kind)


def tars(rng: random.Random) -> Case:
    """A tar of links and devices, of broken headers, or that is cut or goes on."""
    member = tar_member(TABLE, ROWS)
    match rng.randrange(6):
        case 0:
            kind, target = rng.choice(_NO_FILES), rng.choice(_TARGETS)
            link = tar_member(rng.choice([TABLE, FORUM, "x"]), b"", kind, target)
            return Case("tars", f"an entry of type {kind!r} to {target[:20]!a}", packed(tar_of(link)))
        case 1:
            name, broken = broken_header(member, rng)
            return Case(
                "tars", f"a header with a wrong {name}", packed(tar_of(broken)), may_be_sound=True, is_alone=True
            )
        case 2:
            records = rng.choices(_PAX, k=rng.randint(1, 4))
            kind = rng.choice([tarfile.XHDTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE])
            content = packed(tar_of(pax(records, kind) + member))
            return Case("tars", f"{b' '.join(records)[:60]!r}", content, may_be_sound=True, is_alone=True)
        case 3:
            whole = tar_of(member)
            return Case("tars", "a cut tar", packed(whole[: rng.randrange(len(whole) - 1024)]))
        case 4:
            return Case("tars", "a tar that goes on", packed(tar_of(member) + bytes(rng.randrange(2_000)) + b"x" * 600))
        case _:
            content = packed(mutated(tar_of(member), rng))
            return Case("tars", "random changes", content, may_be_sound=True, is_alone=True)


def zips(rng: random.Random) -> Case:
    """A zip with wrong headers, or that is cut or goes on, or with random changes."""
    sound = zip_of((TABLE, ROWS * 20))
    entry = sound.index(b"PK\1\2", sound.index(b"PK\1\2", sound.index(b"PK\1\2") + 1) + 1)
    header = sound.index(TABLE.encode()) - 30
    title, content = rng.choice(
        [
            ("a wrong checksum", _put(sound, entry + 16, rng.randbytes(4))),
            ("a wrong size", _put(sound, entry + 24, rng.randbytes(4))),
            ("a wrong packed size", _put(sound, entry + 20, rng.randbytes(3))),
            ("a wrong place", _put(sound, entry + 42, rng.randbytes(3))),
            ("the place of another member", _put(sound, entry + 42, bytes(4))),
            ("another name in the directory", _put(sound, entry + 46, b"Evil")),
            ("another name in its own header", _put(sound, header + 30, b"../x")),
            ("a password", _put(_put(sound, entry + 8, b"\1"), header + 6, b"\1")),
            ("an unknown method", _put(_put(sound, entry + 10, b"\x63"), header + 8, b"\x63")),
            ("a link of its name", _put(_put(sound, entry + 5, b"\3"), entry + 40, b"\xff\xa1")),
            ("a count that is wrong", _put(sound, len(sound) - 14, rng.randbytes(2) * 2)),
            ("a cut zip", sound[: rng.randrange(1, len(sound) - 1)]),
            ("bytes behind a zip", sound + rng.randbytes(100)),
            ("bytes before a zip", rng.randbytes(100) + sound),
            (
                "zip64 that is none",
                sound[:-22] + b"PK\6\6" + rng.randbytes(52) + b"PK\6\7" + rng.randbytes(16) + sound[-22:],
            ),
            ("random changes", mutated(sound, rng)),
            ("random changes of its directory", sound[:entry] + mutated(sound[entry:], rng)),
        ]
    )
    overlaps = title in {"a wrong packed size", "a wrong place", "the place of another member"}
    is_random = title.startswith("random")
    name = "mitx-2024-01-31.zip"
    return Case("zips", title, content, name=name, may_be_sound=is_random, is_alone=is_random or overlaps)


def _put(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


class Messages:
    """OpenPGP messages, made once, since each takes a process."""

    def __init__(self, gnupg: GnuPG) -> None:
        archive = tar_of(tar_member(TABLE, ROWS))
        plain = ["--compress-algo", "none"]
        self._whole = gnupg.message(ROWS * 50, ADA, *plain)
        self._archive = gnupg.message(packed(archive), ADA, *plain)
        unprotected = ["--rfc2440", "--disable-mdc"]
        by_passphrase = ["--passphrase", "x", "--symmetric"]
        signed = gnupg.run("--local-user", ADA, "--sign", stdin=ROWS)
        armored = gnupg.message(ROWS, ADA, "--armor")
        self._wrong = [
            ("a message for another key", gnupg.message(ROWS, EVE)),
            ("a message in a message", gnupg.message(gnupg.message(ROWS, ADA), ADA)),
            ("a message without integrity protection", gnupg.message(ROWS, ADA, *unprotected)),
            ("a message by a passphrase", gnupg.run(*by_passphrase, stdin=ROWS)),
            ("a signed message in clear", signed),
            ("a message that was changed after it was signed", gnupg.changed_after_signing(ROWS * 20, ADA, ADA)),
            ("a key", gnupg.public_key(ADA)),
            ("armor that is cut", armored[: len(armored) // 2]),
            ("two messages", self._whole * 2),
            ("no message", ROWS),
            ("nothing", b""),
            ("zero bytes", bytes(1_000)),
        ]

    def __call__(self, rng: random.Random) -> Case:
        """A member or an archive that is a broken message."""
        kind = "OpenPGP messages"
        cut = self._whole[: rng.randrange(len(self._whole) - 1)]
        match rng.randrange(5):
            case 0 | 1:
                title, message = rng.choice(self._wrong)
                return Case(kind, title, archive_of((f"{TABLE}.gpg", message)))
            case 2:
                return Case(
                    kind, "random changes", archive_of((f"{TABLE}.gpg", mutated(self._whole, rng))), may_be_sound=True
                )
            case 3:
                return Case(kind, "a cut message", archive_of((f"{TABLE}.gpg", cut)))
            case _:
                broken = mutated(self._archive, rng)
                return Case(
                    kind, "an archive, random changes", broken, name="mitx-2024-01-31.tar.gz.gpg", may_be_sound=True
                )


_POST: Final[dict[str, Any]] = {
    "_id": {"$oid": "5"},
    "_type": "CommentThread",
    "title": "t",
    "body": "b",
    "parent_ids": [{"$oid": "x"}],
    "created_at": {"$date": "2013-12-13T02:59:58.520Z"},
    "comment_count": {"$numberLong": "3"},
    "votes": {"up_count": 1, "count": 1},
    "endorsement": {"user_id": "7", "time": {"$date": 1386903598520}},
}
_BLOCK: Final = "block-v1:Bad+6.00x+2012_Fall+type@{}+block@{}"
_STRUCTURE: Final[dict[str, Any]] = {
    _BLOCK.format("course", "course"): {
        "category": "course",
        "children": [_BLOCK.format("chapter", "one")],
        "metadata": {"display_name": "x", "start": "2012-01-01", "tabs": [{"name": "a"}]},
    },
    _BLOCK.format("chapter", "one"): {"category": "chapter", "children": [], "metadata": {"due": "x"}},
}


def jsons(rng: random.Random) -> Case:
    """A forum or a course structure with odd values, wrong forms, or random changes."""
    if rng.random() < 0.5:
        title, line = with_odd_value(_POST, rng)
        lines = [json.dumps(_POST).encode(), line.encode(), rng.choice([b"[1]", b"\xff", b"{", b'{"_id": "x"}'])]
        if rng.random() < 0.3:
            lines[1] = mutated(lines[0], rng).replace(b"\n", b"")
        return Case("JSON", f"a forum with {title}", archive_of((FORUM, b"\n".join(lines) + b"\n")))
    match rng.randrange(4):
        case 0:
            content = mutated(json.dumps(_STRUCTURE).encode(), rng)
            return Case("JSON", "a structure, random changes", content, Road.STRUCTURE, "s.json", may_be_sound=True)
        case 1:
            title, text = rng.choice(ODD_JSON)
            return Case("JSON", f"a structure that is {title}", text.encode(), Road.STRUCTURE, "s.json")
        case 2:
            title, text = with_odd_value(_STRUCTURE, rng)
            return Case("JSON", f"a structure with {title}", text.encode(), Road.STRUCTURE, "s.json", may_be_sound=True)
        case _:
            deep = f'{{"{_BLOCK.format("course", "course")}": {nested(rng.choice((90, 500, 100_000)), "object")}}}'
            return Case("JSON", "a deep structure", deep.encode(), Road.STRUCTURE, "s.json", may_be_sound=True)


_XML: Final = (
    b'<problem display_name="P" max_attempts="3"><p>text</p><choice correct="true">a &amp; b</choice></problem>'
)
_BROKEN_XML: Final = [
    ("a DTD", b'<!DOCTYPE x [<!ENTITY e "x">]><problem>&e;</problem>'),
    ("an external entity", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><problem>&e;</problem>'),
    ("an unknown entity", b"<problem>&e;</problem>"),
    ("300 levels", b"<problem>" + b"<a>" * 300 + b"</a>" * 300 + b"</problem>"),
    ("a million tags", b"<problem>" + b"<a/>" * 1_000_000 + b"</problem>"),
    ("two thousand attributes", b"<problem " + b" ".join(b'a%d=""' % n for n in range(2_000)) + b"/>"),
    ("an attribute twice", b'<problem a="1" a="2"/>'),
    ("a NUL", b"<problem>\0</problem>"),
    ("UTF-7", b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE'),
    ("no XML", b"\xff\xd8\xff\xe0"),
    ("nothing", b""),
    ("half an element", b"<problem"),
    ("an encoding that lies", b'<?xml version="1.0" encoding="ascii"?><problem>\xff</problem>'),
    ("a text of 11 MB", b"<problem>" + b"x" * (11 << 20) + b"</problem>"),
]
_PATHS: Final = ["../../evil.xml", "/etc/evil.xml", "problem/../../evil.xml", "problem/\n.xml", "x" * 2_000 + ".xml"]


def xmls(rng: random.Random) -> Case:
    """An export with broken XML, settings or names."""
    match rng.randrange(5):
        case 0 | 1:
            title, content = rng.choice(_BROKEN_XML)
            files = [("problem/p.xml", content)]
        case 2:
            title, files = "random changes", [("problem/p.xml", mutated(_XML, rng))]
        case 3:
            odd, text = rng.choice(ODD_JSON)
            title, files = f"a policy that is {odd}", [("policies/2012_Fall/policy.json", text.encode())]
        case _:
            title, files = "names that lead out", [(rng.choice(_PATHS), _XML)]
    sound = title == "random changes"
    return Case("XML", title, export_of(files), Road.COURSE_XML, f"{COURSE}.xml.tar.gz", may_be_sound=sound)


SHARES: Final = {
    "names": 20,
    "tables": 20,
    "logs": 10,
    "gzips": 8,
    "tars": 11,
    "zips": 11,
    "OpenPGP": 6,
    "JSON": 7,
    "XML": 7,
}
"""Inputs of each kind out of a hundred."""


def generated(count: int, seed: int, gnupg: GnuPG) -> Iterator[tuple[str, Iterator[Case]]]:
    """Yield the kinds, each with its inputs."""
    makers: dict[str, Callable[[random.Random], Case]] = {
        "names": names,
        "tables": tables,
        "logs": logs,
        "gzips": gzips,
        "tars": tars,
        "zips": zips,
        "OpenPGP": Messages(gnupg),
        "JSON": jsons,
        "XML": xmls,
    }
    shares = {kind: count * share // 100 for kind, share in SHARES.items()}
    shares["names"] += count - sum(shares.values())
    for kind, make in makers.items():
        rng = random.Random(f"{kind} {seed}")  # noqa: S311 - the same inputs each time
        yield kind, (make(rng) for _ in range(shares[kind]))

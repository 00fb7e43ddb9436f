"""The known attacks on readers of archives, tables, logs and documents, one by one."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, cast

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
from edxorg_tests.hostile.generated import ADA, FORUM, ROWS, TABLE, pax, zip_of
from edxorg_tests.hostile.mutations import nested
from edxorg_tests.support.archives import table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from ol_orchestrate.testing.openpgp_keys import GnuPG

KIND: Final = "known attacks"
ZIP: Final = "mitx-2024-01-31.zip"
BOMB: Final = 600 << 20
"""Bytes that a bomb unpacks to: more than the memory that all processes may take."""

_BLOCK: Final = bytes(1 << 20)


def attacks(gnupg: GnuPG, token: str) -> Iterator[Case]:
    """Yield all of them.

    Args:
        gnupg: Makes messages.
        token: A name for files that paths want to write elsewhere.
    """
    yield from _ways_out(token)
    yield from _forged_keys()
    yield from _headers()
    yield from _bombs()
    yield from _zips()
    yield from _tables()
    yield from _logs()
    yield from _documents(token)
    yield from _messages(gnupg)


def _ways_out(token: str) -> Iterator[Case]:
    rest = f"{COURSE}-auth_user-prod-analytics.sql"
    for path in (
        f"../{token}",
        f"../../outside/{token}",
        f"/var/{token}",
        f"/etc/{token}",
        f"~/{token}",
        f"lake/../../{token}",
    ):
        yield Case(KIND, f"a path out, {path.replace(token, '…')}", archive_of((f"{path}-{rest}", ROWS), (path, ROWS)))
        yield Case(
            KIND,
            f"a path out of a zip, {path.replace(token, '…')}",
            zip_of((f"{path}-{rest}", ROWS), (path, ROWS)),
            name=ZIP,
        )
    for kind, what in ((tarfile.SYMTYPE, "symbolic"), (tarfile.LNKTYPE, "hard")):
        link = tar_member("d", b"", kind, "../../outside")
        yield Case(KIND, f"a member behind a {what} link", packed(tar_of(link, tar_member(f"d/{token}", ROWS))))
        named = tar_member(TABLE, b"", kind, "/etc/passwd")
        yield Case(KIND, f"a {what} link with the name of a table", packed(tar_of(named)))
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        yield Case(KIND, f"a device of type {kind!r}", packed(tar_of(tar_member(TABLE, b"", kind))))


def _forged_keys() -> Iterator[Case]:
    for course in (
        "Bad-6.00x-T|prod",
        "Bad-6.00x-T/../../Good-7.00x-2013_Spring",
        "Bad-6.00x-\nT",
        "..-6.00x-T",
        "Bad-6.00x-T\u202etsv",
    ):
        yield Case(KIND, f"a forged key, {course!a}", archive_of((table_name("teams", course=course), ROWS)))
    yield Case(KIND, "a table that is a path", archive_of((table_name("../../x", course=COURSE), ROWS)))
    yield Case(
        KIND, "a name of a long course", archive_of((table_name("teams", course="Bad-6.00x-" + "T" * 3_000), ROWS))
    )
    yield Case(KIND, "two members with one name", archive_of((TABLE, ROWS), (TABLE, ROWS + b"3\tx\n")))
    many = (tar_member(f"{number}/\n-{'x' * 80}.sql", b"") for number in range(30_000))
    yield Case(KIND, "30,000 members without a name that is known", packed(tar_of(*many)))


def _headers() -> Iterator[Case]:
    member = tar_member(TABLE, ROWS)
    yield Case(KIND, "a long header without end", packed(tar_of(*[pax([b"x=" + b"y" * 60_000])] * 20, member)))
    yield Case(
        KIND,
        "headers about headers",
        packed(tar_of(*[tar_member("x", b"y" * 99, tarfile.GNUTYPE_LONGNAME)] * 100, member)),
    )
    yield Case(
        KIND, "a header for all entries", packed(tar_of(pax([f"path={TABLE}".encode()], tarfile.XGLTYPE), member))
    )
    yield Case(
        KIND,
        "a sparse entry of eight exabytes",
        packed(tar_of(pax([b"GNU.sparse.realsize=9223372036854775807", b"GNU.sparse.map=0,0"]) + member)),
    )
    yield Case(KIND, "an entry of eight exabytes", packed(tar_of(pax([b"size=9223372036854775807"]) + member)))


def _zeros(file: BinaryIO, size: int = BOMB) -> None:
    file.writelines(_BLOCK for _ in range(size // len(_BLOCK)))


def _tar_bomb(file: BinaryIO, *, name: str, unit: bytes = b"\0", levels: int = 1) -> None:
    """A tar with a member of so many bytes, packed a thousand to one."""
    info = tarfile.TarInfo(name)
    block = unit * ((1 << 20) // len(unit))
    info.size = BOMB // (1 << 20) * len(block)
    healthy = [tar_member(*member) for member in GOOD_MEMBERS]
    with ExitStack() as packing:
        for _ in range(levels):
            file = packing.enter_context(_packing(file))
        file.write(b"".join(healthy[:2]) + info.tobuf(tarfile.GNU_FORMAT))
        file.writelines(block for _ in range(BOMB >> 20))
        file.write(bytes(-info.size % tarfile.BLOCKSIZE) + healthy[2] + bytes(2 * tarfile.BLOCKSIZE))


def _packing(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0))


def _gzip_of_zeros(file: BinaryIO, unit: bytes = b"\0") -> None:
    with _packing(file) as packing:
        packing.writelines(unit * ((1 << 20) // len(unit)) for _ in range(BOMB >> 20))


def _bombs() -> Iterator[Case]:
    yield Case(KIND, "a gzip of zero bytes, 1000:1", _gzip_of_zeros)
    yield Case(KIND, "a table of zero bytes, 1000:1", partial(_tar_bomb, name=TABLE))
    yield Case(KIND, "a table of line ends, 1000:1", partial(_tar_bomb, name=TABLE, unit=b"\n"))
    yield Case(KIND, "a table of rows of one field, 1000:1", partial(_tar_bomb, name=TABLE, unit=b"id\tname\n"))
    yield Case(KIND, "a forum of one line, 1000:1", partial(_tar_bomb, name=FORUM, unit=b"["))
    yield Case(KIND, "a forum of empty objects, 1000:1", partial(_tar_bomb, name=FORUM, unit=b"{}\n"))
    yield Case(KIND, "a tar.gz in a gzip, 1000:1 twice", partial(_tar_bomb, name=TABLE, levels=2))
    yield Case(KIND, "a log of zero bytes, 1000:1", _gzip_of_zeros, Road.LOG, LOG)
    yield Case(KIND, "a log of brackets, 1000:1", partial(_gzip_of_zeros, unit=b"["), Road.LOG, LOG)
    yield Case(KIND, "a log of empty objects, 1000:1", partial(_gzip_of_zeros, unit=b"{\n"), Road.LOG, LOG)
    yield Case(
        KIND,
        "an export of zero bytes, 1000:1",
        partial(_tar_bomb, name="course/static/x"),
        Road.COURSE_XML,
        "x.xml.tar.gz",
    )
    yield Case(KIND, "an export that is a gzip of zero bytes", _gzip_of_zeros, Road.COURSE_XML, "x.xml.tar.gz")


def _zip_bomb(file: BinaryIO) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in GOOD_MEMBERS:
            archive.writestr(name, content)
        with archive.open(TABLE, "w") as member:
            _zeros(member)  # type: ignore[arg-type]


def _overlapping_zip() -> bytes:
    """Members that share one another's bytes: each quotes the headers of those behind it, and all end in one place."""
    kernel = zlib.compressobj(9, wbits=-15)
    packed_kernel = kernel.compress(bytes(1 << 20)) + kernel.flush()
    sizes = (zlib.crc32(bytes(1 << 20)), len(packed_kernel), 1 << 20)
    names = [table_name(f"t{number}", course=COURSE).encode() for number in range(50)]
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, *sizes, len(names[0]), 0) + names[0] + packed_kernel
    entries = [
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, *sizes, len(name), 0, 0, 0, 0, 0, 0) + name
        for name in names
    ]
    directory = b"".join(entries)
    return (
        local
        + directory
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(names), len(names), len(directory), len(local), 0)
    )


def _zips() -> Iterator[Case]:
    yield Case(KIND, "a zip of zero bytes, 1000:1", _zip_bomb, name=ZIP)
    yield Case(KIND, "a zip of 50 members in one place", _overlapping_zip(), name=ZIP, is_alone=True)
    inner = zip_of((TABLE, bytes(1 << 20)))
    for _ in range(5):
        inner = zip_of(("inner.zip", inner))
    yield Case(KIND, "a zip in a zip, six deep", inner, name=ZIP)
    sound = zip_of((TABLE, ROWS))
    entry = sound.index(b"PK\1\2", sound.index(b"PK\1\2", sound.index(b"PK\1\2") + 1) + 1)
    yield Case(
        KIND,
        "a zip member of four gigabytes",
        sound[: entry + 24] + b"\xfe\xff\xff\xff" + sound[entry + 28 :],
        name=ZIP,
    )
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}/../x", b"")
    yield Case(KIND, "a zip of 20,000 names that lead out", many.getvalue(), name=ZIP, is_alone=True)


def _tables() -> Iterator[Case]:
    head, long = b"id\tname\n1\ta\n", b"9\t" + b"x" * (20 << 20)
    contents = [
        ("a record of 20 MB", head + long + b"\n2\tb\n"),
        ("ten records of 17 MB", head + (long[: 17 << 20] + b"\n") * 10),
        ("a row of ten million fields", head + b"\t" * 10_000_000 + b"\n2\tb\n"),
        (
            "a header of a million columns",
            b"\t".join(b"c%d" % number for number in range(1_000_000)) + b"\n" + b"\t" * 999_999 + b"\n",
        ),
        ("a quote that is never closed", head + b'2\t"' + b"x\n" * 2_000_000),
        ("a million lone quotes", head + b'"\n' * 1_000_000),
        ("a million backslashes", head + b"\\\n" * 1_000_000),
        ("surrogates", head + b"\xed\xa0\x80\t\xed\xb0\x80\n" * 10),
        ("NUL bytes", head + b"\0" * 1_000_000),
    ]
    for title, content in contents:
        yield Case(KIND, f"a table: {title}", archive_of((TABLE, content)))


def _logs() -> Iterator[Case]:
    sound = b'{"name": "a"}\n'
    digits = b"9" * (10 << 20)
    lines = [
        ("a million levels", b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"),
        ("a million levels that are not closed", b'{"a":' + b'{"a":' * 1_000_000),
        ("a number of ten million digits as time", b'{"time":' + digits + b"}"),
        ("an exponent of ten million digits as time", b'{"time":1e' + digits + b"}"),
        ("a time before the year 1", b'{"time":-99999999999}'),
        ("a lone surrogate", b'{"a":"\\ud800"}'),
        ("a key that is a surrogate", b'{"\\udfff":1}'),
        ("a million keys", b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}"),
        ("a key of a megabyte", b'{"' + b"k" * (1 << 20) + b'":1}'),
        ("a line of 20 MB", b'{"a":"' + b"x" * (20 << 20) + b'"}'),
        ("UTF-16", '{"a": 1}'.encode("utf-16")),
    ]
    for title, line in lines:
        content = packed(sound + line + b"\n" + sound)
        yield Case(KIND, f"a log: {title}", content, Road.LOG, LOG, may_be_sound=title == "a million levels")


def _structure(value: str) -> bytes:
    return f'{{"block-v1:Bad+6.00x+T+type@course+block@course": {value}}}'.encode()


def _documents(token: str) -> Iterator[Case]:
    digits = "9" * 10_000_000
    post = '{"_id": "x", "_type": "Comment", "endorsement": %s}'
    values = [
        ("a million levels", nested(1_000_000)),
        ("ten million digits", digits),
        ("a lone surrogate", '"\\ud800"'),
    ]
    for title, value in values:
        forum = (post % (value if title != "ten million digits" else f'{{"$numberLong": {value}}}')).encode()
        yield Case(KIND, f"a forum: {title}", archive_of((FORUM, forum + b"\n")))
        structure = _structure(f'{{"category": "course", "children": [], "metadata": {{"x": {value}}}}}')
        is_text = title == "a lone surrogate"
        yield Case(KIND, f"a structure: {title}", structure, Road.STRUCTURE, "s.json", may_be_sound=is_text)
        policy = [("policies/2012_Fall/policy.json", f'{{"course/2012_Fall": {{"x": {value}}}}}'.encode())]
        yield _export(f"a policy: {title}", policy, may_be_sound=is_text)
    ring = {
        f"i4x://a/b/chapter/{n}": {
            "category": "chapter",
            "children": [f"i4x://a/b/chapter/{(n + 1) % 5_000}"],
            "metadata": {},
        }
        for n in range(5_000)
    }
    yield Case(KIND, "a structure: a ring of 5,000 blocks", json.dumps(ring).encode(), Road.STRUCTURE, "s.json")
    laughs = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    documents = [
        ("entities that expand ten billion times", f'<!DOCTYPE p [<!ENTITY e0 "ha">{laughs}]><problem>&e11;</problem>'),
        ("a quadratic entity", f'<!DOCTYPE p [<!ENTITY e "{"x" * 100_000}">]><problem>{"&e;" * 10_000}</problem>'),
        ("an external entity", '<!DOCTYPE p [<!ENTITY e SYSTEM "file:///etc/passwd">]><problem>&e;</problem>'),
        ("an external DTD", '<!DOCTYPE p SYSTEM "http://127.0.0.1:9/x.dtd"><problem/>'),
        ("a parameter entity", '<!DOCTYPE p [<!ENTITY % e SYSTEM "file:///etc/passwd"> %e;]><problem/>'),
        ("100,000 levels", "<problem>" * 100_000),
        ("an attribute of 15 MB, and one twice", f'<problem a="{"x" * (15 << 20)}" a=""/>'),
    ]
    for title, document in documents:
        yield _export(f"XML: {title}", [("problem/p.xml", document.encode())])
    yield _export(
        "names that lead out",
        [(f"../../outside/{token}", b"x"), (f"/var/{token}", b"x"), (f"static/../../{token}", b"x")],
    )
    circle = [
        ("chapter/c.xml", b'<chapter><chapter url_name="d"/></chapter>'),
        ("chapter/d.xml", b'<chapter><chapter url_name="c"/></chapter>'),
    ]
    yield _export("blocks that hold each other", circle)


def _export(title: str, files: Iterable[tuple[str, bytes]], *, may_be_sound: bool = False) -> Case:
    return Case(
        KIND,
        f"an export: {title}",
        export_of(files),
        Road.COURSE_XML,
        f"{COURSE}.xml.tar.gz",
        may_be_sound=may_be_sound,
    )


def _messages(gnupg: GnuPG) -> Iterator[Case]:
    name = f"{TABLE}.gpg"
    content = b"\xcb" + struct.pack(">BL", 255, 6 + len(ROWS)) + b"b\0\0\0\0\0" + ROWS
    for _ in range(60):
        layer = b"\2" + zlib.compress(content)
        content = b"\xc8" + struct.pack(">BL", 255, len(layer)) + layer
    layers = gnupg.message(content, ADA, "--compress-algo", "none", "--no-literal")
    yield Case(KIND, "a message packed 60 times", archive_of((name, layers)))
    within = gnupg.message(ROWS, ADA)
    for _ in range(10):
        within = gnupg.message(within, ADA)
    yield Case(KIND, "a message in ten messages", archive_of((name, within)))
    zeros = bytes(BOMB)
    bomb = gnupg.message(zeros, ADA, "--compress-algo", "zlib", "--compress-level", "9")
    del zeros
    yield Case(KIND, "a message of zero bytes, 1000:1", archive_of((name, bomb)))
    whole = gnupg.message(b"\x1f\x8b\x08" + bytes(7) + bytes(1 << 20), ADA)
    yield Case(KIND, "an archive in a message that is no gzip", whole, name="mitx-2024-01-31.tar.gz.gpg")

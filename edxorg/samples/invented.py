"""Invented people, prose and times for sample data: no name, address or sentence is anybody's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_CONSONANTS: Final = "bdfgklmnrstv"
_VOWELS: Final = "aeio"
_ACCENTED: Final = ("é", "ü", "ø", "ñ", "ž", "я", "東", "ن")
_VOCABULARY: Final = 400
_BEGINNING: Final = datetime(2014, 9, 1, tzinfo=UTC)
_YEARS_OF_SECONDS: Final = 9 * 365 * 86_400


def names(rng: Random, count: int) -> list[str]:
    """Given names and family names, such as `Kelani Rosato`; one in sixteen has a letter beyond ASCII."""
    people = []
    for _ in range(count):
        given, family = (_word(rng).capitalize() for _ in range(2))
        accent = rng.choices(_ACCENTED)[0] if rng.random() < 1 / 16 else ""
        people.append(f"{given}{accent} {family}")
    return people


def sentences(rng: Random, count: int, *, words: int) -> list[str]:
    """Sentences in no language, of about the given number of words."""
    vocabulary = [_word(rng, rng.choices((1, 2, 3, 4))[0]) for _ in range(_VOCABULARY)]
    lengths = rng.choices(range(words // 2, words + words // 2 + 1), k=count)
    return [" ".join(rng.choices(vocabulary, k=length)).capitalize() + "." for length in lengths]


def times(rng: Random, count: int) -> list[str]:
    """Times of the years from 2014 on as MySQL prints them, `YYYY-MM-DD HH:MM:SS`; one in four with microseconds."""
    moments = []
    for _ in range(count):
        moment = _BEGINNING + timedelta(seconds=int(rng.random() * _YEARS_OF_SECONDS))
        fraction = f".{int(rng.random() * 999_999) + 1:06d}" if rng.random() < 1 / 4 else ""
        moments.append(f"{moment:%Y-%m-%d %H:%M:%S}{fraction}")
    return moments


def hex_ids(rng: Random, count: int, *, digits: int = 32) -> list[str]:
    """Lower-case hexadecimal numbers, as edX uses for blocks and anonymous ids."""
    return [f"{rng.getrandbits(4 * digits):0{digits}x}" for _ in range(count)]


def uuids(rng: Random, count: int) -> list[str]:
    """UUIDs, written with hyphens."""
    return [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in hex_ids(rng, count)]


def _word(rng: Random, syllables: int = 3) -> str:
    return "".join(
        map("".join, zip(rng.choices(_CONSONANTS, k=syllables), rng.choices(_VOWELS, k=syllables), strict=True))
    )

"""Invented names, prose and ids for sample data: no name, address or sentence is a real person's."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")

_CONSONANTS: Final = "bdfgklmnrstv"
_VOWELS: Final = "aeio"
_ACCENTED: Final = ("é", "ü", "ø", "ñ", "ž", "я", "東", "ن")
_VOCABULARY: Final = 400


def seeded(*parts: str | int) -> Random:
    """Return a source of random numbers that follow from these parts alone."""
    return Random(" ".join(map(str, parts)))  # noqa: S311 - sample data


def pick(rng: Random, values: Sequence[_T]) -> _T:
    """Pick one of some values, in a third of the time that `Random.choice` takes."""
    return values[int(rng.random() * len(values))]


def names(rng: Random, count: int) -> list[str]:
    """Return given and family names, such as `Kelani Rosato`; one in sixteen has a letter beyond ASCII."""
    full_names = []
    for _ in range(count):
        given, family = (_word(rng).capitalize() for _ in range(2))
        accent = rng.choices(_ACCENTED)[0] if rng.random() < 1 / 16 else ""
        full_names.append(f"{given}{accent} {family}")
    return full_names


def sentences(rng: Random, count: int, *, words: int) -> list[str]:
    """Return sentences in no language, of about the given number of words."""
    vocabulary = [_word(rng, rng.choices((1, 2, 3, 4))[0]) for _ in range(_VOCABULARY)]
    lengths = rng.choices(range(words // 2, words + words // 2 + 1), k=count)
    return [" ".join(rng.choices(vocabulary, k=length)).capitalize() + "." for length in lengths]


def hex_ids(rng: Random, count: int, *, digits: int = 32) -> list[str]:
    """Return lower-case hexadecimal numbers, as edX uses for blocks and anonymous ids."""
    return [f"{rng.getrandbits(4 * digits):0{digits}x}" for _ in range(count)]


def uuids(rng: Random, count: int) -> list[str]:
    """Return UUIDs, written with hyphens."""
    return [as_uuid(digits) for digits in hex_ids(rng, count)]


def as_uuid(digits: str) -> str:
    """Write 32 hexadecimal digits with the hyphens of a UUID."""
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def hex_of(*parts: str | int) -> str:
    """Return 32 hexadecimal digits that follow from these parts."""
    return hashlib.blake2b(" ".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def _word(rng: Random, syllables: int = 3) -> str:
    return "".join(
        map("".join, zip(rng.choices(_CONSONANTS, k=syllables), rng.choices(_VOWELS, k=syllables), strict=True))
    )

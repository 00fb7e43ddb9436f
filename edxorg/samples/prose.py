"""Texts to pick from, with the characters that real learners write: line ends, TABs, quotes, backslashes, emoji."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from edxorg.samples import invented

_ODD: Final = ("\n", "\r", "\r\n", "\t", ' "so to say" ', "\\frac{1}{2} ", "\u2028", " naïve ", " 🙂 ", "\v", "NULL ")


@dataclass(frozen=True)
class Prose:
    """The texts of a university.

    Attributes:
        names: Names of learners.
        phrases: Texts of a few words.
        remarks: Texts of a sentence; one in four has an odd character.
        articles: Texts of three paragraphs.
        answers: Answers to problems.
    """

    names: tuple[str, ...]
    phrases: tuple[str, ...]
    remarks: tuple[str, ...]
    articles: tuple[tuple[str, ...], ...]
    answers: tuple[str, ...]

    @classmethod
    def invent(cls, seed: int) -> Self:
        """Return the texts that follow from a seed."""
        rng = invented.seeded(seed, "prose")
        remarks = [
            _ODD[i // 4 % len(_ODD)].join(text.partition(" ")[::2]) if i % 4 == 0 else text
            for i, text in enumerate(invented.sentences(rng, 2_000, words=12))
        ]
        return cls(
            names=tuple(invented.names(rng, 2_000)),
            phrases=tuple(text.rstrip(".") for text in invented.sentences(rng, 500, words=3)),
            remarks=tuple(remarks),
            articles=tuple(zip(*(invented.sentences(rng, 400, words=30) for _ in range(3)), strict=True)),
            answers=("choice_1", "choice_2", "[1, 2]", "x^2 + 1", 'a "quoted" one', "é", *remarks[:600]),
        )

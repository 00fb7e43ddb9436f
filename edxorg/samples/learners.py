"""Invented learners, with an account on each site, and the platform's way to retire one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from edxorg.samples import invented, times
from edxorg.samples.courses import Site

if TYPE_CHECKING:
    from random import Random

    from edxorg.samples.prose import Prose

_FIRST_USER_ID: Final = {Site.PROD: 1_000_000, Site.EDGE: 20_000}

_EDUCATION: Final = ("b", "m", "hs", "p", "jhs", None)
_COUNTRIES: Final = ("US", "IN", "BR", "CN", "DE", "NG", None)
_LANGUAGES: Final = ("", "en", "es", "fr", "zh", "pt-br")
_GENDERS: Final = ("m", "f", "o", None)
_NETWORKS: Final = ("10.12", "10.40", "192.168", "172.16", "172.20")
_ACCEPTED_LANGUAGES: Final = ("en-US,en;q=0.9", "es-419,es;q=0.8,en;q=0.6", "zh-CN,zh;q=0.9", "")
_DESKTOPS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
)
_PHONE: Final = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_MOBILE_EVERY: Final = 8


@dataclass(frozen=True, slots=True)
class Learner:
    """A learner as the platform knows one; `None` is SQL's NULL.

    Attributes:
        number: Counts the learners of a university from 0; instructors come after them.
        mobile: True if the learner watches videos in the mobile app.
        joined: Seconds before the first day at which the account was made.
        logged_in: Microseconds before the first day at which the learner last had to log in.
    """

    number: int
    username: str
    name: str
    email: str
    gender: str | None
    year_of_birth: str | None
    education: str | None
    country: str | None
    language: str
    goals: str
    bio: str
    meta: str
    ip: str
    agent: str
    accept_language: str
    mobile: bool
    joined: int
    logged_in: int

    def user_id(self, site: Site) -> int:
        """The number of the account on a site."""
        return _FIRST_USER_ID[site] + self.number

    def retired(self) -> Learner:
        """Return what the platform leaves of a learner who asked to be forgotten."""
        username = f"retired__user_{invented.hex_of('retired', self.username)}00000000"
        erased: dict[str, str | None] = dict.fromkeys(("name", "language", "goals", "bio", "meta"), "")
        unknown: dict[str, str | None] = dict.fromkeys(("gender", "year_of_birth", "education", "country"))
        return replace(self, username=username, email=f"{username}@retired.invalid", **erased, **unknown)  # type: ignore[arg-type]


def learner_of(number: int, *, seed: int, prose: Prose) -> Learner:
    """The learner with this number."""
    rng = invented.seeded(seed, "learner", number)
    name = invented.pick(rng, prose.names)
    handle = name.split()[0].lower()
    username = f"{handle if handle.isascii() else 'étudiant' if number % 2 else 'learner'}_{number:05}"
    mobile = number % _MOBILE_EVERY == _MOBILE_EVERY - 1
    return Learner(
        number=number,
        username=username,
        name=name,
        email=f"learner.{number:05}@example.com",
        gender=invented.pick(rng, _GENDERS),
        year_of_birth=None if rng.random() < 1 / 4 else str(1950 + int(rng.random() * 57)),
        education=invented.pick(rng, _EDUCATION),
        country=invented.pick(rng, _COUNTRIES),
        language=invented.pick(rng, _LANGUAGES),
        goals=invented.pick(rng, prose.phrases),
        bio=invented.pick(rng, prose.remarks) if rng.random() < 1 / 2 else "",
        meta=_meta(rng, prose),
        ip=f"{invented.pick(rng, _NETWORKS)}.{int(rng.random() * 256)}.{int(rng.random() * 256)}",
        agent=_PHONE if mobile else invented.pick(rng, _DESKTOPS),
        accept_language=invented.pick(rng, _ACCEPTED_LANGUAGES),
        mobile=mobile,
        joined=int(rng.random() * 5 * 365 * 86_400) + 40 * 86_400,
        logged_in=int(rng.random() * 30 * times.DAY),
    )


def _meta(rng: Random, prose: Prose) -> str:
    """Return the JSON that the platform keeps about a profile beside its columns, or nothing."""
    draw = rng.random()
    if draw < 0.3:  # noqa: PLR2004
        return json.dumps({"old_names": [[invented.pick(rng, prose.names), "Married", "2015-03-18T04:55:31"]]})
    return json.dumps({"session_id": None}) if draw < 1 / 2 else ""

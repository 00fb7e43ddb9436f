"""Object keys of what archives bring, by a grammar of the test's own, so that no name in an archive can forge one."""

from __future__ import annotations

import re
from hashlib import sha256

from edxorg.lib.object_keys import (
    is_raw_data_asset,
    raw_data_asset_of,
    raw_data_prefixes,
    raw_data_version,
    versioned_raw_data_key,
)

_COURSE = r"(?:prod|edge)/(?!\.)(?:(?!\.\.)[^/|\\\x00-\x20\x7f-\x9f\ud800-\udfff\u2028\u2029]){3,235}"
_OUTPUT = r"(?:db_table/[a-z0-9_]{1,64}|course_structure|course_xml|forum_mongo|forum_posts|email_opt_in)"
_KEY = re.compile(
    rf"edxorg/(?:raw_data/{_OUTPUT}/{_COURSE}/[0-9a-f]{{64}}\.(?:tsv|json|xml\.tar\.gz|mongo)"
    rf"|processed_data/forum_posts/{_COURSE}/[0-9a-f]{{64}}\.json"
    rf"|raw_data/email_opt_in/(?!\.)[^/|\x00-\x20]{{1,235}}/[0-9a-f]{{64}}\.csv"
    rf"|rejects/{_OUTPUT}/{_COURSE}/[0-9a-f]{{64}}\.(?:ndjson|record))"
)


def problem_of_key(key: str) -> str | None:
    """What is wrong with the key of an object that an archive brought."""
    if not _KEY.fullmatch(key):
        return f"{key!a} is no key of an archive's output"
    for prefix in raw_data_prefixes():
        if key.startswith(prefix):
            asset = raw_data_asset_of(prefix, key)
            version = raw_data_version(asset, key)
            if version is None or not is_raw_data_asset(asset) or versioned_raw_data_key(asset, *version) != key:
                return f"{key!a} is not what the key functions make of it"
    return None


def problem_of_object(key: str, content: bytes) -> str | None:
    """What is wrong with an object that an archive brought."""
    if problem := problem_of_key(key):
        return problem
    named = key.rpartition("/")[2].partition(".")[0]
    return None if sha256(content).hexdigest() == named else f"{key!a} does not name its own bytes"

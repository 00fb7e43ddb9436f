"""An archive, from its bytes to the objects in a landing zone and the results to record."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from edxorg.lib.archive.ingest_report import MemberOutcome
from edxorg_tests.support.archives import POST, TABLE, landed, table_name, write_archive
from edxorg_tests.support.ingestion import ingest, rows


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "outcome"), [("auth_user", MemberOutcome.FAILED), ("brand_new_table", MemberOutcome.DELIVERED)]
    )
    def test_a_header_without_any_column_of_the_dictionary_fails_a_table_that_is_in_it(
        self, archive: Path, lake: Path, name: str, outcome: MemberOutcome
    ) -> None:
        write_archive(archive, {table_name(name): b"ada\tlovelace\nbob\tbabbage\n"})
        result = ingest(archive, lake)
        assert result.report.outcomes == {outcome: 1}
        assert len(landed(lake)) == (outcome is MemberOutcome.DELIVERED)


class TestGoodMembers:
    def test_each_kind_lands_under_its_key(self, archive: Path, lake: Path) -> None:
        course = "MITx-6.00x-2012_Fall"
        write_archive(
            archive,
            {
                table_name(): TABLE,
                f"x/{course}-course_structure-prod-analytics.json": b"{}",
                f"x/{course}-course-prod-analytics.xml.tar.gz": b"\x1f\x8b",
                f"x/{course}-edge.mongo": POST,
                f"ora/{table_name('submissions_score', site='edge')}": TABLE,
            },
        )
        result = ingest(archive, lake)
        assert {key.rpartition("/")[0] for key in landed(lake)} == {
            f"edxorg/raw_data/db_table/auth_user/prod/{course}",
            f"edxorg/raw_data/course_structure/prod/{course}",
            f"edxorg/raw_data/course_xml/prod/{course}",
            f"edxorg/raw_data/forum_mongo/edge/{course}",
            f"edxorg/processed_data/forum_posts/edge/{course}",
            f"edxorg/raw_data/db_table/submissions_score/edge/{course}",
        }
        assert {Path(key).name.split(".", 1)[1] for key in landed(lake)} == {"tsv", "json", "xml.tar.gz", "mongo"}
        assert result.report.outcomes == {MemberOutcome.DELIVERED: 5}
        assert [each.object_key for each in result.results] == [
            next(key for key in landed(lake) if each.version and each.version in key) for each in result.results
        ]

    def test_a_forum_lands_as_it_is_and_as_rows_with_its_rejects(self, archive: Path, lake: Path) -> None:
        forum = POST + b"no post\n" + POST
        write_archive(archive, {"MITx-6.00x-2012_Fall-prod.mongo": forum})
        result = ingest(archive, lake)
        course = "prod/MITx-6.00x-2012_Fall"
        contents = {key.rpartition("/")[0]: content for key, content in landed(lake).items()}
        assert contents.keys() == {
            f"edxorg/raw_data/forum_mongo/{course}",
            f"edxorg/processed_data/forum_posts/{course}",
            f"edxorg/rejects/forum_posts/{course}",
        }
        assert contents[f"edxorg/raw_data/forum_mongo/{course}"] == forum
        posts = contents[f"edxorg/processed_data/forum_posts/{course}"].splitlines()
        assert [json.loads(line)["_id"] for line in posts] == ["p1", "p1"]
        reject = json.loads(contents[f"edxorg/rejects/forum_posts/{course}"])
        assert (reject["line"], reject["reason"], reject["raw"]) == (2, "invalid_json", "no post")
        assert result.report.outcomes == {MemberOutcome.DELIVERED: 1}
        assert (result.report.tables["forum_posts"].rows, result.report.rows_rejected) == (2, {"invalid_json": 1})

    def test_email_preferences_land_by_organization(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {"MITx-email_opt_in-prod-analytics.csv": b"user_id\n1\n"})
        result = ingest(archive, lake)
        [(key, content)] = landed(lake).items()
        assert key == f"edxorg/raw_data/email_opt_in/MITx/{sha256(content).hexdigest()}.csv"
        assert content == b"user_id\n1\n"
        assert result.report.outcomes == {MemberOutcome.DELIVERED: 1}

    def test_a_table_has_its_rows_and_where_they_come_from(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name(course="MITx-6.00.1-x-1T2014", site="edge"): TABLE})
        ingest(archive, lake)
        (content,) = landed(lake).values()
        assert [row["name"] for row in rows(content)] == ["Ada", "Grace"]
        first = rows(content)[0]
        assert first["extracted_course_key"] == "MITx-6.00.1-x-1T2014"
        assert first["extracted_course_organization"] == "MITx"
        assert first["extracted_course_number"] == "6.00.1-x"
        assert first["extracted_course_run"] == "1T2014"
        assert first["extracted_source_platform"] == "edxorg_edge"
        assert len(first["row_hash"]) == 64

    def test_an_unknown_table_is_delivered(self, archive: Path, lake: Path) -> None:
        write_archive(archive, {table_name("brand_new_table"): TABLE})
        result = ingest(archive, lake)
        assert next(iter(landed(lake))).startswith("edxorg/raw_data/db_table/brand_new_table/prod/")
        assert result.report.rows_delivered == 2

    def test_a_large_member_is_streamed(self, archive: Path, lake: Path) -> None:
        lines = [b"%d\t%s" % (number, b"x" * 100) for number in range(40_000)]
        write_archive(archive, {table_name(): b"id\tname\n" + b"\n".join(lines) + b"\n", table_name("other"): TABLE})
        result = ingest(archive, lake)
        assert result.report.rows_delivered == 40_002
        assert {len(rows(content)) for content in landed(lake).values()} == {2, 40_000}

    def test_members_that_do_not_land_are_counted_and_listed(self, archive: Path, lake: Path) -> None:
        write_archive(
            archive,
            {
                table_name() + ".failed": b"Traceback (most recent call last):\n",
                "odd.csv": b"a,b\n",
                "._" + table_name(): b"AppleDouble",
                table_name("empty"): b"",
                table_name("header_only"): b"id\tname\n",
            },
        )
        report = ingest(archive, lake).report
        assert report.outcomes == {
            MemberOutcome.MISSING_AT_SOURCE: 1,
            MemberOutcome.UNRECOGNISED: 1,
            MemberOutcome.IGNORED: 1,
            MemberOutcome.EMPTY: 2,
        }
        assert report.listed[MemberOutcome.MISSING_AT_SOURCE][0][0] == table_name() + ".failed"
        assert report.listed[MemberOutcome.UNRECOGNISED][0][1] == 4
        assert landed(lake) == {}
        assert report.failed == 0

import dagster as dg
import pytest

from ol_orchestrate.console_links import console_link
from ol_orchestrate.landing.records import metadata_of


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("s3://lake/a b/c|prod.tsv", "https://console.aws.amazon.com/s3/object/lake?prefix=a%20b/c%7Cprod.tsv"),
        ("gs://lake/a.tsv", "https://console.cloud.google.com/storage/browser/_details/lake/a.tsv"),
    ],
)
def test_an_object_in_a_bucket_has_a_page_in_its_vendors_console(url: str, link: str) -> None:
    assert console_link(url) == dg.MetadataValue.url(link)
    zone, _, key = url.rpartition("/")
    assert metadata_of(zone, key, 1)["console"] == dg.MetadataValue.url(link)


def test_a_file_has_its_path_alone() -> None:
    assert console_link("file:///lake/a.tsv") == dg.MetadataValue.path("/lake/a.tsv")
    assert "console" not in metadata_of("file:///lake", "a.tsv", 1)

"""Laws of what a condition can name: the generator that a file names, and the domain or folder of an image."""

import duckdb
import pytest

from pipeline.review.analysis.columns import ADDED_COLUMNS


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://a.org/x/1.jpg?size=2", "a.org"),
        ("/photos/2024/1.jpg", "/photos/2024"),
        ("s3://bucket/shards/0.tar", "s3://bucket/shards"),
        ("file:///photos/2024/bad%FFname.jpg", "/photos/2024"),
        (None, None),
    ],
)
def test_an_image_comes_from_a_domain_or_a_folder(uri: str | None, source: str | None) -> None:
    row = "SELECT ?::VARCHAR AS uri, {'generator': 'Firefly'} AS provenance"
    assert duckdb.execute(f"SELECT {ADDED_COLUMNS} FROM ({row})", [uri]).fetchall() == [("Firefly", source)]

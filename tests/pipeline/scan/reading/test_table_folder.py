"""Table folder: a listing in many files, without its writer's metadata."""

import pytest

from mole.errors import SettingsError
from pipeline.scan.reading.table_folder import TableFolder
from pipeline.storage.file_info import FileInfo

SPARK = [
    "_SUCCESS",
    "_metadata",
    ".part-0.parquet.crc",
    "part-0.snappy.parquet",
    "date=1/part-1.parquet",
    "_temporary/0.parquet",
]


def taken(folder: str, names: list[str]) -> tuple[TableFolder, list[str]]:
    """Offer files, and name those that were left."""
    parts = TableFolder(folder)
    return parts, [name for name in names if not parts.add(FileInfo(f"{folder}/{name}", 1, "1", name))]


def test_of_what_spark_writes_the_parts_are_read() -> None:
    parts, left = taken("s3://b/list.parquet", [*SPARK, "notes.md"])
    assert [place.url for place in parts.parts()] == [
        "s3://b/list.parquet/part-0.snappy.parquet",
        "s3://b/list.parquet/date=1/part-1.parquet",
    ]
    assert left == ["notes.md"]


def test_a_folder_of_another_name_offers_its_parquet_files_alone() -> None:
    parts, left = taken("/data", ["train-0.parquet", "a.jpg", "l.csv", "_x.parquet", ".hidden/y.parquet"])
    assert [place.url for place in parts.parts()] == ["/data/train-0.parquet"]
    assert left == ["a.jpg", "l.csv", "_x.parquet", ".hidden/y.parquet"]


def test_a_folder_named_like_a_csv_holds_csvs() -> None:
    parts, _ = taken("/l.csv", ["part-0.csv", "x.parquet", "_SUCCESS"])
    assert [place.url for place in parts.parts()] == ["/l.csv/part-0.csv"]


@pytest.mark.parametrize(
    ("folder", "names", "complaint"),
    [
        ("/l.csv", ["_SUCCESS", "part-0.csv.gz"], "holds no csv file"),
        ("/t", ["_delta_log/0.json", "part-0.parquet"], "Delta table"),
    ],
)
def test_what_cannot_be_read_whole_is_refused(folder: str, names: list[str], complaint: str) -> None:
    parts, _ = taken(folder, names)
    with pytest.raises(SettingsError, match=complaint):
        list(parts.parts())

"""Part: its name is that of its images, and what is encoded reads as it was, in fewer bytes than by default."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import VERDICT, check_version, with_carried
from pipeline.scan.table.part import COUNTED, DISTINCT, encode, part_name
from tests.verdicts import verdict_row


def part(*places: tuple[str, int], logit: float = 0.0) -> pa.Table:
    """Make rows of some images."""
    return pa.Table.from_pylist([verdict_row(unit, index, logit=logit) for unit, index in places], VERDICT)


def test_a_name_depends_on_the_images_and_not_on_their_order_or_scores() -> None:
    name = part_name(part(("a", 0), ("b", 1)))
    assert name == part_name(part(("b", 1), ("a", 0), logit=3.0))
    assert name != part_name(part(("a", 0), ("b", 2)))
    assert name != part_name(part(("a", 0)))


def test_an_encoded_part_reads_as_it_was_with_its_schema_version() -> None:
    rows = part(("a", 0), ("a", 1), logit=1.5)
    read = pq.ParquetFile(pa.BufferReader(encode(rows))).read()
    check_version(read.schema.metadata, "a part")
    assert read.to_pylist() == rows.to_pylist()


def test_every_value_reads_as_it_was_and_takes_fewer_bytes_than_by_default() -> None:
    carried = [{"license": "CC BY 4.0", "page": None if index % 3 else "https://example.org"} for index in range(2000)]
    rows = [
        verdict_row(
            f"shard-{index // 500}", index % 500, offset=index * 90_000 + 512, length=80_000 + index * 7 % 9_001
        )
        | {"logit": index / 7, "gates": [0.25, 0.75], "carried": carried[index]}
        for index in range(2000)
    ]
    table = pa.Table.from_pylist(rows, with_carried(VERDICT, ("license", "page")))
    content, by_default = encode(table), pa.BufferOutputStream()
    pq.write_table(table, by_default, compression="zstd")
    assert len(content) < 0.8 * by_default.getvalue().size
    file = pq.ParquetFile(pa.BufferReader(content))
    assert file.read().equals(table.cast(file.schema_arrow))
    group = file.metadata.row_group(0)
    encodings = {group.column(i).path_in_schema: group.column(i).encodings for i in range(group.num_columns)}
    assert all("DELTA_BINARY_PACKED" in encodings[name] for name in COUNTED)
    assert all("RLE_DICTIONARY" not in used for path, used in encodings.items() if path.split(".")[0] in DISTINCT)
    assert all("RLE_DICTIONARY" in encodings[path] for path in ("unit", "verdict", "carried.license"))


def test_other_engines_read_a_part(tmp_path: Path) -> None:
    file = tmp_path / "part.parquet"
    file.write_bytes(encode(part(("a", 0), ("a", 1), ("b", 0), logit=1.5)))
    query = f"""SELECT unit, count(*), max("index"), sum(logit) FROM '{file}' GROUP BY unit ORDER BY unit"""
    assert duckdb.connect().execute(query).fetchall() == [("a", 2, 1, 3.0), ("b", 1, 0, 1.5)]

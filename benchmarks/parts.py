"""Parts: bytes a row of the verdict table, and the CPU time to write and read it, as encoded and by pyarrow's defaults.

    python -m benchmarks.parts [--rows 100000]
    python -m benchmarks.parts --queries --rows 1000000     # what bloom filters and sorted rows would save a query

The rows are synthetic: images in shards of a thousand, six in ten of a common size, hashes and logits random; with and
without the shares of three experts.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import GATES, VERDICT
from pipeline.scan.table.part import encode, encoding

SHARD, FILES = 1000, 20
SIZES = np.array([[640, 480], [1024, 768], [512, 512], [800, 600], [1920, 1080]])


def made(rows: int, experts: int) -> pa.Table:
    """Make rows of a table, with the shares of so many experts."""
    drawn = np.random.default_rng(0)
    number = np.arange(rows)
    length = drawn.lognormal(11.5, 0.6, rows).astype(np.int64)
    span = (length + 511) // 512 * 512 + 512
    behind = np.cumsum(span) - span
    offset = behind - behind[number // SHARD * SHARD] + 512
    common = drawn.random(rows) < 0.6
    side = np.where(common[:, None], SIZES[drawn.integers(0, len(SIZES), rows)], drawn.integers(200, 4000, (rows, 2)))
    logit = drawn.normal(-3, 2, rows)
    gates = (
        pa.FixedSizeListArray.from_arrays(drawn.dirichlet(np.ones(experts), rows).ravel(), experts) if experts else None
    )
    shards = [f"s3://lake/crawl/2026-11/shard-{one // SHARD:06}.tar" for one in number]
    columns = {
        "unit": shards,
        "index": number % SHARD,
        "last": number % SHARD == SHARD - 1,
        "uri": shards,
        "key": [f"{one:010}" for one in number],
        "offset": offset,
        "length": length,
        "content_hash": [drawn.bytes(16) for _ in number],
        "bytes": length,
        "format": drawn.choice(["jpeg", "png", "webp"], rows, p=[0.8, 0.1, 0.1]),
        "width": side[:, 0],
        "height": side[:, 1],
        "status": ["ok"] * rows,
        "logit": logit,
        "probability": 1 / (1 + np.exp(-logit)),
        "verdict": np.where(logit > 0, "generated", "real"),
        "gates": gates,
        "provenance": [{"camera": "NIKON D90"} if one < 0.1 else {} for one in drawn.random(rows)],
        "preprocess": ["4fd6a006dd4e8385"] * rows,
        "scanned_at": 1_790_000_000_000_000 + 700 * number,
    }
    arrays = []
    for field in VERDICT:
        given = columns.get(field.name)
        if given is None:
            arrays.append(pa.nulls(rows, field.type))
        elif field.name == "gates":
            arrays.append(given.cast(GATES))
        else:
            kind = None if field.name in ("unit", "scanned_at", "logit", "probability") else field.type
            arrays.append(pa.array(given, kind).cast(field.type))
    return pa.table(arrays, schema=VERDICT)


def by_default(table: pa.Table) -> bytes:
    """Encode a table as pyarrow does when only the compression is named."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def measure(table: pa.Table, write: Callable[[pa.Table], bytes]) -> tuple[float, float, float]:
    """Return bytes a row, and core seconds for a million rows to write and to read."""
    begun = time.process_time()
    content = write(table)
    written = time.process_time()
    pq.read_table(pa.BufferReader(content))
    read = time.process_time()
    per_million = 1e6 / table.num_rows
    return len(content) / table.num_rows, (written - begun) * per_million, (read - written) * per_million


def queries(table: pa.Table) -> None:
    """Print bytes and the milliseconds of two queries: rows as written, with a bloom filter, and sorted by logit."""
    wanted = table["content_hash"][table.num_rows // 3].as_py()
    questions: dict[str, tuple[str, list[Any]]] = {
        "one hash": ("content_hash = ?", [wanted]),
        "logit above 3": ("logit > ?", [3.0]),
    }
    filters = {"bloom_filter_options": {"content_hash": {"ndv": table.num_rows // FILES, "fpp": 0.01}}}
    ways = {
        "as written": (table, {}),
        "bloom filter": (table, filters),
        "sorted by logit": (table.sort_by("logit"), {}),
    }
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        for name, (rows, options) in ways.items():
            place = Path(folder) / name
            place.mkdir()
            size = write_files(rows, place, options) / table.num_rows
            told = [f"{size:.1f} bytes a row"]
            for question, (condition, values) in questions.items():
                sql, times = f"SELECT count(*), sum(length) FROM '{place}/*.parquet' WHERE {condition}", []
                for _ in range(5):
                    begun = time.perf_counter()
                    database.execute(sql, values).fetchall()
                    times.append(time.perf_counter() - begun)
                told.append(f"{question} {1000 * min(times):.1f} ms")
            print(f"{name}: {', '.join(told)}")


def write_files(rows: pa.Table, place: Path, options: dict[str, Any]) -> int:
    """Write rows into several files, encoded as parts are; returns their bytes."""
    for number in range(FILES):
        part = rows.slice(number * rows.num_rows // FILES, rows.num_rows // FILES)
        pq.write_table(part, place / f"{number}.parquet", **encoding(rows.schema), **options)
    return sum(path.stat().st_size for path in place.iterdir())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", action="store_true")
    given = parser.parse_args()
    rows = given.rows
    if given.queries:
        queries(made(rows, 0))
        print(f"{rows:,} rows in {FILES} files, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")
        return
    print(f"{'':>28} {'bytes a row':>12} {'write':>8} {'read, core s a million':>24}")
    for experts in (0, 3):
        table = made(rows, experts)
        for name, write in (("by default", by_default), ("as encoded", encode)):
            size, wrote, read = measure(table, write)
            print(f"{f'{experts} experts, {name}':>28} {size:>12.1f} {wrote:>8.2f} {read:>24.2f}")
    print(f"{rows:,} rows, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()

"""Report: how long the page of a large scan takes, how much memory, and how large the page is.

    python -m benchmarks.report [--rows 1e6 1e7] [--parts 200] [--models 1] [--keep FOLDER]

Each size is a synthetic verdict table of the shape that a crawl gives: half of its parts are shards of 10,000 images,
half are slices of a listing of web addresses; one image in fifty declares something, one in fifty has a fault. The
images themselves are nowhere, so the page says of each thumbnail why it has none; what reading them takes depends on
the store and is bounded. Each page is made by a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from mole.config import describe
from pipeline.records import PREVALENCE_KEY, SCHEMA_VERSION, VERSION_KEY
from pipeline.registry import locate
from pipeline.review.page.report import write_report

SHARD, SLICE, HOSTS = 10_000, 250, 5_000
"""Images of a shard and of a slice, and web servers; all of those are this machine, so that no other is asked."""
PREVALENCE = 0.1
ROWS = """
    COPY (
        WITH drawn AS (
            SELECT number, hash(number * 64 + {seed}) / 18446744073709551616.0 AS draw,
                   hash(number * 64 + 16 + {seed}) / 18446744073709551616.0 AS other,
                   hash(number * 64 + 32) / 18446744073709551616.0 AS third,
                   hash(number * 64 + 33) / 18446744073709551616.0 AS fourth, {shards} AS in_shard
            FROM range({first}, {behind}) AS numbers(number)
        ),
        placed AS (
            SELECT *, CASE WHEN in_shard THEN number // {shard} ELSE number // {slice} END AS place,
                   CASE WHEN in_shard THEN number % {shard} ELSE number % {slice} END AS nth,
                   CASE WHEN in_shard THEN {shard} ELSE {slice} END AS size,
                   'https://127.1.' || (least({hosts}, 3 / (third + 0.0003))::INTEGER // 250) || '.'
                      || (least({hosts}, 3 / (third + 0.0003))::INTEGER % 250) || '/' AS host
            FROM drawn
        ),
        scored AS (
            SELECT *, CASE WHEN draw < 0.1 THEN 2.6 ELSE -3.2 END
                      + 1.9 * ln((other + 1e-7) / (1 - other + 1e-7)) AS logit,
                   CASE WHEN draw > 0.993 THEN 'missing' WHEN draw > 0.986 THEN 'truncated' WHEN draw > 0.98
                        THEN 'unreachable' ELSE 'ok' END AS status
            FROM placed
        )
        SELECT CASE WHEN in_shard THEN '/lake/crawl/' || lpad(place::VARCHAR, 6, '0') || '.tar#e' || place
                    ELSE '/lake/urls.parquet#e1:' || place * {slice} || '-' || (place + 1) * {slice} END AS unit,
               nth::INTEGER AS "index", nth = size - 1 AS "last",
               CASE WHEN in_shard THEN '/lake/crawl/' || lpad(place::VARCHAR, 6, '0') || '.tar'
                    ELSE host || (number % 97) || '/' || md5(number::VARCHAR) || '.jpg' END AS uri,
               lpad(number::VARCHAR, 9, '0') AS key,
               CASE WHEN in_shard THEN 512 + 120000 * nth END::BIGINT AS "offset",
               CASE WHEN in_shard THEN 110000 END::BIGINT AS length,
               unhex(md5(number::VARCHAR)) AS content_hash, (40000 + 200000 * draw)::BIGINT AS bytes,
               ['jpeg', 'jpeg', 'jpeg', 'png', 'webp', 'avif', 'gif'][1 + (fourth * 7)::INTEGER % 7] AS format,
               [320, 512, 640, 1024, 1024, 2048, 4000][1 + (fourth * 6.99)::INTEGER % 7]::INTEGER AS width,
               [240, 512, 480, 768, 1024, 1365, 3000][1 + (fourth * 6.99)::INTEGER % 7]::INTEGER AS height,
               status, CASE WHEN status <> 'ok' THEN 'as drawn' END AS detail,
               CASE WHEN status = 'ok' THEN logit END::FLOAT AS logit,
               CASE WHEN status = 'ok' THEN 1 / (1 + exp(-((logit + {bias}) / {temperature} + {odds}))) END::FLOAT
                   AS probability,
               CASE WHEN status <> 'ok' THEN NULL WHEN logit >= {above} THEN 'generated'
                    WHEN logit < {below} THEN 'real' ELSE 'unsure' END AS verdict,
               CASE WHEN status = 'ok' THEN [0.33, 0.33, 0.34]::FLOAT[] END AS gates,
               CASE WHEN fourth < 0.01 THEN {{'software': NULL, 'camera': 'Canon EOS R5', 'generator': NULL,
                                             'source_type': NULL, 'c2pa': NULL}}
                    WHEN fourth > 0.99 THEN {{'software': NULL, 'camera': NULL, 'generator': 'Stable Diffusion XL',
                                             'source_type': NULL, 'c2pa': NULL}}
               END::STRUCT(software VARCHAR, camera VARCHAR, generator VARCHAR, source_type VARCHAR, c2pa VARCHAR)
                   AS provenance,
               '4fd6a006dd4e8385' AS preprocess,
               TIMESTAMPTZ '2026-11-01 00:00:00+00' + to_seconds(number / 500) AS scanned_at
        FROM scored ORDER BY number
    ) TO '{file}' (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{version}: '{schema}', {told}: '{prevalence}'}})
"""


def main(arguments: list[str]) -> None:
    """Make each size's page, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=float, default=[1e6, 1e7])
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--keep", help="leave the tables here, and take those that are there already")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        measure(given.one)
        return
    print(f"{'rows':>11} {'models':>6} {'table MB':>9} {'seconds':>8} {'peak MiB':>9} {'page kB':>8} {'CSV rows':>10}")
    for rows in map(int, given.rows):
        with tempfile.TemporaryDirectory() as temporary:
            table = Path(given.keep or temporary) / f"rows-{rows}-models-{given.models}"
            if not table.exists():
                write(table, rows, given.parts, given.models)
            size = sum(file.stat().st_size for file in table.rglob("*.parquet"))
            command = [sys.executable, "-m", "benchmarks.report", "--one", str(table)]
            told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(
            f"{rows:>11,} {given.models:>6} {size / 1e6:>9,.0f} {told['seconds']:>8.1f} {told['peak']:>9,.0f} "
            f"{told['page'] / 1e3:>8,.0f} {told['lines']:>10,}"
        )
    print(f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")


def write(table: Path, rows: int, parts: int, models: int) -> None:
    """Write a table of so many images, judged by so many models, each with about so many parts."""
    calibration = describe(locate("embedded")).calibration
    step = -(-rows // parts // SHARD) * SHARD  # whole shards
    first_digest = describe(locate("embedded")).digest
    with duckdb.connect() as database:
        for model in range(models):
            folder = table / f"model={first_digest if model == 0 else f'{model:032x}'}"
            folder.mkdir(parents=True)
            for part, first in enumerate(range(0, rows, step)):
                database.execute(
                    ROWS.format(
                        seed=model, first=first, behind=min(first + step, rows), shards=str(part % 2 == 0).lower(),
                        shard=SHARD, slice=SLICE, hosts=HOSTS, bias=calibration.bias,
                        temperature=calibration.temperature, odds=f"ln({PREVALENCE} / (1 - {PREVALENCE}))",
                        above=calibration.generated_above, below=calibration.real_below,
                        file=folder / f"part-{part:05}.parquet", version=VERSION_KEY.decode(),
                        schema=SCHEMA_VERSION, told=PREVALENCE_KEY.decode(), prevalence=PREVALENCE,
                    )
                )  # fmt: skip


def measure(table: str) -> None:
    """Make a table's page, and print what it took as JSON."""
    begun = time.perf_counter()
    made = write_report(table)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"seconds": seconds, "peak": peak, "page": made.size, "lines": made.suspicious}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Suspicious: the time that a scan takes at its end to query a large table for its most suspicious images.

    python -m benchmarks.suspicious [--rows 10000000] [--units 1000] [--parts 200]

The table is synthetic: shards in one partition of one model, one image in ten with the verdict generated, one in fifty
that declares a generator or a camera. The query is timed alone, after the completeness check that every scan makes.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import duckdb

from pipeline.records import VERDICT, VERSION_KEY
from pipeline.review.analysis.suspicious import suspicion
from pipeline.scan.plan import Plan
from pipeline.scan.reading.unit import Kind, Unit
from pipeline.scan.table.ledger import Ledger

DRAWN = """
    SELECT '/lake/' || (number // {size}) || '.tar#1' AS unit, (number % {size})::INTEGER AS "index",
           number % {size} = {size} - 1 AS "last", '/lake/' || (number // {size}) || '.tar' AS uri,
           lpad(number::VARCHAR, 9, '0') AS key, 512 + 2048 * (number % {size}) AS "offset", 1024::BIGINT AS length,
           unhex(md5(number::VARCHAR)) AS content_hash, 1024::BIGINT AS bytes, 'jpeg' AS format, 64::INTEGER AS width,
           64::INTEGER AS height, 'ok' AS status, NULL::VARCHAR AS detail, draw::FLOAT AS logit,
           draw::FLOAT AS probability,
           CASE WHEN draw > 0.9 THEN 'generated' WHEN draw < 0.6 THEN 'real' ELSE 'unsure' END AS verdict,
           [0.3, 0.3, 0.4]::FLOAT[] AS gates,
           CASE WHEN number % 50 = 7 THEN {{'software': NULL, 'camera': CASE WHEN number % 100 = 7 THEN 'Canon' END,
                'generator': CASE WHEN number % 100 <> 7 THEN 'SDXL' END, 'source_type': NULL, 'c2pa': NULL}}
           END::STRUCT(software VARCHAR, camera VARCHAR, generator VARCHAR, source_type VARCHAR, c2pa VARCHAR)
               AS provenance,
           'none' AS preprocess, TIMESTAMPTZ '2026-11-01 00:00:00+00' AS scanned_at
    FROM (SELECT number, hash(number) / 18446744073709551616.0 AS draw FROM range({first}, {behind}) AS numbers(number))
"""


def main() -> None:
    """Write the table, and query it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--units", type=int, default=1_000)
    parser.add_argument("--parts", type=int, default=200)
    asked = parser.parse_args()
    size, part = asked.rows // asked.units, asked.rows // asked.parts
    with tempfile.TemporaryDirectory() as folder:
        partition = Path(folder) / "model=m"
        partition.mkdir()
        with duckdb.connect() as database:
            for number in range(asked.parts):
                drawn = DRAWN.format(size=size, first=number * part, behind=(number + 1) * part)
                names = ", ".join(f'"{name}"' for name in VERDICT.names)
                options = f"KV_METADATA {{{VERSION_KEY.decode()}: '1'}}, COMPRESSION zstd"
                database.execute(f"COPY (SELECT {names} FROM ({drawn})) TO '{partition}/{number}.parquet' ({options})")
        ledger = Ledger(str(partition))
        units = (Unit(f"/lake/{number}.tar#1", f"/lake/{number}.tar", Kind.SHARD) for number in range(asked.units))
        begun = time.monotonic()
        with Plan(units, [ledger]) as plan:
            plan.check(ledger).require_passed()
            checked = time.monotonic()
            with plan.views(ledger) as views:
                found = suspicion(views)
            queried = time.monotonic()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{asked.rows:,} rows: planned and checked in {checked - begun:.1f} s, queried in {queried - checked:.1f} s")
    print(f"{found.listed:,} suspicious, {found.declared_generated:,} declared; at most {most:,.0f} MiB")


if __name__ == "__main__":
    main()

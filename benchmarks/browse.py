"""Browse: how soon a large table can be looked through, and how long typical questions take.

    python -m benchmarks.browse --images 10000000
    python -m benchmarks.browse --table verdicts/

Makes a synthetic verdict table (no image of it exists) or takes a real one, starts the command as a user does, and
asks it over HTTP as a browser does.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import numpy as np
import psutil

from pipeline.records import PREVALENCE_KEY, SCHEMA_VERSION, VERSION_KEY

ROOT = Path(__file__).resolve().parent.parent
ROWS_A_FILE = 250_000
REPEATS = 5
QUESTIONS = {
    "most suspicious": "/?",
    "one verdict": "/?verdict=generated",
    "nearest to a threshold": "/?sort=doubtful",
    "contradicted": "/?contradicted=1",
    "a generator, newest": "/?declared=generated&sort=newest",
    "a source and a range": "/?source=s3%3A%2F%2Flake%2Fshards%2F7&least=0.2&most=0.4",
    "a condition in SQL": "/?condition=width+%3E+1500+AND+key+LIKE+%27%2577%25%27",
    "a page further on": "/?verdict=real&after=5000",
    "one image": "/image/5000?verdict=generated",
}
MAKE = """COPY (
    SELECT *, CASE WHEN status = 'ok' THEN (1 / (1 + exp(-score - 2.197)))::FLOAT END AS probability,
           CASE WHEN status <> 'ok' THEN NULL WHEN score >= 2 THEN 'generated' WHEN score < -1 THEN 'real' ELSE 'unsure'
           END AS verdict, CASE WHEN status = 'ok' THEN score::FLOAT END AS logit,
           CASE WHEN status = 'ok' THEN [random(), random(), random()]::FLOAT[] END AS gates
    FROM (
        SELECT place || '#' || md5(place) AS unit, (i % 10000)::INTEGER AS "index", i % 10000 = 9999 AS "last",
               place AS uri, 'img' || lpad(i::VARCHAR, 9, '0') || '.jpg' AS key,
               (512 + i % 10000 * 61440)::BIGINT AS "offset", (20000 + hash(i) % 40000)::BIGINT AS length,
               unhex(md5((i - (i % 50 = 1)::INTEGER)::VARCHAR)) AS content_hash, length AS bytes,
               ['jpeg', 'png', 'webp'][1 + (hash(i, 3) % 3)::INTEGER] AS format,
               (256 + hash(i, 1) % 2000)::INTEGER AS width, (256 + hash(i, 2) % 2000)::INTEGER AS height,
               CASE WHEN i % 97 = 0 THEN 'truncated' ELSE 'ok' END AS status,
               CASE WHEN i % 97 = 0 THEN 'image file is truncated' END AS detail,
               {{software: NULL::VARCHAR, camera: CASE WHEN i % 13 = 0 THEN 'Canon EOS R5' END,
                 generator: CASE WHEN i % 101 = 0 THEN 'Stable Diffusion web UI' END,
                 source_type: NULL::VARCHAR, c2pa: NULL::VARCHAR}} AS provenance, '4fd6a006dd4e8385' AS preprocess,
               TIMESTAMPTZ '2026-11-01 00:00:00+00' + INTERVAL (i // 100) SECOND AS scanned_at,
               sqrt(-2 * ln(random() + 1e-12)) * cos(2 * pi() * random()) * 2.5 - 2 AS score
        FROM (SELECT range AS i, 's3://lake/shards/' || range // 1000000 || '/' || range // 10000 || '.tar' AS place
              FROM range({begin}, {end}))
    )
) TO '{file}' (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{version}: '{number}', {prevalence}: '0.1'}})"""


@dataclass(frozen=True)
class Server:
    """The command as it runs: its process, and how to ask it."""

    process: psutil.Process
    port: int
    token: str

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask as a browser does; the status and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", path, headers={"Cookie": f"mole_browse_{self.port}={self.token}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body


def make(folder: Path, images: int) -> None:
    """Write a synthetic table."""
    partition = folder / "model=00000000000000000000000000000000"
    partition.mkdir(parents=True)
    names = {"version": VERSION_KEY.decode(), "number": SCHEMA_VERSION, "prevalence": PREVALENCE_KEY.decode()}
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        for begin in range(0, images, ROWS_A_FILE):
            file = partition / f"part-{begin:012}.parquet"
            connection.execute(MAKE.format(begin=begin, end=min(images, begin + ROWS_A_FILE), file=file, **names))


@contextmanager
def started(table: str, labels: str) -> Iterator[Server]:
    """Run the command."""
    command = [sys.executable, "jobs/browse.py", "--table", table, "--labels", labels, "--no-open"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().strip())
        try:
            yield Server(psutil.Process(process.pid), address.port or 0, address.query.removeprefix("token="))
        finally:
            process.terminate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mole-browse-benchmark-") as folder:
        table = given.table or f"{folder}/verdicts"
        if given.table is None:
            make(Path(table), given.images)
        begun = time.perf_counter()
        with started(table, f"{folder}/labels") as server:
            status, _ = server.get("/")
            print(f"first page: {time.perf_counter() - begun:.2f} s after the start (status {status})")
            while not (state := json.loads(server.get("/state")[1]))["ready"]:
                if state["error"]:
                    sys.exit(state["error"])
                time.sleep(0.05)
            print(f"{state['images']:,} images can be asked about: {time.perf_counter() - begun:.1f} s after the start")
            for name, path in QUESTIONS.items():
                print(told(server, name, path))
            print(f"temporary file: {copied(server.process) / state['images']:.0f} bytes an image")
            print(f"memory: {server.process.memory_info().rss / 1e6:,.0f} MB, peak {peak(server.process):,.0f} MB")


def told(server: Server, name: str, path: str) -> str:
    """Ask a question some times; its first, median and 95 % seconds."""
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        status, _ = server.get(path)
        taken.append(time.perf_counter() - begun)
    middle, high = np.quantile(taken, [0.5, 0.95])
    return f"{name:24} {status}  first {taken[0]:.3f} s  median {middle:.3f} s  95 % {high:.3f} s"


def copied(process: psutil.Process) -> int:
    """Tell the size of the copy of the table, bytes."""
    return sum(os.stat(file.path).st_size for file in process.open_files() if file.path.endswith("snapshot.duckdb"))


def peak(process: psutil.Process) -> float:
    """Tell the most memory that a process had, MB."""
    facts = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in facts.splitlines() if line.startswith("VmHWM")).split()[1]) / 1e3


if __name__ == "__main__":
    main()

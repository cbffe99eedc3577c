"""Images a second of this scan and of its peers, with the same images, cores, model and batch size.

    python -m benchmarks.scan --images 6000 --model null        # only preprocessing takes time
    python -m benchmarks.scan --images 6000 --model tiny        # preprocessing takes most time
    python -m benchmarks.scan --images 250 --model embedded --source PHOTOS/    # the model takes most time

Without `--source` pictures are drawn. Their logits by the embedded model lie near a threshold, so nearly all are scored
twice.

No rate includes the start; the table also has the time of the whole run. A peer's rate is counted from its first
result to its last. This scan prepares hundreds of images while its detector loads and would look faster than it is, so
its rate is that of three times as many additional images in a whole run. Two limits are measured in the same run: the
images that one core prepares, and those that the bare model scores.

clip-retrieval is included if it is installed in an environment of its own:

    python3 -m venv PEER && PEER/bin/pip install clip-retrieval 'setuptools<70'
    python -m benchmarks.scan --images 200 --model embedded --clip-retrieval PEER/bin/python
"""

import argparse
import os
import platform
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import ray
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.scorers import CORES, Marks, Scorer, peers, this_scan
from mole.config import describe
from pipeline import registry
from pipeline.images.decode import Bounds
from pipeline.runtime import cluster
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.steps.prepare import decode_in_process, prepare
from pipeline.scan.steps.score import ScoreActor
from pipeline.storage import storage
from tests.pictures import write_shard
from tests.tiny import NULL, tiny_checkpoint

TIMES, MORE = 4, "more"
"""How many times the shards lie in the folder of that name."""
BLOCKS = 16
"""Blocks of images on which the limits are measured."""
LONG_ENOUGH = 5.0
"""Seconds that the bare model is timed for, at least."""
SHARE = 0.1
"""Of the whole run, that the results must be spread over for their rate to mean something."""


def pictures(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write JPEGs that compress as photographs do: smooth shapes and some noise, a hundred different ones."""
    members = {}
    for number in range(count):
        if number < 100:
            chance = np.random.default_rng(number)
            coarse = Image.fromarray(chance.integers(0, 256, (24, 32, 3), np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            )
            noisy = np.asarray(coarse, np.int16) + chance.normal(0, 6, (size[1], size[0], 1)).astype(np.int16)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:06}.jpg", quality=88)
        else:
            os.link(folder / f"{number % 100:06}.jpg", folder / f"{number:06}.jpg")
        members[f"{number:06}.jpg"] = (folder / f"{number:06}.jpg").read_bytes()
    into_shards(folder, members)


def sampled(folder: Path, source: str, count: int) -> None:
    """Draw JPEGs of a folder."""
    urls = [
        unit.uri for unit in Source([source], all_files=False).units() if unit.uri.lower().endswith((".jpg", ".jpeg"))
    ]
    chosen = random.Random(0).sample(urls, count)
    members = {f"{number:06}.jpg": storage.read(url) for number, url in enumerate(chosen)}
    for name, data in members.items():
        (folder / name).write_bytes(data)
    into_shards(folder, members)


def into_shards(folder: Path, members: Mapping[str, bytes]) -> None:
    """Write images into four shards, and link these several times over."""
    names = sorted(members)
    (folder / MORE).mkdir()
    for shard in range(4):
        first = write_shard(folder / "shards" / f"{shard}.tar", {name: members[name] for name in names[shard::4]})
        for copy in range(TIMES):
            os.link(first, folder / MORE / f"{TIMES * shard + copy}.tar")


def limits(folder: Path, model: str, batch_size: int) -> tuple[float, float]:
    """Measure what bounds this scan: images a second that one core prepares, and that the bare model scores."""
    described = describe(registry.locate(model))
    decode = decode_in_process(described.preprocess, Bounds(max_bytes=1 << 26, max_pixels=1 << 27))
    options = ReadOptions(max_bytes=1 << 26)
    shards = list(Source([str(folder / "shards" / "*.tar")], all_files=False).units())
    torch.set_num_threads(1)
    blocks = [prepare(block, described.preprocess, decode) for block in islice(fetch(shards, options), BLOCKS)]
    start, count = time.perf_counter(), 0
    for block in islice(fetch(shards, options), BLOCKS):
        count += len(prepare(block, described.preprocess, decode))
    one_core = count / (time.perf_counter() - start)
    torch.set_num_threads(CORES)
    actor = ScoreActor([(model, described.digest)], device="cpu", threads=CORES, batch_size=batch_size)
    actor(blocks[0].slice(0, batch_size))
    start, scored = time.perf_counter(), 0
    while time.perf_counter() - start < LONG_ENOUGH:
        scored += sum(len(actor(block)) for block in blocks)
    return one_core, scored / (time.perf_counter() - start)


def measure(scorer: Scorer, folder: Path, model: str, batch_size: int) -> tuple[float, float]:
    """Run one scorer.

    Returns:
        Images a second from the first result to the last, not a number where all came within a moment (take more
        images), and the seconds of the whole run.
    """
    marks: Marks = []
    begun = time.perf_counter()
    scorer(folder, model, batch_size, marks)
    seconds = time.perf_counter() - begun
    first, last = marks[0], marks[-1]
    spread = last[0] - first[0]
    return ((last[1] - first[1]) / spread if spread > SHARE * seconds else float("nan")), seconds


def ours(folder: Path, model: str, batch_size: int, images: int) -> tuple[float, float]:
    """Run this scan on the shards and on several times as many: images a second of the more, seconds of the first."""
    once, several = (this_scan(folder / name, model, batch_size) for name in ("shards", MORE))
    return (TIMES - 1) * images / (several - once), once


def rounds(arguments: argparse.Namespace, folder: Path, model: str) -> Iterator[tuple[str, list[float], list[float]]]:
    """Run every scorer in turn, several times, so that a drift of the machine's speed affects all of them."""
    found = peers(arguments.clip_retrieval)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in ("this scan", *found)}
    for _ in range(arguments.rounds):
        results["this scan"].append(ours(folder, model, arguments.batch_size, arguments.images))
        for name, scorer in found.items():
            results[name].append(measure(scorer, folder, model, arguments.batch_size))
    for name, pairs in results.items():
        yield name, [rate for rate, _ in pairs], [seconds for _, seconds in pairs]


def checkpoint(name: str, folder: Path) -> str:
    """Write the checkpoint that a name stands for, or take the name as a place."""
    if name == "null":
        return str(tiny_checkpoint(folder, shape=NULL, blocks=1))
    return str(tiny_checkpoint(folder)) if name == "tiny" else name


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--source", help="a folder whose JPEGs are scanned; drawn pictures where not given")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=768)
    parser.add_argument("--model", default="tiny", help="null, tiny, embedded, or a checkpoint's folder")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clip-retrieval", help="the interpreter of an environment that holds clip-retrieval")
    arguments = parser.parse_args()
    cluster.quiet(logs=False)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if arguments.source:
            sampled(folder, arguments.source, arguments.images)
        else:
            pictures(folder, arguments.images, (arguments.width, arguments.height))
        model = checkpoint(arguments.model, folder / "model")
        view = describe(registry.locate(model)).preprocess
        size = "of a folder" if arguments.source else f"of {arguments.width} x {arguments.height}"
        title = f"{arguments.images} JPEGs {size}, model {arguments.model} ({view.name} {view.size})"
        title += f", batches of {arguments.batch_size}"
        table = Table("scorer", "images/s", "this scan is", "whole run, s", title=title)
        measured = list(rounds(arguments, folder, model))
        mine = float(np.median(measured[0][1]))
        one_core, bare = limits(folder, model, arguments.batch_size)
        for name, rates, seconds in measured:
            rate = float(np.median(rates))
            table.add_row(name, f"{rate:,.1f}", f"{mine / rate:.2f} x", f"{np.median(seconds):,.1f}")
    Console().print(table)
    limit = 1 / (1 / (CORES * one_core) + 1 / bare)
    share = mine / (CORES * one_core)
    print(f"one core prepares {one_core:,.0f} images/s: this scan does {share:.0%} of {CORES} times that;")
    print(f"the bare model scores {bare:,.1f} on all: it does {mine / bare:.0%} of that;")
    print(f"{CORES} cores that do nothing but both could do {limit:,.1f}: it does {mine / limit:.0%} of it")
    versions = f"torch {torch.__version__}, ray {ray.__version__}"
    print(f"{platform.machine()}, {CORES} cores, {versions}, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()

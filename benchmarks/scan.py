"""Images a second of several roads over the same images, cores, model and batch size: this scan and its peers.

    python -m benchmarks.scan --images 6000 --model null        # preprocessing is all that costs
    python -m benchmarks.scan --images 6000 --model tiny        # preprocessing is what costs
    python -m benchmarks.scan --images 200 --model embedded     # the model is what costs

A rate is counted from the first result to the last, so that no road pays for its start; the whole time is beside it.
The peers decode with Pillow and transform with open_clip, as their documentation shows. Below the table stand two
limits, measured in the same run: what one core prepares, and what the bare model scores.
"""

import argparse
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import open_clip
import ray
import ray.data
import torch
import webdataset
from PIL import Image
from ray.data import ActorPoolStrategy
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from mole.checkpoint import load_checkpoint
from mole.config import describe
from mole.inference import Scorer
from pipeline import cluster, registry
from pipeline.decode import Bounds
from pipeline.scan.fetch import fetch
from pipeline.scan.flow import scan
from pipeline.scan.image import Wanted
from pipeline.scan.prepare import prepare
from pipeline.scan.score import ScoreActor
from pipeline.scan.source import Source
from pipeline.settings import ScanSettings
from pipeline.telemetry import Ticker, quiet_ray
from tests.pictures import write_shard
from tests.tiny import NULL, tiny_checkpoint

BATCH = 16
CORES = os.cpu_count() or 1
SHARE = 0.1
"""Of the whole run, that the results must be spread over for their rate to mean something."""
Marks = list[tuple[float, int]]


class Marked(Ticker):
    """A ticker that keeps when how many images were done."""

    def __init__(self, marks: Marks) -> None:
        super().__init__(quiet=True)
        self.marks = marks

    def add(self, images: int, faults: int) -> None:
        """Note the time."""
        super().add(images, faults)
        self.marks.append((time.perf_counter(), self.images))


class Idiom:
    """The actor that Ray's documentation shows, with the same detector."""

    def __init__(self, model: str) -> None:
        torch.set_num_threads(CORES)
        self.transform = stock()
        self.scorer = Scorer(load_checkpoint(registry.locate(model)), "cpu")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Score a batch of decoded images."""
        views = [as_pixels(self.transform(Image.fromarray(image))) for image in batch["image"]]
        return {"logit": self.scorer.score(torch.stack(views)).logit}


class ShardIdiom(Idiom):
    """The same over what `read_webdataset` leaves undecoded."""

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Decode and score a batch of files."""
        views = [as_pixels(self.transform(Image.open(io.BytesIO(data)).convert("RGB"))) for data in batch["jpg"]]
        return {"logit": self.scorer.score(torch.stack(views)).logit}


def stock() -> Callable[[Image.Image], torch.Tensor]:
    """Make open_clip's own transform."""
    return open_clip.image_transform(224, is_train=False)  # type: ignore[no-any-return]


def as_pixels(view_3SS: torch.Tensor) -> torch.Tensor:
    """Undo the stock transform's normalisation, for the scorer normalises itself; uint8 (3, S, S)."""
    mean, std = torch.tensor(open_clip.OPENAI_DATASET_MEAN), torch.tensor(open_clip.OPENAI_DATASET_STD)
    return ((view_3SS * std[:, None, None] + mean[:, None, None]) * 255).round().clamp(0, 255).to(torch.uint8)


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
    names = sorted(members)
    for shard in range(4):
        write_shard(folder / "shards" / f"{shard}.tar", {name: members[name] for name in names[shard::4]})


def this_scan(folder: Path, model: str, marks: Marks) -> None:
    """Scan the shards as the command does, without its process."""
    with tempfile.TemporaryDirectory() as output:
        source = [f"{folder}/shards/{{0..3}}.tar"]
        settings = ScanSettings(source=source, output=output, model=model, batch_size=BATCH, rows_per_file=4 * BATCH)
        scan(settings, Marked(marks))


def plain_loop(folder: Path, model: str, marks: Marks) -> None:
    """Decode with Pillow, transform with open_clip, score: one process, torch on every core."""
    torch.set_num_threads(CORES)
    transform, scorer = stock(), Scorer(load_checkpoint(registry.locate(model)), "cpu")
    files, done = sorted(folder.glob("*.jpg")), 0
    for start in range(0, len(files), BATCH):
        views = [as_pixels(transform(Image.open(file).convert("RGB"))) for file in files[start : start + BATCH]]
        scorer.score(torch.stack(views))
        done += len(views)
        marks.append((time.perf_counter(), done))


def ray_idiom(folder: Path, model: str, marks: Marks) -> None:
    """`read_images(...).map_batches(model)`, as Ray's documentation has it."""
    with cluster.connected("local", logs=False):
        images = ray.data.read_images(str(folder), mode="RGB")
        pool = ActorPoolStrategy(size=1)
        scored = images.map_batches(Idiom, fn_constructor_args=(model,), batch_size=BATCH, compute=pool, num_cpus=0)
        done = 0
        for batch in scored.iter_batches(batch_size=None):
            done += len(batch["logit"])
            marks.append((time.perf_counter(), done))


def ray_webdataset(folder: Path, model: str, marks: Marks) -> None:
    """`read_webdataset(...).map_batches(model)`."""
    with cluster.connected("local", logs=False):
        shards = ray.data.read_webdataset([str(path) for path in sorted(folder.glob("shards/*.tar"))], decoder=None)
        pool = ActorPoolStrategy(size=1)
        scored = shards.map_batches(
            ShardIdiom, fn_constructor_args=(model,), batch_size=BATCH, compute=pool, num_cpus=0
        )
        done = 0
        for batch in scored.iter_batches(batch_size=None):
            done += len(batch["logit"])
            marks.append((time.perf_counter(), done))


def torch_loader(folder: Path, model: str, marks: Marks) -> None:
    """A DataLoader over webdataset with a worker a core, the model in the main process on every core."""
    torch.set_num_threads(CORES)
    transform, scorer = stock(), Scorer(load_checkpoint(registry.locate(model)), "cpu")
    shards = [str(path) for path in sorted(folder.glob("shards/*.tar"))]
    files = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("jpg")
    views = files.map(lambda sample: as_pixels(transform(sample[0])))
    done = 0
    for batch in DataLoader(views, batch_size=BATCH, num_workers=CORES):
        scorer.score(batch)
        done += len(batch)
        marks.append((time.perf_counter(), done))


def limits(folder: Path, model: str) -> tuple[float, float]:
    """Measure what bounds this scan: images a second that one core prepares, and that the bare model scores."""
    described = describe(registry.locate(model))
    bounds, wanted = Bounds(max_bytes=1 << 26, max_pixels=1 << 27), Wanted(max_bytes=1 << 26)
    [shard, *_] = Source([str(folder / "shards" / "0.tar")], all_files=False).units()
    torch.set_num_threads(1)
    prepared = [prepare(block, described.preprocess, bounds) for block in islice(fetch([shard], wanted), 1)]
    start, count = time.perf_counter(), 0
    for block in islice(fetch([shard], wanted), 16):
        prepared.append(prepare(block, described.preprocess, bounds))
        count += len(block)
    one_core = count / (time.perf_counter() - start)
    torch.set_num_threads(CORES)
    actor = ScoreActor([(model, described.digest)], device="cpu", threads=CORES, batch_size=BATCH)
    batches = [block.slice(0, BATCH) for block in prepared[:6]]
    actor(batches[0])
    start = time.perf_counter()
    for batch in batches:
        actor(batch)
    return one_core, sum(map(len, batches)) / (time.perf_counter() - start)


def measure(road: Callable[[Path, str, Marks], None], folder: Path, model: str) -> tuple[float, float]:
    """Run one road.

    Returns:
        Images a second from the first result to the last, not a number where all came within a moment (take more
        images), and the seconds of the whole run.
    """
    marks: Marks = []
    begun = time.perf_counter()
    road(folder, model, marks)
    seconds = time.perf_counter() - begun
    first, last = marks[0], marks[-1]
    told = last[0] - first[0]
    return ((last[1] - first[1]) / told if told > SHARE * seconds else float("nan")), seconds


def rounds(arguments: argparse.Namespace, folder: Path, model: str) -> Iterator[tuple[str, list[float], list[float]]]:
    """Run every road in turn, several times over, so that a drift of the machine's speed meets them all."""
    roads = {
        "this scan": this_scan,
        "plain loop": plain_loop,
        "read_images + map_batches": ray_idiom,
        "read_webdataset + map_batches": ray_webdataset,
        "webdataset + torch DataLoader": torch_loader,
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in roads}
    for _ in range(arguments.rounds):
        for name, road in roads.items():
            results[name].append(measure(road, folder, model))
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
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=768)
    parser.add_argument("--model", default="tiny", help="null, tiny, embedded, or a checkpoint's folder")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    quiet_ray(logs=False)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures(folder, arguments.images, (arguments.width, arguments.height))
        model = checkpoint(arguments.model, folder / "model")
        view = describe(registry.locate(model)).preprocess
        size = f"{arguments.width} x {arguments.height}"
        title = f"{arguments.images} JPEGs of {size}, model {arguments.model} ({view.name} {view.size})"
        table = Table("road", "images/s", "this scan is", "whole run, s", title=title)
        measured = list(rounds(arguments, folder, model))
        ours = float(np.median(measured[0][1]))
        one_core, bare = limits(folder, model)
        for name, rates, seconds in measured:
            rate = float(np.median(rates))
            table.add_row(name, f"{rate:,.1f}", f"{ours / rate:.2f} x", f"{np.median(seconds):,.1f}")
    Console().print(table)
    limit = 1 / (1 / (CORES * one_core) + 1 / bare)
    print(f"one core prepares {one_core:,.0f} images/s, the bare model scores {bare:,.1f} on all;")
    print(f"{CORES} cores that do nothing but both could do {limit:,.1f}: this scan does {ours / limit:.0%} of it")
    versions = f"torch {torch.__version__}, ray {ray.__version__}"
    print(f"{platform.machine()}, {CORES} cores, {versions}, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()

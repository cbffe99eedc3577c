"""How near a packed tower stays to the one it was made from, and how long it takes to load.

python -m benchmarks.packing --source INT8 --packed A.safetensors --packed B.safetensors --reads 6,8
    --photographs DATA/manifest.csv:coco --generated DATA2/manifest.csv

Each packed tower is compared by its class tokens after the blocks of `--reads` that it has, and by its feature where it
has one; `deviation` is the root of the mean squared error of a number of the token, over its deviation between images.
"""

import argparse
import math
import os
import random
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from mole.tower.backbone import BLOCK, load_tower
from mole.tower.vit import Tower
from pipeline.tune.data.samples import Sample, read_manifest
from pipeline.tune.packing import CROP, RESIZE, batches, cosines, read_tower

BACKBONE = "ViT-B-16-quickgelu"
LOADS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="the tower as it was")
    parser.add_argument("--packed", type=Path, action="append", required=True)
    parser.add_argument("--reads", default="6,8,9,10,12", help="blocks, with commas")
    parser.add_argument("--photographs", required=True, help="a manifest, a colon and a source of it")
    parser.add_argument("--generated", type=Path, required=True, help="a manifest, whose fakes are drawn from")
    parser.add_argument("--images", type=int, default=60, help="of each of the two")
    arguments = parser.parse_args()
    reads = [int(read) for read in arguments.reads.split(",")]
    manifest, _, source = arguments.photographs.rpartition(":")
    groups = {
        "photographs": [sample for sample in read_manifest(Path(manifest)) if sample.source == source],
        "generated": [sample for sample in read_manifest(arguments.generated) if sample.label],
    }
    chosen = {name: random.Random(0).sample(group, min(arguments.images, len(group))) for name, group in groups.items()}
    towers = {path: load_tower(BACKBONE, path) for path in arguments.packed}
    for path in arguments.packed:
        print(describe(path))
    original = load_tower(BACKBONE, arguments.source)
    print("| tower | images | view | read after | cosine mean / lowest | less the mean | deviation |")
    print("|---|---|---|---|---|---|---|")
    for name, samples in chosen.items():
        compare(original, towers, reads, samples, name)
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    print(f"{threads}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}")


def describe(path: Path) -> str:
    """Say what a packed file takes, and how long it takes to load: the median of some loads, by the clock."""
    seconds = []
    for _ in range(LOADS):
        begun = time.perf_counter()
        load_tower(BACKBONE, path)
        seconds.append(time.perf_counter() - begun)
    with safe_open(path, "pt") as file:
        coded = [name for name in file.keys() if f"{name}.step" in file.keys()]  # noqa: SIM118 (not a mapping)
        stream = sum(file.get_slice(name).get_shape()[0] for name in coded)
    state = load_tower(BACKBONE, path).state_dict()
    weights = sum(state[name].numel() for name in coded)
    blocks = len({found[1] for found in map(BLOCK.match, coded) if found})
    return (
        f"{path.name}: {path.stat().st_size:,} bytes, {blocks} blocks, {weights:,} coded weights of "
        f"{8 * stream / weights:.3f} bits, loads in {statistics.median(seconds):.2f} s"
    )


def compare(original: Tower, towers: dict[Path, Tower], reads: list[int], samples: list[Sample], images: str) -> None:
    """Print a line for each packed tower, view and read."""
    for spec in (RESIZE, CROP):
        pixels = batches(samples, views=(spec,))
        before = read(original, pixels, reads)
        for path, tower in towers.items():
            for name, after_ND in read(tower, pixels, reads).items():
                cells = told(before[name], after_ND)
                print(f"| {path.stem} | {len(samples)} {images} | {spec.name} | {name} | {cells} |", flush=True)


def read(tower: Tower, pixels: list[Tensor], reads: list[int]) -> dict[str, Tensor]:
    """Read what a tower has: class tokens (N, D) after its blocks, by their number, and the feature (N, D)."""
    blocks = len(tower.transformer.resblocks)
    there = sorted({number for number in reads if number <= blocks} | {blocks})
    token_RND = read_tower(tower, pixels, there)
    found = {str(number): token_ND for number, token_ND in zip(there, token_RND, strict=True) if number in reads}
    return found if tower.proj is None else found | {"feature": tower.read(token_RND[-1][:, None])}


def told(before_ND: Tensor, after_ND: Tensor) -> str:
    """Write three cells: cosines, cosines less the mean over images, and the standardised error."""
    plain, centred = (cosines(before_ND[None], after_ND[None], centred=centred) for centred in (False, True))
    error = ((after_ND - before_ND) / before_ND.std(dim=0)).square().mean()
    return (
        f"{plain.mean():.5f} / {plain.min():.5f} | {centred.mean():.5f} / {centred.min():.5f} | {math.sqrt(error):.4f}"
    )


if __name__ == "__main__":
    main()

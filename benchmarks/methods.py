"""What an image costs with each method of a recipe: blocks that run, trained parameters, milliseconds.

python -m benchmarks.methods --recipe benchmarks/recipes/methods.toml

Weights are drawn: what an image costs depends on shapes alone. The methods take turns in one process.
"""

import argparse
import os
import statistics
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import torch

from mole.config import DetectorConfig, describe
from mole.inference.precision import faster, in_bfloat16
from mole.model.detector import MoLE, learned
from mole.tower.hub import architecture_of
from mole.tower.vit import Tower
from pipeline import registry
from pipeline.tune.training.recipe import DETECTOR_SETTINGS

BATCH, IMAGES, ROUNDS = 16, 48, 5
TOWER = "ViT-B-16-quickgelu"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    recipe = tomllib.loads(parser.parse_args().recipe.read_text())
    torch.set_num_threads(os.cpu_count() or 1)
    view_B3SS = torch.randn(BATCH, 3, 224, 224)
    detectors = {name: built(recipe | changed) for name, changed in recipe["methods"].items()}
    precision = faster(next(iter(detectors.values())))
    parameters = {name: sum(map(torch.numel, learned(one).values())) for name, one in detectors.items()}
    if precision == "bfloat16":
        detectors = {name: in_bfloat16([one])[0] for name, one in detectors.items()}
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    with torch.inference_mode():
        for turn in range(ROUNDS + 1):  # the first is not counted
            for name, detector in detectors.items():
                begun = time.perf_counter()
                for _ in range(IMAGES // BATCH):
                    detector(view_B3SS.to(detector.dtype))
                seconds[name] += [time.perf_counter() - begun] if turn else []
    first = statistics.median(next(iter(seconds.values())))
    print("| method | parameters | blocks | ms an image | times the first |\n|---|---|---|---|---|")
    for name, found in seconds.items():
        middle = statistics.median(found)
        row = (
            name,
            f"{parameters[name]:,}",
            detectors[name].depth,
            f"{1000 * middle / IMAGES:.1f}",
            f"{middle / first:.2f}",
        )
        print(f"| {' | '.join(map(str, row))} |")
    print(f"{precision}, {os.cpu_count()} cores, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}")


def built(recipe: dict[str, object]) -> MoLE:
    """Build the detector of a method with drawn weights."""
    own = describe(registry.locate(registry.EMBEDDED)).config.detector.model_dump()
    shape = {name: recipe[name] for name in DETECTOR_SETTINGS if name in recipe}
    return MoLE(Tower(architecture_of(TOWER)), DetectorConfig.model_validate(own | shape)).eval()


if __name__ == "__main__":
    main()

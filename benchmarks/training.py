"""What a training step costs, in forward passes of the same batch: the trunk keeps no gradient, the last blocks do.

python -m benchmarks.training --batch 8 --rounds 5
"""

import argparse
import platform
import time
from datetime import UTC, datetime

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mole.checkpoint import tower_of
from mole.config import describe
from mole.model.detector import MoLE
from mole.tower.vit import normalise
from pipeline import registry
from pipeline.tune.training.learner import Learner
from pipeline.tune.training.task import Schedule, Stage

SCHEDULE = Schedule(0, 1000, (Stage("all", 1),), penalty=1e-2, head_rate=1e-4, expert_rate=1e-4, decay=0.0, patience=1)


def main() -> None:
    """Measure both in turn, so that a drift of the machine's speed meets both, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="a checkpoint's folder")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    arguments = parser.parse_args()
    found = describe(registry.locate(arguments.model))
    dtype = getattr(torch, arguments.precision)
    learner = Learner(MoLE(tower_of(found).to(dtype), found.config.detector), found.preprocess, SCHEDULE)
    size = found.preprocess.size
    pixels = torch.randint(0, 256, (arguments.batch, 3, size, size), dtype=torch.uint8)
    label = (torch.arange(arguments.batch) % 2).float()
    seconds: dict[str, list[float]] = {"forward": [], "step": []}
    for turn in range(arguments.rounds + 1):
        for name, taken in seconds.items():
            begun = time.perf_counter()
            if name == "step":
                learner.train_step(learner.tokens(pixels), label)
            else:
                with torch.inference_mode():
                    learner.detector(normalise(pixels, found.preprocess).to(dtype))
            if turn:  # the first of each warms up
                taken.append(time.perf_counter() - begun)
    forward, step = (float(np.median(times)) for times in seconds.values())
    table = Table("what", "seconds", "forward passes", title=f"{arguments.batch} views, {arguments.precision}")
    table.add_row("forward pass", f"{forward:.2f}", "1.00")
    table.add_row("training step", f"{step:.2f}", f"{step / forward:.2f}")
    Console().print(table)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {datetime.now(UTC):%F}")


if __name__ == "__main__":
    main()

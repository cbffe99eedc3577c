"""A shadow: what a second detector over the same trunk costs, beside one detector and beside two passes.

    python -m benchmarks.shadow [--tower ViT-L-14-quickgelu] [--batch 8]

The tower's weights are drawn: time does not depend on them. Three adapted blocks each.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime

import torch

from mole.architecture import Architecture
from mole.config import DetectorConfig
from mole.inference.precision import in_bfloat16
from mole.inference.scoring import forward, share_backbone
from mole.model.detector import MoLE
from mole.tower.vit import Tower

SHAPES = {
    "ViT-B-16": Architecture(patch_size=16, width=768, layers=12, heads=12, embed_dim=512),
    "ViT-L-14": Architecture(patch_size=14, width=1024, layers=24, heads=16, embed_dim=768),
}


def main(arguments: list[str]) -> None:
    """Time one detector and two, in turns, and print the ratios of the fastest passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tower", choices=SHAPES, default="ViT-L-14")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--passes", type=int, default=7)
    given = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    pair = [MoLE(Tower(SHAPES[given.tower]), DetectorConfig()).eval() for _ in range(2)]
    share_backbone(*pair)
    pair = in_bfloat16([detector.to(device) for detector in pair])
    view_B3SS = torch.randn(given.batch, 3, 224, 224, device=device)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with torch.inference_mode():
        for _ in range(given.passes + 1):
            for count, times in seconds.items():
                begun = time.perf_counter()
                for logit_B, _ in forward(pair[:count], view_B3SS, 1):
                    logit_B.cpu()
                times.append(time.perf_counter() - begun)
    alone, both = (min(times[1:]) for times in seconds.values())
    print(f"{given.tower}, bfloat16, batch {given.batch}, {device}: one {alone:.3f} s, with its shadow {both:.3f} s")
    print(f"a shadow costs {both / alone - 1:.1%} more; a second pass would cost 100 %")
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What towers cost that a detector can stand on: parameters, what learns, tokens, and arithmetic for one view.

python -m benchmarks.backbones [NAME ...]

Nothing is downloaded and nothing computed: the towers are built without weights, on torch's meta device, and their
products are counted there (two operations a multiply-add; attention counted as its products).
"""

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode

from mole.architecture import Architecture
from mole.config import DetectorConfig
from mole.model.detector import MoLE, learned
from mole.tower.hub import architecture_of, trunk_of
from mole.tower.timm_vit import TimmTower
from mole.tower.vit import Tower

TOWERS = (
    "ViT-B-16-quickgelu",
    "ViT-L-14-quickgelu",
    "ViT-H-14-worldwide-quickgelu",
    "ViT-bigG-14-worldwide",
    "ViT-B-16-SigLIP2",
    "ViT-L-16-SigLIP2-256",
    "ViT-SO400M-16-SigLIP2-384",
    "PE-Core-T-16-384",
    "PE-Core-B-16",
    "PE-Core-L-14-336",
    "vit_small_patch16_dinov3",
    "vit_base_patch16_dinov3",
    "vit_large_patch16_dinov3",
)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=TOWERS)
    print("| tower | view | tokens | blocks x width | parameters | learns | GFLOP a view | read at two thirds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in parser.parse_args().names:
        shape = architecture_of(name)
        middle = round(shape.layers * 2 / 3)
        whole = MoLE(empty(shape), DetectorConfig())
        read = MoLE(empty(shape), DetectorConfig(blocks=(), reads=(middle,), pooling=("mean",)))
        trains = sum(parameter.numel() for parameter in learned(whole).values())
        every = sum(parameter.numel() for parameter in whole.parameters()) - trains
        row = (
            f"`{name}`",
            shape.image_size,
            whole.tower.tokens,
            f"{shape.layers} x {shape.width}",
            f"{every / 1e6:.1f} M",
            f"{trains:,}",
            f"{operations(whole, shape) / 1e9:.1f}",
            f"{operations(read, shape) / 1e9:.1f} ({middle})",
        )
        print(f"| {' | '.join(map(str, row))} |")


def empty(shape: Architecture) -> Tower:
    """Build a tower without weights."""
    with torch.device("meta"):
        return Tower(shape) if shape.library is None else TimmTower(trunk_of(shape))


def operations(detector: MoLE, shape: Architecture) -> int:
    """Count the operations of a forward pass of one view."""
    view_13SS = torch.zeros(1, 3, shape.image_size, shape.image_size, device="meta")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        detector.to("meta").eval()(view_13SS)
    return int(counter.get_total_flops())


if __name__ == "__main__":
    main()

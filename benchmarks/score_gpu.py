"""Scoring on a GPU: images a second by batch size, what the experts add, the share of the matrix rate of the device.

    python -m benchmarks.score_gpu [--tower ViT-L-14] [--batches 64 256 1024] | tee benchmarks/results/score_gpu.txt

Nothing but torch, NumPy, Pillow, pydantic and safetensors is imported: no Ray and no network. The tower's weights are
drawn, since time does not depend on them. `bare` is the detector on views that are on the device already, `fed` the
scan's own `SharedBackboneScorer` on four batches of views in host memory, with staging, copies and normalisation.
Below stands what float32 costs, which judges again what lies near a threshold (docs/precision.md).
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from mole.checkpoint import Checkpoint
from mole.config import Backbone, CheckpointConfig, Description, DetectorConfig
from mole.inference.scoring import SharedBackboneScorer
from mole.measuring.calibration import Calibration
from mole.model.detector import MoLE
from mole.tower.hub import architecture_of
from mole.tower.vit import Tower
from mole.views.preprocess import Preprocess

PLAIN = DetectorConfig(adapted_blocks=0, shared_rank=0, expert_ranks=())
MATRIX = 8192
NEAR = 0.05
"""Share of the images that lie near a threshold, as of the embedded detector (docs/precision.md)."""
EXACTLY = 32
CALL = 4
"""Batches that a scan hands its scorer at a time (`pipeline.runtime.cluster.BATCHES_PER_BLOCK`, which imports Ray)."""


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tower", default="ViT-L-14", choices=("ViT-L-14", "ViT-B-16"))
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--matrix", type=int, default=MATRIX, help="side of the matrices whose product is the limit")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    given = parser.parse_args()
    device = torch.device(given.device)
    rate = matrix_rate(device, given.matrix, given.passes)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    print(f"{name}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}")
    print(f"{given.tower}, bfloat16; a product of {given.matrix:,} x {given.matrix:,} does {rate / 1e12:.1f} TFLOP/s")
    mixed, plain = (scorer(f"{given.tower}-quickgelu", config, device) for config in (DetectorConfig(), PLAIN))
    work = flops(mixed.fast[0])
    print("  batch  bare images/s  of the matrix rate  experts add  fed images/s  of bare  peak memory, MiB")
    rates: dict[int, float] = {}
    for batch in given.batches:
        bare, without, fed, peak = measure(mixed, plain, batch, given.passes)
        rates[batch] = fed
        share, added = bare * work / rate, without / bare - 1
        row = f"{batch:7,}  {bare:13,.1f}  {share:18.1%}  {added:11.1%}  {fed:12,.1f}  {fed / bare:7.1%}  {peak:16,}"
        print(row, flush=True)
    view_B3SS = torch.randn(EXACTLY, 3, 224, 224, device=device)
    with torch.inference_mode():
        exact = EXACTLY / min(timed(lambda: mixed.exact[0](view_B3SS), device) for _ in range(3))
    best = max(rates, key=lambda batch: rates[batch])
    both = 1 / (1 / rates[best] + NEAR / exact)
    print(f"the best batch is {best:,}: {rates[best]:,.1f} images/s fed")
    print(f"float32 scores {exact:,.1f} images/s; with {NEAR:.0%} near a threshold a scan does {both:,.1f}")


def scorer(name: str, config: DetectorConfig, device: torch.device) -> SharedBackboneScorer:
    """Make a scorer of one detector with drawn weights, in bfloat16, whose logits never lie near a threshold."""
    shape, spec = architecture_of(name), Preprocess()
    detector = MoLE(Tower(shape), config).eval()
    far = Calibration(real_below=-1e6, generated_above=1e6)
    written = CheckpointConfig(
        backbone=Backbone(name=name, pretrained="drawn"),
        detector=config,
        preprocess=spec,
        preprocess_fingerprint=spec.fingerprint,
        calibration=far,
        licence="Apache-2.0",
    )
    described = Description(Path(), written, name)
    return SharedBackboneScorer([Checkpoint(described, detector)], device.type, precision="bfloat16")


def flops(detector: MoLE) -> float:
    """Count the multiplications and additions of one image, as torch sees them."""
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415 (imports the compiler)

    counter = FlopCounterMode(display=False)
    view_13SS = detector.tower.conv1.weight.new_zeros(1, 3, 224, 224)
    torch.backends.mha.set_fastpath_enabled(False)  # its products are not counted
    with torch.no_grad(), counter:
        detector(view_13SS)
    torch.backends.mha.set_fastpath_enabled(True)
    return float(counter.get_total_flops())


def measure(
    mixed: SharedBackboneScorer, plain: SharedBackboneScorer, batch: int, passes: int
) -> tuple[float, float, float, int]:
    """Time a batch: bare, without experts, and fed, in turns; images/s of each, and the peak memory in MiB."""
    chance = np.random.default_rng(0)
    pixels_V3SS = torch.from_numpy(chance.integers(0, 256, (CALL * batch, 3, 224, 224), np.uint8))
    mixed.batch_size = batch
    view_B3SS = torch.randn(batch, 3, 224, 224, device=mixed.device, dtype=torch.bfloat16)
    if mixed.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ways: list[Callable[[], object]] = [
        lambda: mixed.fast[0](view_B3SS),
        lambda: plain.fast[0](view_B3SS),
        lambda: mixed.score([pixels_V3SS]),
    ]
    best = [float("inf")] * len(ways)
    with torch.inference_mode():
        for number in range(passes + 1):
            for place, way in enumerate(ways):
                seconds = timed(way, mixed.device)
                best[place] = min(best[place], seconds) if number else best[place]
    peak = torch.cuda.max_memory_allocated() >> 20 if mixed.device.type == "cuda" else 0
    bare, without, fed = (batch / seconds for seconds in best)
    return bare, without, CALL * fed, peak


def matrix_rate(device: torch.device, side: int, passes: int) -> float:
    """Measure what the device can do at all: operations a second of a square bfloat16 product."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2.0 * side**3 / min(timed(lambda: left @ right, device) for _ in range(passes + 2))


def timed(way: Callable[[], object], device: torch.device) -> float:
    """Time one call, to the end of what it started on the device; seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

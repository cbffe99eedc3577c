"""How far bfloat16 moves the embedded model's logits from float32's, how much faster it is, and if a verdict moves.

python -m benchmarks.precision --source PHOTOS --images 200
"""

import argparse
import os
import random
import time
from datetime import UTC, datetime

import numpy as np
import torch

from mole.checkpoint import load_checkpoint
from mole.inference.precision import Precision
from mole.inference.scoring import RESCORE_MARGIN, SingleModelScorer, forward, to_host
from mole.tower.vit import normalise
from mole.views.view import views
from pipeline import registry
from pipeline.images.decode import Bounds, Picture, decode
from pipeline.scan.reading.source import Source
from pipeline.storage import storage

BATCH = 16
BOUNDS = Bounds(64 << 20, 100_000_000, 16)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    loaded = load_checkpoint(registry.locate(registry.EMBEDDED))
    units = list(Source([arguments.source]).units())
    chosen = random.Random(0).sample(units, min(arguments.images, len(units)))
    pictures = [decode(storage.read(unit.uri), BOUNDS) for unit in chosen]
    seen = [views(picture.pixels_3HW, loaded.preprocess) for picture in pictures if isinstance(picture, Picture)]
    crops = loaded.preprocess.crops
    batches = [torch.from_numpy(np.concatenate(seen[start : start + BATCH])) for start in range(0, len(seen), BATCH)]
    logits: dict[str, np.ndarray] = {}
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        scorer = SingleModelScorer(loaded, "cpu", precision=precision)
        with torch.inference_mode():
            begun = time.perf_counter()
            parts = [forward(scorer.shared.fast, normalise(batch, loaded.preprocess), crops)[0] for batch in batches]
            seconds = time.perf_counter() - begun
        logits[precision] = to_host(parts).logit
        rescored = np.concatenate([scorer.score(batch, crops=crops).logit for batch in batches])
        logits[f"{precision} scored"] = rescored
        print(f"{precision}: {len(seen) / seconds:.1f} images/s in batches of {BATCH}")
    drift = np.abs(logits["bfloat16"] - logits["float32"])
    thresholds = np.array([loaded.calibration.real_below, loaded.calibration.generated_above])
    near = np.abs(logits["bfloat16"][:, None] - thresholds).min(axis=1) <= RESCORE_MARGIN
    verdicts = {name: loaded.calibration.verdict(values) for name, values in logits.items()}
    plain = int((verdicts["bfloat16"] != verdicts["float32"]).sum())
    moved = int((verdicts["bfloat16 scored"] != verdicts["float32"]).sum())
    print(f"{len(seen)} images: drift mean {drift.mean():.3f}, largest {drift.max():.3f} logits")
    print(f"{near.mean():.1%} lie within {RESCORE_MARGIN} of a threshold and are scored again in float32")
    print(f"verdicts that bfloat16 alone moves: {plain}; that a scan in bfloat16 moves: {moved}")
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()

"""Heat map: which way of saying where a logit comes from is true to the model, points to the right half, and is cheap.

python -m benchmarks.heatmap --images 40 --pairs 20
"""

import argparse
import copy
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from benchmarks.attributions import METHODS
from mole.checkpoint import Checkpoint, load_checkpoint
from mole.model.block import AdaptedBlock
from mole.model.detector import MoLE
from mole.tower.vit import normalise
from mole.views.view import view
from pipeline.registry import locate
from pipeline.tune.data.samples import Sample, load, read_manifest

SHARES = (0.1, 0.25, 0.5, 0.75)
"""Of the patches, how many are taken away along a curve."""
LEFT_OUT = "supagruen-cheatsheet"
"""Grids of four images."""
SANITY = 2
FloatArray = NDArray[np.float32]


def views(checkpoint: Checkpoint, samples: list[Sample]) -> Tensor:
    """Decode and view; normalised float32 (B, 3, S, S)."""
    seen = [view(load(sample).numpy(), checkpoint.preprocess) for sample in samples]
    return normalise(torch.from_numpy(np.stack(seen)), checkpoint.preprocess)


@torch.no_grad()
def logits_without(model: MoLE, view_13SS: Tensor, order_P: Tensor) -> FloatArray:
    """Take the first patches of an order away, more at each point, as tokens that the network never sees."""
    token_1TD = model.tower.embed(view_13SS)
    found = []
    for share in SHARES:
        kept = order_P[round(share * len(order_P)) :].sort().values + 1
        part = token_1TD[:, torch.cat([torch.zeros(1, dtype=torch.long), kept])]
        found.append(model.forward_tokens(model.run_blocks(part, 0, model.split)).logit_B.item())
    return np.array(found, np.float32)


def curves(model: MoLE, views_B3SS: Tensor, maps: dict[str, list[Tensor]]) -> None:
    """Print where the logit goes when patches are taken away, those first that speak most for generated, or least."""
    print(f"\nremoval of patches, {len(views_B3SS)} images, mean over {SHARES} of the patches")
    print(f"{'':32} highest first  lowest first  difference")
    generator = torch.Generator().manual_seed(0)
    orders = dict(maps)
    orders["random order"] = [torch.rand(len(own), generator=generator) for own in next(iter(maps.values()))]
    for name, own in orders.items():
        falls = []
        for view_3SS, map_P in zip(views_B3SS, own, strict=True):
            order_P = map_P.argsort()
            view_13SS = view_3SS[None]
            falls.append(
                (
                    logits_without(model, view_13SS, order_P.flip(0)).mean(),
                    logits_without(model, view_13SS, order_P).mean(),
                )
            )
        high, low = np.mean(falls, axis=0)
        gains = [low - high for high, low in falls]
        print(f"{name:32} {high:13.3f} {low:13.3f} {np.mean(gains):11.3f} +- {np.std(gains) / len(gains) ** 0.5:.3f}")


def splice(real_3SS: Tensor, fake_3SS: Tensor, patch: int, *, left: bool) -> tuple[Tensor, NDArray[np.bool_]]:
    """Put half of a generated view beside half of a real one, and tell which patches are generated."""
    side = real_3SS.shape[-1]
    half = side // patch // 2 * patch
    joined_3SS = real_3SS.clone()
    columns = slice(0, half) if left else slice(half, side)
    joined_3SS[:, :, columns] = fake_3SS[:, :, columns]
    truth = np.zeros((side // patch, side // patch), bool)
    truth[:, columns.start // patch : columns.stop // patch] = True
    return joined_3SS, truth.ravel()


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, default=Path("../shared/data/manifest.csv"))
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--without", action="append", default=[], choices=list(METHODS), help="leave a method out")
    given = parser.parse_args()
    for name in given.without:
        del METHODS[name]
    torch.set_num_threads(given.threads)
    checkpoint = load_checkpoint(locate(given.model))
    model = checkpoint.detector
    samples = [sample for sample in read_manifest(given.manifest) if sample.source != LEFT_OUT]
    random.Random(0).shuffle(samples)
    by_label = [[sample for sample in samples if sample.label == label] for label in (0, 1)]
    reals, fakes = (views(checkpoint, own[: max(given.images // 2, 2 * given.pairs)]) for own in by_label)

    chosen = torch.cat([own[: given.images // 2] for own in (reals, fakes)])
    maps: dict[str, list[Tensor]] = {}
    print(f"cost, {len(chosen)} views of {tuple(chosen.shape[1:])}")
    begin = time.perf_counter()
    with torch.inference_mode():
        for one in chosen:
            model(one[None])
    forward = (time.perf_counter() - begin) / len(chosen)
    print(f"{'one forward pass':32} {forward:8.3f} s")
    for name, method in METHODS.items():
        begin = time.perf_counter()
        maps[name] = [method(model, one[None]) for one in chosen]
        seconds = (time.perf_counter() - begin) / len(chosen)
        print(f"{name:32} {seconds:8.3f} s, {seconds / forward:6.1f} passes", flush=True)
    curves(model, chosen, maps)
    localise(checkpoint, reals, fakes, given.pairs)
    places = range(0, len(chosen), -(-len(chosen) // SANITY))
    sanity(model, chosen[list(places)], {name: [own[place] for place in places] for name, own in maps.items()})


def localise(checkpoint: Checkpoint, reals: Tensor, fakes: Tensor, pairs: int) -> None:
    """Print how well maps find the generated half of spliced views."""
    model, bounds = checkpoint.detector, checkpoint.calibration
    with torch.inference_mode():
        judged = [torch.cat([model(part).logit_B for part in torch.split(own, 8)]) for own in (reals, fakes)]
    sure_reals = reals[judged[0] < bounds.real_below][:pairs]
    sure_fakes = fakes[judged[1] >= bounds.generated_above][:pairs]
    patch = model.tower.conv1.kernel_size[0]
    spliced = [
        splice(real, fake, patch, left=left)
        for real, fake in zip(sure_reals, sure_fakes, strict=False)
        for left in (True, False)
    ]
    with torch.inference_mode():
        heights = [model(one[None]).logit_B.item() for one, _ in spliced]
    print(f"\nspliced views: {len(spliced)}, mean logit {np.mean(heights):.2f}")
    print(f"{'':32} AUROC  AUROC (3 x 3 mean)  highest patch  heavier half")
    smooth = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    for name, method in METHODS.items():
        found = []
        for one, truth in spliced:
            map_P = method(model, one[None])
            side = round(len(map_P) ** 0.5)
            even = smooth(map_P.view(1, side, side)).flatten()
            heavier = map_P[truth].sum() > map_P[~truth].sum()
            found.append(
                (roc_auc_score(truth, map_P), roc_auc_score(truth, even), truth[int(even.argmax())], bool(heavier))
            )
        auroc, evened, pointed, heavier_half = np.mean(found, axis=0)
        spread = np.std([one[0] for one in found]) / len(found) ** 0.5
        print(f"{name:32} {auroc:.3f} +- {spread:.3f} {evened:10.3f} {pointed:16.2f} {heavier_half:13.2f}", flush=True)


def sanity(model: MoLE, views_B3SS: Tensor, maps: dict[str, list[Tensor]]) -> None:
    """Print how like the maps of a detector and of one with drawn weights are.

    Source: Adebayo et al. 2018, arXiv:1810.03292.
    """
    print(f"\nrank correlation with the map of drawn weights, mean of {len(views_B3SS)} images: 0 is another map")
    torch.manual_seed(0)
    drawn: dict[str, MoLE] = {}
    for name in ("head", "head and adapted blocks"):
        changed = copy.deepcopy(model)
        blocks = [block for block in changed.tower.transformer.resblocks if isinstance(block, AdaptedBlock)]
        parts = [changed.head, *(blocks if name != "head" else [])]
        with torch.no_grad():
            for part in parts:
                for parameter in part.parameters():
                    if parameter.dim() > 1:
                        parameter.copy_(torch.randn_like(parameter) * parameter.std())
        drawn[name] = changed
    print(f"{'':32} " + "  ".join(f"{name:>24}" for name in drawn))
    for name, method in METHODS.items():
        alike = []
        for changed in drawn.values():
            pairs = [(own, method(changed, one[None])) for own, one in zip(maps[name], views_B3SS, strict=True)]
            alike.append(np.mean([abs(spearmanr(own, other).statistic) for own, other in pairs]))
        print(f"{name:32} " + "  ".join(f"{value:24.2f}" for value in alike), flush=True)


if __name__ == "__main__":
    main()

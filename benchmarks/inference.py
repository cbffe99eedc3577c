"""Inference on a CPU: ways to run the embedded detector, each with its rate, its drift from float32 and its AUROC.

    python -m benchmarks.inference --manifest DATA/manifest.csv --images 400

Ways: float32; bfloat16, as a scan runs; bfloat16 with each block compiled (torch.compile); 8-bit products in all frozen
layers (scales by output channel and by token); and bfloat16 without the patch tokens that say least (the first method
of arXiv:2202.07800: patches that the class token attends to least are dropped after a block). The ways take turns.

Legend: N views, B views of a batch, S side of a view, T tokens, D width, O output width.
"""

import argparse
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mole.checkpoint import load_checkpoint
from mole.inference.precision import in_bfloat16
from mole.inference.scoring import RESCORE_MARGIN
from mole.measuring.metrics import auroc
from mole.model.detector import MoLE
from mole.tower.vit import Block, normalise
from mole.views.view import views
from pipeline import registry
from pipeline.tune.data.samples import Sample, load, read_manifest

BATCH, ROUNDS = 16, 3
TIMED = 4
"""Batches that a round times."""


class Int8Linear(nn.Module):
    """A linear layer by 8-bit products: weights scaled by output channel, inputs by token, sums in int32."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.scale_O = layer.weight.float().abs().amax(dim=1) / 127
        self.code_DO = (layer.weight.float() / self.scale_O[:, None]).round().to(torch.int8).t()
        self.bias_O = layer.bias.float()

    def forward(self, token_BTD: Tensor) -> Tensor:
        """Apply the layer; token_BTD to token_BTO, same dtype."""
        wide_ND = token_BTD.reshape(-1, token_BTD.shape[-1])
        scale_N1 = wide_ND.abs().amax(dim=1, keepdim=True).float().clamp_min(1e-8) / 127
        code_ND = (wide_ND / scale_N1).round().to(torch.int8)
        sum_NO = torch._int_mm(code_ND, self.code_DO).float()
        output_NO = sum_NO * scale_N1 * self.scale_O + self.bias_O
        return output_NO.to(token_BTD.dtype).view(*token_BTD.shape[:-1], -1)


def in_int8(detector: MoLE) -> MoLE:
    """Copy a detector with 8-bit products in the frozen layers, bfloat16 between them."""
    half = in_bfloat16([detector])[0]
    for block in [module for module in half.modules() if isinstance(module, Block)]:
        for name in ("c_fc", "c_proj"):
            setattr(block.mlp, name, Int8Linear(cast(nn.Linear, getattr(block.mlp, name))))
        block.attention = _attention_in_int8(block.attn)  # type: ignore[method-assign, assignment]
    return half


def _attention_in_int8(attention: nn.MultiheadAttention) -> Callable[[Tensor], Tensor]:
    """Make a block's attention whose two products are 8-bit."""
    joint = nn.Linear(attention.embed_dim, 3 * attention.embed_dim)
    joint.weight, joint.bias = attention.in_proj_weight, attention.in_proj_bias
    entry, leave = Int8Linear(joint), Int8Linear(attention.out_proj)

    def attended(token_BTD: Tensor) -> Tensor:
        batch, tokens, width = token_BTD.shape
        heads = entry(token_BTD).view(batch, tokens, 3, attention.num_heads, width // attention.num_heads)
        query_BHTD, key_BHTD, value_BHTD = heads.permute(2, 0, 3, 1, 4)
        mixed_BHTD = nn.functional.scaled_dot_product_attention(query_BHTD, key_BHTD, value_BHTD)
        return cast(Tensor, leave(mixed_BHTD.transpose(1, 2).reshape(token_BTD.shape)))

    return attended


def compiled(detector: MoLE) -> MoLE:
    """Copy a detector in bfloat16 whose blocks torch.compile has compiled."""
    half = in_bfloat16([detector])[0]
    for block in half.tower.transformer.resblocks:
        block.compile()
    return half


def without_patches(detector: MoLE, after: int, share: float) -> MoLE:
    """Copy a detector in bfloat16 that keeps a share of the patches after a block.

    Args:
        detector: in float32.
        after: number of blocks that see all patches.
        share: of the patches, those that the class token attends to most.
    """
    half = in_bfloat16([detector])[0]
    block = cast(Block, half.tower.transformer.resblocks[after - 1])
    if not isinstance(block, Block):
        raise SystemExit(f"block {after} holds experts; name one below them")
    own = block.forward

    def forward(token_BTD: Tensor) -> Tensor:
        attention, width = block.attn, token_BTD.shape[-1]
        normal_BTD = block.ln_1(token_BTD)
        query_D, key_DD = attention.in_proj_weight[:width], attention.in_proj_weight[width : 2 * width]
        query_BD = nn.functional.linear(normal_BTD[:, 0], query_D, attention.in_proj_bias[:width])
        key_BTD = nn.functional.linear(normal_BTD, key_DD, attention.in_proj_bias[width : 2 * width])
        heads = (attention.num_heads, width // attention.num_heads)
        query_BHD, key_BTHD = query_BD.view(-1, *heads), key_BTD.view(*key_BTD.shape[:2], *heads)
        score_BHT = torch.einsum("bhd,bthd->bht", query_BHD, key_BTHD)
        weight_BT = (score_BHT.float() * heads[1] ** -0.5).softmax(dim=-1).mean(dim=1)
        kept = round(share * (token_BTD.shape[1] - 1))
        place_BK = 1 + weight_BT[:, 1:].topk(kept, dim=1).indices.sort(dim=1).values
        place_BK = torch.cat([torch.zeros_like(place_BK[:, :1]), place_BK], dim=1)
        output_BTD = own(token_BTD)
        return output_BTD.gather(1, place_BK[:, :, None].expand(-1, -1, width))

    block.forward = forward  # type: ignore[method-assign]
    return half


@dataclass
class Way:
    """A way to run the detector.

    Attributes:
        name: in the table.
        detector: its copy.
        rates: images a second, of each round.
        logit_N: of all views, float32.
    """

    name: str
    detector: MoLE
    rates: list[float]
    logit_N: np.ndarray


@torch.inference_mode()
def run(way: Way, batches: Sequence[Tensor]) -> None:
    """Score all batches of normalized views once."""
    given = [batch.to(way.detector.dtype) for batch in batches]
    way.logit_N = np.concatenate([way.detector(batch).logit_B.numpy() for batch in given])


@torch.inference_mode()
def clock(way: Way, batches: Sequence[Tensor]) -> None:
    """Time some batches once."""
    given = [batch.to(way.detector.dtype) for batch in batches[:TIMED]]
    begun = time.perf_counter()
    for batch in given:
        way.detector(batch)
    way.rates.append(sum(map(len, given)) / (time.perf_counter() - begun))


def drawn(samples: Sequence[Sample], images: int) -> list[Sample]:
    """Draw as many images of each class."""
    chosen = random.Random(0)
    classes = [[sample for sample in samples if sample.label == label] for label in (0, 1)]
    return [sample for own in classes for sample in chosen.sample(own, min(len(own), images // 2))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--images", type=int, default=400)
    given = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    loaded = load_checkpoint(registry.locate(registry.EMBEDDED))
    samples = drawn(read_manifest(given.manifest), given.images)
    label_N = np.array([sample.label for sample in samples])
    seen = torch.from_numpy(np.concatenate([views(load(sample).numpy(), loaded.preprocess) for sample in samples]))
    batches = [normalise(part, loaded.preprocess) for part in torch.split(seen, BATCH) if len(part) == BATCH]
    label_N = label_N[: BATCH * len(batches)]
    exact, below = loaded.detector, loaded.detector.split
    ways = [
        Way(name, detector, [], np.empty(0))
        for name, detector in (
            ("float32", exact),
            ("bfloat16", in_bfloat16([exact])[0]),
            ("bfloat16, compiled", compiled(exact)),
            ("8-bit products", in_int8(exact)),
            (f"bfloat16, 70 % of the patches after block {below}", without_patches(exact, below, 0.7)),
            (f"bfloat16, 50 % of the patches after block {below}", without_patches(exact, below, 0.5)),
        )
    ]
    for way in ways:
        run(way, batches)
    for _ in range(ROUNDS):
        for way in ways:
            clock(way, batches)
    show(ways, label_N, np.array([loaded.calibration.real_below, loaded.calibration.generated_above]))


def show(ways: Sequence[Way], label_N: np.ndarray, thresholds: np.ndarray) -> None:
    """Print a row for each way; drift is from the first one, which is float32."""
    table = Table("", "images/s", "drift mean", "largest", "near a threshold", "other verdicts", "AUROC")
    exact_N = ways[0].logit_N
    for way in ways:
        drift_N = np.abs(way.logit_N - exact_N)
        near = np.abs(way.logit_N[:, None] - thresholds).min(axis=1) <= RESCORE_MARGIN
        other = (np.digitize(way.logit_N, thresholds) != np.digitize(exact_N, thresholds)).sum()
        area = auroc(way.logit_N[label_N == 0].astype(float), way.logit_N[label_N == 1].astype(float))
        table.add_row(
            way.name,
            f"{statistics.median(way.rates):.1f}",
            f"{drift_N.mean():.3f}",
            f"{drift_N.max():.3f}",
            f"{near.mean():.1%}",
            str(other),
            f"{area:.4f}",
        )
    Console(width=140).print(table)
    cores = f"{platform.machine()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"
    print(f"{len(label_N)} images, {cores}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()

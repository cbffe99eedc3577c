"""Heat map: from which patches of a view the class token read what its logit is made of.

A logit is read off the class token behind the last block. That token is a sum: what it began as, what each block's MLP
and experts added to it, and what each block's attention read from every patch. The last LayerNorm's deviation held at
the value that it has, the head is linear in that sum (a head of several layers: its gradient), so the logit splits:

    logit = the sum of the map + rest

exactly, up to rounding. A patch's value is what the class token read there, in all blocks together; above 0 speaks for
generated. `rest` is what comes from no patch: the MLPs, the experts, the biases, what it read from itself.

What a map shows: which places moved this model's logit directly, and how much of the logit no place explains (`rest`).
What it cannot show: why; what an MLP made of what was read; where a patch's token has its own content from, since deep
tokens mix their neighbours'; and whether the model is right. A map of a wrong verdict looks as sure as that of a right
one. `benchmarks/heatmap.py` compares this way with nine others.

Source: Gandelsman, Efros and Steinhardt 2024, arXiv:2310.05916 (the direct effect of attention, there towards text).

Shapes: V views, S side of a view, T tokens, P patches, R rows and C columns of patches, D width, F features, H heads.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mole.block import AdaptedBlock
from mole.checkpoint import Checkpoint
from mole.detector import MoLE
from mole.errors import ModelError
from mole.tower import Block, normalise
from mole.view import Box, Pixels, boxes, views

Map = NDArray[np.float32]


@dataclass(frozen=True)
class HeatMap:
    """Where the logit of a view comes from.

    Attributes:
        part_RC: float32, what each patch adds to the logit, row by row from the top left.
        rest: what comes from no patch; the logit of the view is `part_RC.sum() + rest`.
        view_3SS: uint8, what the model saw.
        box: where that lies in the image.
    """

    part_RC: Map
    rest: float
    view_3SS: Pixels
    box: Box

    @property
    def logit(self) -> float:
        """The logit of this view; an image's is the mean over its views."""
        return float(self.part_RC.sum(dtype=np.float64)) + self.rest


def heat_map(checkpoint: Checkpoint, view_3SS: Pixels) -> Map:
    """Map one view; uint8 (3, S, S) to float32 (R, C), each patch's part of its logit."""
    part_VRC, _ = split_views(checkpoint, view_3SS[None])
    part_RC: Map = part_VRC[0]
    return part_RC


def heat_maps(checkpoint: Checkpoint, pixels_3HW: Pixels) -> list[HeatMap]:
    """Map an image: one map for each view that the model judges it by.

    Args:
        checkpoint: the loaded model; it computes where it lies, in its own precision.
        pixels_3HW: uint8, RGB, upright; the whole image.

    Returns:
        The maps, in the order of the views.
    """
    spec = checkpoint.preprocess
    views_V3SS = views(pixels_3HW, spec)
    part_VRC, rest_V = split_views(checkpoint, views_V3SS)
    places = boxes(pixels_3HW, spec)
    return [HeatMap(*one) for one in zip(part_VRC, rest_V.tolist(), views_V3SS, places, strict=True)]


def split_views(checkpoint: Checkpoint, views_V3SS: Pixels) -> tuple[Map, Map]:
    """Split the logits of views that are cut already.

    Args:
        checkpoint: the loaded model.
        views_V3SS: uint8.

    Returns:
        part_VRC and rest_V, float32.
    """
    weight = checkpoint.detector.tower.conv1.weight
    pixels_V3SS = torch.from_numpy(np.ascontiguousarray(views_V3SS)).to(weight.device)
    normal_V3SS = normalise(pixels_V3SS, checkpoint.preprocess).to(weight.dtype)
    part_VP, rest_V = split_logits(checkpoint.detector, normal_V3SS)
    side = round(part_VP.shape[1] ** 0.5)
    return part_VP.reshape(-1, side, side).cpu().numpy(), rest_V.cpu().numpy()


def split_logits(model: MoLE, view_V3SS: Tensor, blocks: int | None = None) -> tuple[Tensor, Tensor]:
    """Split the logits of normalised views over their patches.

    Args:
        model: the detector.
        view_V3SS: normalised, in the dtype of its tower.
        blocks: count only what the last so many blocks read; None counts all.

    Returns:
        part_VP and rest_V, float32.
    """
    layers = model.tower.transformer.resblocks
    first = 0 if blocks is None else len(layers) - blocks
    with torch.no_grad():
        token_VTD = model.tower.embed(view_V3SS)
        read_VPD = torch.zeros_like(token_VTD[:, 1:])
        for number, block in enumerate(layers):
            if number >= first:
                frozen = cast(Block, block.frozen if isinstance(block, AdaptedBlock) else block)
                read_VPD += read_by_class(frozen, token_VTD)
            token_VTD = block(token_VTD)[0] if isinstance(block, AdaptedBlock) else block(token_VTD)
        feature_VF = model.tower.read(token_VTD).float()
    logit_V, slope_VD = head_slope(model, token_VTD[:, 0], feature_VF)
    centred_VPD = read_VPD - read_VPD.mean(dim=-1, keepdim=True)
    part_VP = (centred_VPD * slope_VD[:, None]).sum(dim=-1).float()
    return part_VP, (logit_V - part_VP.sum(dim=-1, dtype=torch.float64)).float()


def read_by_class(block: Block, token_VTD: Tensor) -> Tensor:
    """Tell what a block's attention brings to the class token from each patch.

    Args:
        block: of the tower.
        token_VTD: what enters the block.

    Returns:
        read_VPD; these, what the class token reads from itself, and the bias of the projection are its attention.
    """
    attention = block.attn
    normal_VTD = block.ln_1(token_VTD)
    views_, tokens, width = normal_VTD.shape
    joint = nn.functional.linear(normal_VTD, attention.in_proj_weight, attention.in_proj_bias)
    heads = joint.view(views_, tokens, 3, attention.num_heads, width // attention.num_heads)
    query_VTHd, key_VTHd, value_VTHd = heads.unbind(dim=2)
    scale = query_VTHd.shape[-1] ** -0.5
    weight_VHT = torch.einsum("vhd,vthd->vht", query_VTHd[:, 0] * scale, key_VTHd).softmax(dim=-1)
    mixed_VTD = (weight_VHT.transpose(1, 2)[..., None] * value_VTHd).flatten(2)
    read_VPD: Tensor = mixed_VTD[:, 1:] @ attention.out_proj.weight.T
    return read_VPD


def head_slope(model: MoLE, token_VD: Tensor, feature_VF: Tensor) -> tuple[Tensor, Tensor]:
    """Tell how the logit grows with what is added to the class token, its deviation held.

    Args:
        model: whose head and last LayerNorm are meant.
        token_VD: the class token behind the last block.
        feature_VF: its feature, float32.

    Returns:
        logit_V, float32, and slope_VD, for additions whose mean was taken off.

    Raises:
        ModelError: the tower ends at a block.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf_VF = feature_VF.clone().requires_grad_(True)
        logit_V = model.head(leaf_VF).squeeze(-1)
        (slope_VF,) = torch.autograd.grad(logit_V.sum(), leaf_VF)
    norm, proj_DF = model.tower.ln_post, model.tower.proj
    if norm is None or proj_DF is None:
        raise ModelError("this map follows the tower's feature, and the tower was cut before it")
    deviation_V1 = (token_VD.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    slope_VD: Tensor = (slope_VF.to(token_VD.dtype) @ proj_DF.T) * norm.weight / deviation_V1
    return logit_V.detach(), slope_VD

"""Heat map: the direct contribution of each patch of a view to the logit.

The head reads the class token after the last block, or the tokens after several blocks. The class token is a sum of its
initial value, the outputs of each block's MLP and experts, and what each block's attention reads from every patch. With
the standard deviation of the last LayerNorm held fixed, a linear head is linear in that sum, so the logit splits:

    logit = the sum of the map + rest

exactly, up to rounding. A patch's value is what the class token read there, summed over all blocks below the read;
above 0 is evidence for generated. Where the head reads the mean or the deviation of the patches, a patch's value is its
share of the difference from the training mean. `rest` is what comes from no patch: the MLPs, the experts, the biases,
what the
class token read from itself, and the contribution of the training mean.

A head that is not linear is linearized: an MLP by its gradient at the view; a kernel head, whose gradient vanishes far
from every centre, by the mean gradient on the path from the training mean to the view (integrated gradients). `rest`
takes the remainder.

What a map shows: which places contributed directly to this model's logit, and how much of the logit no place explains
(`rest`). What it does not show: why; how MLPs transform what was read; where the content of a patch's token comes from,
since deep tokens mix with their neighbours; and whether the model is right. The map of a wrong verdict looks as
confident as that of a right one. `benchmarks/heatmap.py` compares this method with nine others.

Source: Gandelsman, Efros and Steinhardt 2024, arXiv:2310.05916 (the direct effect of attention, there towards text);
Sundararajan et al. 2017, arXiv:1703.01365 (the mean slope).

Shapes: V views, S side of a view, T tokens, P patches, R rows and C columns of patches, D width, F features, H heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mole.checkpoint import Checkpoint
from mole.errors import ModelError
from mole.model.block import AdaptedBlock
from mole.model.detector import MIN_VARIANCE, MoLE
from mole.model.head import Head
from mole.tower.vit import Block, normalise
from mole.views.view import Box, Pixels, boxes, views

Map = NDArray[np.float32]
PATH_POINTS = 16
"""Points of the path on which the gradient of a kernel head is averaged."""


@dataclass(frozen=True)
class HeatMap:
    """The contributions of places to the logit of a view.

    Attributes:
        part_RC: float32, contribution of each patch to the logit, row by row from the top left.
        rest: what comes from no patch; the logit of the view is `part_RC.sum() + rest`.
        view_3SS: uint8, the model's input.
        box: the view's place in the image.
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
    """Map one view; uint8 (3, S, S) to float32 (R, C), the contribution of each patch to its logit."""
    part_VRC, _ = split_views(checkpoint, view_3SS[None])
    part_RC: Map = part_VRC[0]
    return part_RC


def heat_maps(checkpoint: Checkpoint, pixels_3HW: Pixels) -> list[HeatMap]:
    """Map an image: one map for each of the model's views of it.

    Args:
        checkpoint: the loaded model; its device and precision are used.
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
    """Split the logits of views.

    Args:
        checkpoint: the loaded model.
        views_V3SS: uint8.

    Returns:
        part_VRC and rest_V, float32.

    Raises:
        ModelError: the model's tower does not have CLIP's attention.
    """
    model = checkpoint.detector
    if not model.tower.plain:
        name = checkpoint.description.config.backbone.name
        raise ModelError(f"heat maps need CLIP's attention, and {name!r} has another; use a model on a CLIP tower")
    pixels_V3SS = torch.from_numpy(np.ascontiguousarray(views_V3SS)).to(model.device)
    part_VP, rest_V = split_logits(model, normalise(pixels_V3SS, checkpoint.preprocess).to(model.dtype))
    side = round(part_VP.shape[1] ** 0.5)
    return part_VP.reshape(-1, side, side).cpu().numpy(), rest_V.cpu().numpy()


def split_logits(model: MoLE, view_V3SS: Tensor, blocks: int | None = None) -> tuple[Tensor, Tensor]:
    """Split the logits of normalised views over their patches.

    Args:
        model: the detector.
        view_V3SS: normalised, in the dtype of its tower.
        blocks: count only what the class token read in the last `blocks` blocks; None counts all.

    Returns:
        part_VP and rest_V, float32.
    """
    reads = model.config.reads or (model.depth,)
    first = 0 if blocks is None else model.depth - blocks
    traces: list[Trace] = []
    with torch.no_grad():
        token_VTD = model.tower.embed(view_V3SS)
        read_VPD = torch.zeros_like(token_VTD[:, model.tower.prefix :])
        for number, block in enumerate(model.tower.transformer.resblocks):
            if number >= first:
                frozen = cast(Block, block.frozen if isinstance(block, AdaptedBlock) else block)
                read_VPD = read_VPD + read_by_class(frozen, token_VTD, model.tower.prefix)
            token_VTD = block(token_VTD)[0] if isinstance(block, AdaptedBlock) else block(token_VTD)
            if number + 1 in reads:
                traces.append(Trace(token_VTD, read_VPD))
        if model.config.reads:
            feature_VF = torch.cat([model.read(trace.token_VTD) for trace in traces], dim=1)
        else:
            feature_VF = model.tower.read(token_VTD).float()
    logit_V, slope_VF = head_slope(model.head, feature_VF)
    with torch.no_grad():
        if model.config.reads:
            part_VP = parts_of_reads(model, traces, slope_VF)
        else:
            slope_VD = class_slope(model, token_VTD[:, 0], slope_VF)
            centred_VPD = read_VPD - read_VPD.mean(dim=-1, keepdim=True)
            part_VP = (centred_VPD * slope_VD[:, None]).sum(dim=-1).float()
        return part_VP, (logit_V - part_VP.sum(dim=-1, dtype=torch.float64)).float()


@dataclass(frozen=True)
class Trace:
    """The tokens at a read of the head.

    Attributes:
        token_VTD: the tokens after the block.
        read_VPD: what the class token has read from each patch up to there.
    """

    token_VTD: Tensor
    read_VPD: Tensor


def parts_of_reads(model: MoLE, traces: Sequence[Trace], slope_VF: Tensor) -> Tensor:
    """Distribute the contribution of each read over the patches.

    Args:
        model: gives the reads and the training mean.
        traces: one per read.
        slope_VF: gradient of the logit by the feature, float32.

    Returns:
        part_VP, float32.
    """
    pooling = model.config.pooling
    standard = model.head.standard
    usual_F = torch.zeros_like(slope_VF[0]) if standard is None else standard.mean_F
    count = len(traces) * len(pooling)
    slopes, usuals = slope_VF.chunk(count, dim=1), usual_F.chunk(count)
    part_VP = slope_VF.new_zeros(traces[0].read_VPD.shape[:2])
    for place, (slope_VD, usual_D) in enumerate(zip(slopes, usuals, strict=True)):
        trace = traces[place // len(pooling)]
        patch_VPD = trace.token_VTD[:, model.tower.prefix :].float()
        match pooling[place % len(pooling)]:
            case "class":
                own_VPD = trace.read_VPD.float()
            case "mean":
                own_VPD = (patch_VPD - usual_D) / patch_VPD.shape[1]
            case "deviation":
                square_VPD = (patch_VPD - patch_VPD.mean(dim=1, keepdim=True)).square()
                deviation_V1D = square_VPD.mean(dim=1, keepdim=True).clamp_min(MIN_VARIANCE).sqrt()
                own_VPD = (square_VPD / deviation_V1D - usual_D) / patch_VPD.shape[1]
        part_VP += (own_VPD * slope_VD[:, None]).sum(dim=-1)
    return part_VP


def read_by_class(block: Block, token_VTD: Tensor, prefix: int = 1) -> Tensor:
    """Compute what a block's attention adds to the class token from each patch.

    Args:
        block: of the tower.
        token_VTD: what enters the block.
        prefix: tokens before the patches, the class token first.

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
    read_VPD: Tensor = mixed_VTD[:, prefix:] @ attention.out_proj.weight.T
    return read_VPD


def head_slope(head: Head, feature_VF: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the gradient of the logit by the feature: at the views, or averaged over the path for a kernel head.

    Args:
        head: of the detector.
        feature_VF: its input, float32.

    Returns:
        logit_V and slope_VF, float32.
    """
    standard = head.standard if head.kernel else None
    begin_VF = feature_VF if standard is None else standard.mean_F.expand_as(feature_VF)
    shares = [1.0] if standard is None else [(step + 0.5) / PATH_POINTS for step in range(PATH_POINTS)]
    slope_VF = torch.zeros_like(feature_VF)
    with torch.inference_mode(False), torch.enable_grad():
        for share in shares:
            leaf_VF = (begin_VF + share * (feature_VF - begin_VF)).clone().requires_grad_(True)
            slope_VF = slope_VF + torch.autograd.grad(head(leaf_VF).sum(), leaf_VF)[0] / len(shares)
        logit_V = head(feature_VF.clone()).squeeze(-1)
    return logit_V.detach(), slope_VF


def class_slope(model: MoLE, token_VD: Tensor, slope_VF: Tensor) -> Tensor:
    """Compute the gradient of the logit by the last class token, with its standard deviation held fixed.

    Args:
        model: gives the last LayerNorm and the projection.
        token_VD: the class token after the last block.
        slope_VF: gradient of the logit by the feature, float32.

    Returns:
        slope_VD, for centred additions.

    Raises:
        ModelError: the tower ends at a block.
    """
    norm, proj_DF = model.tower.ln_post, model.tower.proj
    if norm is None or proj_DF is None:
        raise ModelError("this map needs the tower's feature, and the tower ends at a block")
    deviation_V1 = (token_VD.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    slope_VD: Tensor = (slope_VF.to(token_VD.dtype) @ proj_DF.T) * norm.weight / deviation_V1
    return slope_VD

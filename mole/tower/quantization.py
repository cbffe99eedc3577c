"""Quantization: matrices as integer multiples of a step per row, entropy-coded; the rest in half precision.

Why not groups of 4, 5 or 6 bits: a uniform step with an entropy code adapts to the distribution of the weights, keeps
every outlier, and at 4.4 bits per weight has about the step of 5-bit groups. The rounding error of each column is
compensated in the columns not yet rounded (GPTQ, Frantar et al. 2022, arXiv:2210.17323), and the step of each output
row follows from the sensitivity of the embedding to it.

Legend: O outputs, I inputs of a matrix, T tokens.
"""

import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mole.errors import ModelError

FORMAT = "mole-packed-1"
MAX_CODE = 127  # codes are int8
MAX_INFLATED = 64
"""Codes for each byte of a stream at most; the streams of real towers have fewer than two."""
BLOCK_COLUMNS = (
    128  # columns rounded before their joint error is compensated: the same result, fewer passes over memory
)
DAMPING = 0.01  # share of the mean diagonal that keeps the Hessian invertible


@dataclass(frozen=True)
class QuantizedMatrix:
    """A quantized matrix: `weight_OI = code_OI * step_O[:, None]`."""

    code_OI: Tensor
    step_O: Tensor

    @property
    def order_O(self) -> Tensor:
        """Rows sorted by their mean magnitude, int64 (O,): deflate shares a Huffman code among adjacent rows."""
        return self.code_OI.float().abs().mean(dim=1).argsort()

    def stream(self) -> bytes:
        """Entropy-code the rows in that order: deflate with Huffman codes only, since weights have no repetitions."""
        packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
        return packer.compress(self.code_OI[self.order_O].contiguous().numpy().tobytes()) + packer.flush()


def inverse_factor(hessian_II: Tensor) -> Tensor:
    """Factor the damped inverse of a layer's Hessian.

    Args:
        hessian_II: float32, the sum of x xᵀ over the layer's inputs, weighted or not.

    Returns:
        upper_II, float32, with upperᵀ · upper = (H + damping)⁻¹; 1 / upper_ii² is the cost of rounding column i.

    Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1.
    """
    damped_II = hessian_II.double().clone()
    diagonal_I = damped_II.diagonal()
    diagonal_I += DAMPING * diagonal_I.mean() + 1e-12
    inverse_II = torch.cholesky_inverse(torch.linalg.cholesky(damped_II))
    upper_II: Tensor = torch.linalg.cholesky(inverse_II, upper=True)
    return upper_II.float()


def encode(weight_OI: Tensor, step_O: Tensor, upper_II: Tensor) -> QuantizedMatrix:
    """Round a matrix column by column, compensating each error in the columns that follow.

    Args:
        weight_OI: float32.
        step_O: the step of each row, float32.
        upper_II: float32, from `inverse_factor`.

    Returns:
        int8 codes and their steps.
    """
    left_OI = weight_OI.clone()
    code_OI = torch.empty(weight_OI.shape, dtype=torch.int8)
    for start in range(0, left_OI.shape[1], BLOCK_COLUMNS):
        end = min(start + BLOCK_COLUMNS, left_OI.shape[1])
        error_OC = torch.empty(left_OI.shape[0], end - start)
        for i in range(start, end):
            code_O = (left_OI[:, i] / step_O).round().clamp(-MAX_CODE, MAX_CODE)
            error_O = (left_OI[:, i] - code_O * step_O) / upper_II[i, i]
            left_OI[:, i:end] -= error_O[:, None] * upper_II[i, i:end]
            code_OI[:, i], error_OC[:, i - start] = code_O.to(torch.int8), error_O
        left_OI[:, end:] -= error_OC @ upper_II[start:end, end:]
    return QuantizedMatrix(code_OI, step_O)


def pack(
    path: Path, matrices: Mapping[str, QuantizedMatrix], rest: Mapping[str, Tensor], note: Mapping[str, str]
) -> None:
    """Write a quantized tower.

    Args:
        path: the safetensors file.
        matrices: quantized matrices (O, I) by parameter name.
        rest: every other tensor of the tower, any float dtype; stored in float16.
        note: further metadata: source, digest, licence.
    """
    tensors = {name: tensor.half().contiguous() for name, tensor in rest.items()}
    for name, coded in matrices.items():
        tensors[name] = torch.frombuffer(bytearray(coded.stream()), dtype=torch.uint8)
        tensors[f"{name}.order"] = coded.order_O.to(torch.int16)
        tensors[f"{name}.step"] = coded.step_O.float()  # half precision would shift large codes by a fraction of a step
    shapes = json.dumps({name: list(coded.code_OI.shape) for name, coded in sorted(matrices.items())})
    save_file(tensors, path, metadata={"format": FORMAT, "shapes": shapes, **note})


def unpack(path: Path) -> dict[str, Tensor]:
    """Read a quantized tower.

    Returns:
        float32 tensors by parameter name, matrices as (O, I).

    Raises:
        ModelError: the file is not a quantized tower, or its streams do not match its header.
    """
    try:
        with safe_open(path, "pt") as file:
            note = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as reason:
        raise ModelError(f"{str(path)!r} cannot be read as safetensors: {reason}") from reason
    if note.get("format") != FORMAT:
        raise ModelError(f"{str(path)!r} must be of format {FORMAT!r}, got {note.get('format')!r}")
    shapes: dict[str, list[int]] = json.loads(note["shapes"])
    parts = {name: [stored.pop(f"{name}{part}") for part in ("", ".step", ".order")] for name in shapes}
    with ThreadPoolExecutor() as pool:  # zlib releases the GIL
        matrices = pool.map(lambda name: _decoded(name, shapes[name], parts[name]), shapes)
        return {name: tensor.float() for name, tensor in stored.items()} | dict(zip(shapes, matrices, strict=True))


def _decoded(name: str, shape: list[int], parts: list[Tensor]) -> Tensor:
    """Decode the stream, the row order and the steps; float32 (O, I).

    Raises:
        ModelError: the stream does not have the size of its shape.
    """
    stream, step_O, order_O = parts
    size = shape[0] * shape[1]
    if min(shape) < 0 or size > MAX_INFLATED * len(stream):
        raise ModelError(f"stream of {name!r} has {len(stream)} bytes and cannot hold {shape[0]} x {shape[1]} codes")
    try:
        raw = zlib.decompressobj().decompress(stream.numpy().tobytes(), size + 1)  # bounded against decompression bombs
    except zlib.error as reason:
        raise ModelError(f"stream of {name!r} is damaged: {reason}") from reason
    if len(raw) != size:
        raise ModelError(f"stream of {name!r} must hold {size} codes, got {len(raw)} or more")
    code_OI = torch.frombuffer(bytearray(raw), dtype=torch.int8).view(shape[0], shape[1])
    weight_OI = torch.empty(shape[0], shape[1])
    row_O = order_O.long()
    if not torch.equal(row_O.sort().values, torch.arange(shape[0])):
        raise ModelError(f"order of {name!r} must have each of its {shape[0]} rows once")
    weight_OI[row_O] = code_OI * step_O.float()[row_O, None]
    return weight_OI

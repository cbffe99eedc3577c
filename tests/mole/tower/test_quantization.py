"""Laws of the packed tower."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mole.errors import ModelError
from mole.tower.quantization import FORMAT, MAX_CODE, QuantizedMatrix, encode, inverse_factor, pack, unpack


@pytest.fixture
def layer() -> tuple[Tensor, Tensor]:
    """A matrix (24, 40), and inputs (500, 40) that are correlated, as a tower's are."""
    torch.manual_seed(0)
    return torch.randn(24, 40), torch.randn(500, 40) @ torch.randn(40, 40)


def coded(layer: tuple[Tensor, Tensor], step: float = 0.2) -> QuantizedMatrix:
    weight_OI, input_TI = layer
    return encode(weight_OI, torch.full((24,), step), inverse_factor(input_TI.T @ input_TI))


def values(code: QuantizedMatrix) -> Tensor:
    return code.code_OI.float() * code.step_O.float()[:, None]


def test_what_was_packed_is_unpacked_to_the_bit(layer: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    code, rest = coded(layer), {"bias": torch.randn(7), "norm.weight": torch.randn(3, 2)}
    pack(tmp_path / "t.safetensors", {"a.weight": code}, rest, {"licence": "MIT"})
    found = unpack(tmp_path / "t.safetensors")
    assert found.keys() == {"a.weight", "bias", "norm.weight"}
    assert torch.equal(found["a.weight"], values(code))
    assert torch.equal(found["bias"], rest["bias"].half().float())
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_passing_errors_on_loses_less_of_the_output_than_rounding(layer: tuple[Tensor, Tensor]) -> None:
    weight_OI, input_TI = layer
    step = coded(layer).step_O.float()[0]
    rounded_OI = (weight_OI / step).round() * step

    def loss(approximate_OI: Tensor) -> float:
        return float((input_TI @ (weight_OI - approximate_OI).T).square().mean())

    assert loss(values(coded(layer))) < 0.7 * loss(rounded_OI)


def test_columns_of_uncorrelated_inputs_are_plainly_rounded() -> None:
    torch.manual_seed(1)
    weight_OI = torch.randn(5, 9)
    code = encode(weight_OI, torch.full((5,), 0.25), inverse_factor(torch.eye(9)))
    assert torch.equal(code.code_OI, (weight_OI / 0.25).round().to(torch.int8))


def test_codes_stay_in_their_range(layer: tuple[Tensor, Tensor]) -> None:
    assert int(coded(layer, step=1e-3).code_OI.abs().max()) <= MAX_CODE


def test_the_factor_inverts_the_damped_hessian() -> None:
    torch.manual_seed(2)
    input_TI = torch.randn(100, 12)
    hessian_II = input_TI.T @ input_TI
    upper_II = inverse_factor(hessian_II)
    damped_II = hessian_II + 0.01 * hessian_II.diagonal().mean() * torch.eye(12)
    assert torch.allclose(upper_II.T @ upper_II @ damped_II, torch.eye(12), atol=1e-4)
    assert torch.equal(upper_II, upper_II.triu())


def test_the_factor_leaves_the_hessian_as_it_was() -> None:
    hessian_II = torch.eye(3, dtype=torch.float64)
    inverse_factor(hessian_II)
    assert torch.equal(hessian_II, torch.eye(3, dtype=torch.float64))


def test_a_coarser_step_takes_fewer_bytes(layer: tuple[Tensor, Tensor]) -> None:
    assert len(coded(layer, step=1.0).stream()) < len(coded(layer, step=0.1).stream())


def test_rows_are_stored_by_their_spread_and_come_back_in_their_order(tmp_path: Path) -> None:
    code_OI = torch.tensor([[9, -9], [0, 1], [3, 3]], dtype=torch.int8)
    code = QuantizedMatrix(code_OI, torch.tensor([1.0, 0.5, 0.25]).half())
    assert code.order_O.tolist() == [1, 2, 0]
    pack(tmp_path / "t.safetensors", {"m": code}, {}, {})
    assert torch.equal(unpack(tmp_path / "t.safetensors")["m"], values(code))


def test_a_plain_file_is_refused_by_its_format(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(ModelError, match=f"format '{FORMAT}', got None"):
        unpack(tmp_path / "plain.safetensors")


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        unpack(tmp_path / "t.safetensors")


@pytest.mark.parametrize("rows", [23, 25])
def test_a_stream_that_does_not_hold_its_shape_is_refused(
    rows: int, layer: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    pack(tmp_path / "t.safetensors", {"m": coded(layer)}, {}, {})
    with safe_open(tmp_path / "t.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    save_file(tensors, tmp_path / "t.safetensors", {"format": FORMAT, "shapes": json.dumps({"m": [rows, 40]})})
    with pytest.raises(ModelError, match=f"'m' must hold {rows * 40} codes"):
        unpack(tmp_path / "t.safetensors")


def test_a_damaged_stream_is_refused_by_its_name(layer: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    pack(tmp_path / "t.safetensors", {"m": coded(layer)}, {}, {})
    with safe_open(tmp_path / "t.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        note = file.metadata()
    tensors["m"][4:] = 255
    save_file(tensors, tmp_path / "t.safetensors", note)
    with pytest.raises(ModelError, match="stream of 'm' is damaged"):
        unpack(tmp_path / "t.safetensors")


def test_the_shipped_tower_fits_the_working_tree(root: Path) -> None:
    assert (root / "mole/embedded/tower.safetensors").stat().st_size <= 49_500_000

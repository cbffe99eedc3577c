"""Laws of the token cache."""

from pathlib import Path

import pytest
import torch

from mole.config import describe
from mole.errors import StorageError
from pipeline.tune.training.token_cache import FEATURE, TOKEN, TokenCache, cache_folder, write_block


def block(first: int, count: int) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Make a block of views, whose numbers are their names."""
    number_N = torch.arange(first, first + count)
    tokens = number_N.view(-1, 1, 1).expand(-1, 3, 2).bfloat16()
    return [f"{number}" for number in number_N.tolist()], {TOKEN: tokens, FEATURE: number_N.float().view(-1, 1)}


def test_views_come_back_in_the_order_in_which_they_are_asked_for_whatever_block_they_lie_in(tmp_path: Path) -> None:
    for first in (0, 4, 8):
        write_block(tmp_path, *block(first, 4))
    found = TokenCache(tmp_path)
    assert found.features(["9", "0", "5", "0"]).squeeze(1).tolist() == [9, 0, 5, 0]
    token_NTD = found.tokens(["9", "0"])
    assert token_NTD.dtype == torch.bfloat16 and token_NTD[:, 0, 0].tolist() == [9, 0] and token_NTD.shape == (2, 3, 2)


def test_a_block_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    write_block(tmp_path, *block(0, 2))
    (tmp_path / "left.part").write_bytes(b"half of it")
    found = TokenCache(tmp_path)
    assert "0" in found and "2" not in found
    with pytest.raises(StorageError, match="lacks 1 of 2 views"):
        found.features(["0", "2"])


def test_experts_share_a_folder_where_the_trunk_is_the_same_and_no_other(tiny: Path, tmp_path: Path) -> None:
    base = describe(tiny)
    own = base.config.detector
    first = cache_folder(tmp_path, base, own, bfloat16=True)
    assert first == cache_folder(tmp_path, base, own.model_copy(update={"expert_ranks": (9,)}), bfloat16=True)
    others = [own.model_copy(update=change) for change in ({"adapted_blocks": 1}, {"reads": (2,)}, {"blocks": (1,)})]
    assert (
        len(
            {first, cache_folder(tmp_path, base, own, bfloat16=False)}
            | {cache_folder(tmp_path, base, o, bfloat16=True) for o in others}
        )
        == 5
    )

"""Every view reaches the device once and in its order, whatever the pieces and the batches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mole.feed import Feed, batches

SIDE = 2


def views(count: int) -> torch.Tensor:
    """Make views that differ, uint8 (V, 3, S, S)."""
    return torch.arange(count * 3 * SIDE**2).remainder(251).to(torch.uint8).reshape(count, 3, SIDE, SIDE)


@given(st.lists(st.integers(0, 9), max_size=9), st.integers(1, 12))
def test_batches_hold_every_view_once_and_all_but_the_last_are_full(sizes: list[int], most: int) -> None:
    every = views(sum(sizes))
    cut = list(batches(torch.split(every, sizes) if sizes else [], most))
    assert [sum(map(len, parts)) for parts in cut[:-1]] == [most] * (len(cut) - 1)
    assert sum(len(part) for parts in cut for part in parts) == len(every)
    if cut:
        assert torch.equal(torch.cat([part for parts in cut for part in parts]), every)
        assert all(len(part) for parts in cut for part in parts)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 12))
def test_on_a_cpu_batches_are_the_views_and_no_more(sizes: list[int], most: int) -> None:
    every = views(sum(sizes))
    assert torch.equal(torch.cat(list(Feed(torch.device("cpu"))(torch.split(every, sizes), most))), every)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 12))
def test_on_a_cpu_too_batches_can_have_one_shape_and_are_filled_with_zeros(sizes: list[int], most: int) -> None:
    every = views(sum(sizes))
    got = list(Feed(torch.device("cpu"), one_shape=True)(torch.split(every, sizes), most))
    assert {len(batch) for batch in got} == {most}
    joined = torch.cat(got)
    assert torch.equal(joined[: len(every)], every) and not joined[len(every) :].any()


def test_on_a_cpu_a_batch_within_a_piece_is_not_copied() -> None:
    every = views(8)
    second = list(Feed(torch.device("cpu"))([every], 4))[1]
    assert second.data_ptr() == every[4:].data_ptr()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu_batches_have_one_shape_and_are_filled_with_zeros() -> None:
    every, feed = views(23), Feed(torch.device("cuda"))
    for most in (5, 8):
        got = [batch.cpu() for batch in feed(torch.split(every, [3, 20]), most)]
        assert {len(batch) for batch in got} == {most}
        joined = torch.cat(got)
        assert torch.equal(joined[:23], every) and not joined[23:].any()

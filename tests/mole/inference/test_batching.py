"""Every view reaches the device once and in its order, whatever the pieces and the batches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mole.inference.batching import Batcher, batch_sizes, batches

SIDE = 2


def views(count: int) -> torch.Tensor:
    """Make views that differ, uint8 (V, 3, S, S)."""
    return torch.arange(count * 3 * SIDE**2).remainder(251).to(torch.uint8).reshape(count, 3, SIDE, SIDE)


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 4))
def test_batches_are_as_few_as_can_be_and_differ_by_an_image_at_most(images: int, batch: int, crops: int) -> None:
    shared = batch_sizes(images * crops, batch * crops, crops)
    assert sum(shared) == images * crops and len(shared) == -(-images // batch)
    assert all(size % crops == 0 and 0 < size <= batch * crops for size in shared)
    assert not shared or max(shared) - min(shared) <= crops


@given(st.lists(st.integers(0, 9), max_size=9), st.integers(1, 12))
def test_batches_hold_every_view_once_and_in_order(lengths: list[int], max_views: int) -> None:
    every = views(sum(lengths))
    wanted = batch_sizes(len(every), max_views, 1)
    cut = list(batches(torch.split(every, lengths) if lengths else [], wanted))
    assert [sum(map(len, parts)) for parts in cut] == wanted
    if cut:
        assert torch.equal(torch.cat([part for parts in cut for part in parts]), every)
        assert all(len(part) for parts in cut for part in parts)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 12))
def test_on_a_cpu_batches_are_the_views_and_no_more(lengths: list[int], max_views: int) -> None:
    every = views(sum(lengths))
    got = list(Batcher(torch.device("cpu"))(torch.split(every, lengths), max_views))
    assert torch.equal(torch.cat([pixels for pixels, _ in got]), every)
    assert all(len(pixels) == held for pixels, held in got)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 12))
def test_on_a_cpu_a_batch_of_few_is_filled_with_zeros_where_that_is_asked_for(
    lengths: list[int], max_views: int
) -> None:
    every = views(sum(lengths))
    got = list(Batcher(torch.device("cpu"), pad_small=True)(torch.split(every, lengths), max_views))
    assert all(3 * max_views / 4 <= len(pixels) <= max_views for pixels, _ in got)
    assert torch.equal(torch.cat([pixels[:held] for pixels, held in got]), every)
    assert not any(pixels[held:].any() for pixels, held in got)


def test_on_a_cpu_a_batch_within_a_piece_is_not_copied() -> None:
    every = views(8)
    second, _ = list(Batcher(torch.device("cpu"))([every], 4))[1]
    assert second.data_ptr() == every[4:].data_ptr()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu_batches_have_one_shape_and_are_filled_with_zeros() -> None:
    every, feed = views(23), Batcher(torch.device("cuda"))
    for max_views in (5, 8):
        got = [(pixels.cpu(), held) for pixels, held in feed(torch.split(every, [3, 20]), max_views)]
        assert {len(pixels) for pixels, _ in got} == {max_views}
        assert torch.equal(torch.cat([pixels[:held] for pixels, held in got]), every)
        assert not any(pixels[held:].any() for pixels, held in got)

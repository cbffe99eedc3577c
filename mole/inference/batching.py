"""Batching: cuts views into batches, and copies each to the device while the one before is computed.

Shapes: V views, N views of a batch, S side of a view.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class StagingBuffer:
    """A batch's buffer on a GPU, and the pinned staging buffer that it is copied from.

    Args:
        views: N.
        side: S.
        device: the GPU.
    """

    def __init__(self, views: int, side: int, device: torch.device) -> None:
        shape = (views, 3, side, side)
        self.staged_N3SS = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self.pixels_N3SS = torch.empty(shape, dtype=torch.uint8, device=device)
        self.copied, self.read = torch.cuda.Event(), torch.cuda.Event()  # type: ignore[no-untyped-call]

    def upload(self, parts: Sequence[Tensor], stream: torch.cuda.Stream) -> Tensor:
        """Copy a batch to the GPU, overlapping with computation.

        Args:
            parts: the batch, uint8 (n, 3, S, S) each, at most N views together.
            stream: the CUDA stream of the copy.

        Returns:
            pixels_N3SS, padded with zeros after the batch; the current stream waits for the copy.
        """
        self.copied.synchronize()
        end = 0
        for part in parts:
            self.staged_N3SS[end : end + len(part)].copy_(part)
            end += len(part)
        self.staged_N3SS[end:].zero_()
        with torch.cuda.stream(stream):
            stream.wait_event(self.read)
            self.pixels_N3SS.copy_(self.staged_N3SS, non_blocking=True)
            self.copied.record(stream)
        torch.cuda.current_stream().wait_event(self.copied)
        return self.pixels_N3SS


class Batcher:
    """Cuts views into batches of nearly equal size and copies them to a device.

    On a GPU every batch is padded to one shape with zeros, so that kernels are selected once.

    Args:
        device: the device of the batches.
        pad_small: on a CPU, pad a batch below three quarters of the maximum up to that.
    """

    def __init__(self, device: torch.device, *, pad_small: bool = False) -> None:
        self.device = device
        self.pad_small = pad_small
        self._buffers: list[StagingBuffer] = []
        gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if gpu else None  # type: ignore[no-untyped-call]

    def __call__(self, pieces: Sequence[Tensor], max_views: int, crops: int = 1) -> Iterator[tuple[Tensor, int]]:
        """Copy views to the device.

        Args:
            pieces: V views in order, uint8 (n, 3, S, S) each.
            max_views: maximum number of views of a batch, a multiple of `crops`.
            crops: views of an image, which stay in one batch.

        Yields:
            uint8 (N, 3, S, S) on the device, valid until the batch after the next, and how many of the N are views: the
            rest is zeros.
        """
        least = -(-3 * max_views // (4 * crops)) * crops if self.pad_small else 0
        for number, parts in enumerate(batches(pieces, batch_sizes(sum(map(len, pieces)), max_views, crops))):
            views = sum(map(len, parts))
            if self._stream is None:
                filled = [*parts, parts[0].new_zeros((least - views, *parts[0].shape[1:]))] if views < least else parts
                yield (filled[0] if len(filled) == 1 else torch.cat(filled)), views
                continue
            buffer = self._buffer(number % 2, max_views, parts[0].shape[-1])
            yield buffer.upload(parts, self._stream), views
            buffer.read.record(torch.cuda.current_stream())

    def _buffer(self, number: int, views: int, side: int) -> StagingBuffer:
        if not self._buffers or self._buffers[0].staged_N3SS.shape != (views, 3, side, side):
            torch.cuda.synchronize(self.device)  # the old buffers may still be read
            self._buffers = [StagingBuffer(views, side, self.device) for _ in range(2)]
        return self._buffers[number]


def batch_sizes(views: int, max_views: int, crops: int) -> list[int]:
    """Distribute views over as few batches as possible, whose sizes differ by one image at most.

    Args:
        views: V.
        max_views: maximum number of views of a batch, a multiple of `crops`.
        crops: views of an image.
    """
    count = -(-views // max_views) if views else 0
    return [(views // crops // count + (number < views // crops % count)) * crops for number in range(count)]


def batches(pieces: Sequence[Tensor], counts: Sequence[int]) -> Iterator[list[Tensor]]:
    """Cut pieces into batches without copying.

    Args:
        pieces: V views in order, uint8 (·, 3, S, S) each.
        counts: views of each batch, V in all.

    Yields:
        The parts of a batch in order, uint8 (n, 3, S, S) each.
    """
    left = [piece for piece in pieces if len(piece)][::-1]
    for count in counts:
        held: list[Tensor] = []
        room = count
        while room:
            piece = left.pop()
            held.append(piece[:room])
            if len(piece) > room:
                left.append(piece[room:])
            room -= len(held[-1])
        yield held

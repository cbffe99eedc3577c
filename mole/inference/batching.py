"""Batcher: views reach the device batch by batch, the next one on its way while the last one is computed.

Shapes: V views, N views of a batch, S side of a view.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class StagingBuffer:
    """A batch's place on a GPU, and the pinned memory that it is copied from.

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
        """Send a batch to the GPU beside what is computed there.

        Args:
            parts: the batch, uint8 (·, 3, S, S) each.
            stream: where it is copied.

        Returns:
            pixels_N3SS, filled up with zeros behind the batch; what is computed next on it waits for the copy.
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
    """Cuts views into batches of nearly one size, and brings those to a device.

    On a GPU every batch is filled up to one shape with zeros, so that kernels are chosen once.

    Args:
        device: where the batches go.
        pad_small: on a CPU a batch below three quarters of the most is filled up to that.
    """

    def __init__(self, device: torch.device, *, pad_small: bool = False) -> None:
        self.device = device
        self.pad_small = pad_small
        self._buffers: list[StagingBuffer] = []
        gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if gpu else None  # type: ignore[no-untyped-call]

    def __call__(self, pieces: Sequence[Tensor], most: int, crops: int = 1) -> Iterator[tuple[Tensor, int]]:
        """Bring views to the device.

        Args:
            pieces: V views in order, uint8 (·, 3, S, S) each.
            most: views of a batch, a multiple of `crops`.
            crops: of an image, which stay together.

        Yields:
            uint8 (N, 3, S, S) on the device, which stands until the one after the next, and how many of the N are
            views: those behind them are zeros.
        """
        least = -(-3 * most // (4 * crops)) * crops if self.pad_small else 0
        for number, parts in enumerate(batches(pieces, batch_sizes(sum(map(len, pieces)), most, crops))):
            views = sum(map(len, parts))
            if self._stream is None:
                filled = [*parts, parts[0].new_zeros((least - views, *parts[0].shape[1:]))] if views < least else parts
                yield (filled[0] if len(filled) == 1 else torch.cat(filled)), views
                continue
            buffer = self._buffer(number % 2, most, parts[0].shape[-1])
            yield buffer.upload(parts, self._stream), views
            buffer.read.record(torch.cuda.current_stream())

    def _buffer(self, number: int, views: int, side: int) -> StagingBuffer:
        if not self._buffers or self._buffers[0].staged_N3SS.shape != (views, 3, side, side):
            torch.cuda.synchronize(self.device)  # the old buffers may still be read
            self._buffers = [StagingBuffer(views, side, self.device) for _ in range(2)]
        return self._buffers[number]


def batch_sizes(views: int, most: int, crops: int) -> list[int]:
    """Share views out among as few batches as can be, none with an image more than another one and one.

    Args:
        views: V.
        most: views of a batch, a multiple of `crops`.
        crops: views of an image.
    """
    count = -(-views // most) if views else 0
    return [(views // crops // count + (number < views // crops % count)) * crops for number in range(count)]


def batches(pieces: Sequence[Tensor], counts: Sequence[int]) -> Iterator[list[Tensor]]:
    """Cut pieces into batches without copying.

    Args:
        pieces: V views in order, uint8 (·, 3, S, S) each.
        counts: views of each batch, V in all.

    Yields:
        The parts of a batch, in order.
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

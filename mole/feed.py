"""Feed: views reach the device batch by batch, the next one on its way while the last one is computed.

Shapes: V views, N views of a batch, S side of a view.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class Lane:
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

    def take(self, parts: Sequence[Tensor], stream: torch.cuda.Stream) -> Tensor:
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


class Feed:
    """Cuts views into batches, and brings those to a device.

    On a GPU every batch has one shape, so that kernels are chosen once: the last one is filled up with zeros.

    Args:
        device: where the batches go.
        one_shape: on a CPU too.
    """

    def __init__(self, device: torch.device, *, one_shape: bool = False) -> None:
        self.device = device
        self.one_shape = one_shape
        self._lanes: list[Lane] = []
        gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if gpu else None  # type: ignore[no-untyped-call]

    def __call__(self, pieces: Sequence[Tensor], most: int) -> Iterator[Tensor]:
        """Bring views to the device.

        Args:
            pieces: V views in order, uint8 (·, 3, S, S) each.
            most: N.

        Yields:
            uint8 (N, 3, S, S) on the device, on a CPU perhaps fewer for the last; stands until the one after the next.
        """
        for number, parts in enumerate(batches(pieces, most)):
            if self._stream is None:
                lacking = most - sum(map(len, parts)) if self.one_shape else 0
                filled = [*parts, parts[0].new_zeros((lacking, *parts[0].shape[1:]))] if lacking else parts
                yield filled[0] if len(filled) == 1 else torch.cat(filled)
                continue
            lane = self._lane(number % 2, most, parts[0].shape[-1])
            yield lane.take(parts, self._stream)
            lane.read.record(torch.cuda.current_stream())

    def _lane(self, number: int, views: int, side: int) -> Lane:
        if not self._lanes or self._lanes[0].staged_N3SS.shape != (views, 3, side, side):
            torch.cuda.synchronize(self.device)  # the old lanes may still be read
            self._lanes = [Lane(views, side, self.device) for _ in range(2)]
        return self._lanes[number]


def batches(pieces: Sequence[Tensor], most: int) -> Iterator[list[Tensor]]:
    """Cut pieces into batches without copying.

    Args:
        pieces: V views in order, uint8 (·, 3, S, S) each.
        most: views of a batch; the last one may have fewer.

    Yields:
        The parts of a batch, in order.
    """
    held: list[Tensor] = []
    room = most
    for piece in pieces:
        start = 0
        while start < len(piece):
            held.append(piece[start : start + room])
            start += len(held[-1])
            room -= len(held[-1])
            if not room:
                yield held
                held, room = [], most
    if held:
        yield held

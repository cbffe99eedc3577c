"""A trial: which images are scanned to be timed, and with what."""

from dataclasses import dataclass

from pipeline.scan.reading.image import Wanted
from pipeline.scan.reading.unit import Unit
from pipeline.storage.memory import Snapshot


@dataclass(frozen=True)
class Trial:
    """What a survey is asked to do.

    Attributes:
        units: where the images lie.
        images: how many, of all units together.
        wanted: what is read of them.
        bounds: most bytes, most pixels, fewest pixels of a side.
        model: what `--model` named, and its version.
        device: `cpu` or `cuda`.
        threads: cores of a forward pass on CPU.
        batch_size: images a forward pass.
        memory: what `memory://` holds.
    """

    units: tuple[Unit, ...]
    images: int
    wanted: Wanted
    bounds: tuple[int, int, int]
    model: tuple[str, str]
    device: str
    threads: int
    batch_size: int
    memory: Snapshot

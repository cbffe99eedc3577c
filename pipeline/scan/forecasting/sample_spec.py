"""Sample spec: which images an estimate scans and measures, and with which model."""

from dataclasses import dataclass

from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.unit import Unit
from pipeline.storage.memory import Snapshot


@dataclass(frozen=True)
class SampleSpec:
    """A sample, and how it is scanned.

    Attributes:
        units: the units that are sampled.
        images: number of images, of all units together.
        options: which images are read.
        bounds: maximum bytes, maximum pixels, minimum pixels of a side.
        model: location and digest of the model.
        device: `cpu` or `cuda`.
        threads: cores of a forward pass on CPU.
        batch_size: images a forward pass.
        memory: the content of `memory://`.
    """

    units: tuple[Unit, ...]
    images: int
    options: ReadOptions
    bounds: tuple[int, int, int]
    model: tuple[str, str]
    device: str
    threads: int
    batch_size: int
    memory: Snapshot

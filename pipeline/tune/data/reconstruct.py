"""Reconstruct: photographs and what an autoencoder makes of them, written as pairs through one last encoder.

A pair shares its name, its group, its size, and the quality and subsampling of the photograph it came from: encoding a
JPEG again at its own quality changes next to nothing, so all that differs is what the autoencoder left.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from zlib import crc32

import pyarrow as pa
import ray.data
import torch

from mole.errors import SettingsError
from pipeline import storage
from pipeline.decode import Fault, decode
from pipeline.fault import STORE_FAULTS, fault_of
from pipeline.records import Status
from pipeline.telemetry import Ticker
from pipeline.tune.data.align import SUBSAMPLINGS, encoded
from pipeline.tune.data.autoencoder import open_autoencoder, prepared
from pipeline.tune.data.encoding import encoding_of
from pipeline.tune.data.samples import BOUNDS, SCHEMA, Sample, from_table, read, tensor, to_table, within

REALS, FAKES, LIST = "0_real", "1_fake", "samples.csv"
QUALITIES = (75, 95)
"""Between these a photograph that is no JPEG gets its quality, by its name."""

ROWS = 8
DONE = pa.schema([("name", pa.string()), ("uri", pa.string()), ("status", pa.string()), ("detail", pa.string())])
"""What a worker says of each photograph."""


@dataclass(frozen=True)
class Reconstructed:
    """What a run did.

    Attributes:
        pairs: that lie in the folder now.
        made: by this run.
        faults: photographs that gave none, by reason.
        named: the first of them: URI and reason.
        table: the list of all pairs, for `--samples`.
    """

    pairs: int
    made: int
    faults: Counter[str] = field(default_factory=Counter)
    named: list[tuple[str, str]] = field(default_factory=list)
    table: str = ""


def reconstruct(
    samples: Sequence[Sample], output: str, autoencoder: str, *, largest: int, gpus: int = 0
) -> Reconstructed:
    """Make a pair of every photograph that has none yet, on Ray.

    Args:
        samples: those labelled generated are passed over.
        output: the folder URL of the pairs and of their list.
        autoencoder: its local folder, the same on every machine.
        largest: a longer short side of a photograph is brought down to this, pixels.
        gpus: that actors may hold, one each.

    Raises:
        SettingsError: there is no photograph, or the output lies in this process's memory.
        ModelError: the autoencoder cannot be read.
        StorageError: the output refuses.
    """
    if output.startswith("memory:"):
        raise SettingsError(f"--output {output!r} can be reached by no worker; give a folder or a bucket")
    photographs = {name_of(sample): sample for sample in samples if sample.label == 0}
    if not photographs:
        raise SettingsError(f"there is no photograph among {len(samples):,} samples; reconstructions are made of reals")
    source = open_autoencoder(autoencoder).name
    there = finished(output)
    todo = {name: sample for name, sample in photographs.items() if name not in there}
    rows = _run(todo, output, autoencoder, (largest, gpus)) if todo else []
    faults = [row for row in rows if row["status"] != Status.OK]
    written = there | {row["name"] for row in rows if row["status"] == Status.OK}
    table = storage.join(storage.absolute(output), LIST)
    pairs = {name: sample for name, sample in photographs.items() if name in written}
    storage.write(table, listed(pairs, source))
    return Reconstructed(
        pairs=len(pairs),
        made=len(rows) - len(faults),
        faults=Counter(str(row["status"]) for row in faults),
        named=[(str(row["uri"]), f"{row['status']}: {row['detail']}") for row in faults[:20]],
        table=table,
    )


def name_of(sample: Sample) -> str:
    """Name a pair by where its photograph lies, so that a run that is started again knows what is done."""
    where = f"{sample.uri}\0{sample.offset}\0{sample.cell}" + (f"\0{sample.edge}" if sample.edge else "")
    return f"{blake2b(where.encode(), digest_size=12).hexdigest()}.jpg"


def finished(output: str) -> set[str]:
    """List the names of the pairs whose two files are there."""
    both = [storage.names(storage.join(output, folder), ".jpg") for folder in (REALS, FAKES)]
    reals, fakes = ({url.rpartition("/")[2] for url in urls} for urls in both)
    return reals & fakes


def listed(pairs: dict[str, Sample], generator: str) -> bytes:
    """Write the CSV that a training reads; a photograph keeps its source, a reconstruction has the autoencoder's."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["uri", "label", "generator", "group"])
    for name, sample in sorted(pairs.items()):
        group = sample.group or name.removesuffix(".jpg")
        table.writerow([f"{REALS}/{name}", "real", sample.source, group])
        table.writerow([f"{FAKES}/{name}", "fake", generator, group])
    return text.getvalue().encode()


def _run(todo: dict[str, Sample], output: str, autoencoder: str, bounds: tuple[int, int]) -> list[dict[str, Any]]:
    """Spread photographs over actors that hold the autoencoder each."""
    largest, gpus = bounds
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    rows = to_table(list(todo.values())).append_column("name", pa.array(list(todo), pa.string()))
    blocks = [rows.slice(start, ROWS) for start in range(0, len(rows), ROWS)]
    made = ray.data.from_arrow(blocks).map_batches(
        Maker,
        fn_constructor_args=(output, autoencoder, largest, "cuda" if gpus else "cpu"),
        batch_size=ROWS,
        batch_format="pyarrow",
        concurrency=min(gpus or cores, len(blocks)),
        num_gpus=1 if gpus else None,
        num_cpus=1 if gpus else 0,  # actors that held every core would leave none to those who bring the rows
    )
    parts: Iterable[pa.Table] = made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    told: list[dict[str, Any]] = []
    ticker = Ticker.shown()
    with ticker.during("reconstructing", len(rows), "photographs"):
        for part in parts:
            told += part.to_pylist()
            ticker.advance(part.num_rows, sum(status != Status.OK for status in part["status"].to_pylist()))
    return told


class Maker:
    """An actor that makes pairs."""

    def __init__(self, output: str, autoencoder: str, largest: int, device: str) -> None:
        self._output, self._largest = storage.absolute(output), largest
        self._autoencoder = open_autoencoder(autoencoder, device)
        torch.set_num_threads(1)  # one actor a core

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Make the pairs of some photographs; a table of `DONE`."""
        samples, names = from_table(rows.select(SCHEMA.names)), rows["name"].to_pylist()
        made = [self.make(sample, name) for sample, name in zip(samples, names, strict=True)]
        return pa.Table.from_pylist(made, DONE)

    def make(self, sample: Sample, name: str) -> dict[str, Any]:
        """Write one pair, the reconstruction last; a fault is told and nothing is written.

        Raises:
            StorageError: the output refuses.
        """
        told = {"name": name, "uri": sample.uri}
        try:
            data = read(sample)
        except STORE_FAULTS as reason:
            status, detail = fault_of(reason)
            return told | {"status": status, "detail": detail}
        picture = decode(data, BOUNDS)
        if isinstance(picture, Fault):
            return told | {"status": picture.status, "detail": picture.detail}
        pixels_3HW = tensor(within(picture.pixels_3HW, sample))
        quality, subsampling = matched(data, picture.format, name)
        photograph_3HW = prepared(pixels_3HW, self._largest)
        again_3HW = self._autoencoder.reconstruct(photograph_3HW, largest=self._largest)
        for folder, side_3HW in ((REALS, photograph_3HW), (FAKES, again_3HW)):
            storage.write(storage.join(self._output, folder, name), encoded(side_3HW, "jpeg", quality, subsampling))
        return told | {"status": Status.OK, "detail": None}


def matched(data: bytes, form: str, name: str) -> tuple[int, int]:
    """Choose the encoder of a pair: the photograph's own quality and subsampling, or drawn ones where it is no JPEG.

    Args:
        data: the photograph's file.
        form: its format.
        name: decides what is drawn.

    Returns:
        Quality and Pillow's number of the subsampling.
    """
    own = encoding_of(data, form)
    low, high = QUALITIES
    drawn = crc32(name.encode())
    quality = own.quality if own.quality is not None else low + drawn % (high - low + 1)
    return quality, SUBSAMPLINGS.get(own.subsampling or "", 2)

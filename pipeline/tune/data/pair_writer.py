"""Pair writer: passes photographs through an autoencoder or upsampler on Ray, and writes pairs of files."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray.data
import torch

from mole.errors import SettingsError
from pipeline.images.decode import Fault
from pipeline.records import Status
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.autoencoder import Reconstructor
from pipeline.tune.data.pairs import name_of, pair_of
from pipeline.tune.data.samples import SCHEMA, Sample, from_table, read, to_table

OpenReconstructor = Callable[[str], Reconstructor]
"""Opens the model that photographs are passed through, on a device."""
REALS, FAKES, LIST = "0_real", "1_fake", "samples.csv"
BLOCK_ROWS = 8
PAIR_RESULTS = pa.schema(
    [("name", pa.string()), ("uri", pa.string()), ("status", pa.string()), ("detail", pa.string())]
)
"""What a worker reports for each photograph."""


@dataclass(frozen=True)
class ReconstructionResult:
    """The result of a run.

    Attributes:
        pairs: number of pairs in the folder.
        made: number of pairs made by this run.
        faults: number of photographs without a pair, by reason.
        named: URI and reason of the first of them.
        table: the list of all pairs, for `--samples`.
    """

    pairs: int
    made: int
    faults: Counter[str] = field(default_factory=Counter)
    named: list[tuple[str, str]] = field(default_factory=list)
    table: str = ""


def write_pairs(
    samples: Sequence[Sample], output: str, opening: OpenReconstructor, *, largest: int, gpus: int = 0
) -> ReconstructionResult:
    """Make a pair for every photograph that has none yet, on Ray.

    Args:
        samples: samples labelled generated are skipped.
        output: the folder URL of the pairs and of their list.
        opening: opens the model on a device; must be serialisable.
        largest: maximum short side of a photograph, pixels; larger ones are scaled down.
        gpus: number of GPUs, one per actor.

    Raises:
        SettingsError: there is no photograph, or the output is in this process's memory.
        ModelError: the model cannot be read.
        StorageError: the output cannot be written.
    """
    if output.startswith("memory:"):
        raise SettingsError(f"--output {output!r} cannot be reached by workers; name a folder or a bucket")
    photographs = {name_of(sample): sample for sample in samples if sample.label == 0}
    if not photographs:
        raise SettingsError(
            f"there is no photograph among {len(samples):,} samples; reconstructions are made from real images"
        )
    maker = opening("cpu")
    output = storage.absolute(output)  # the working folder of a worker is another
    there = finished_pairs(output)
    todo = {name: sample for name, sample in photographs.items() if name not in there}
    rows = _run(todo, output, opening, (largest, gpus)) if todo else []
    faults = [row for row in rows if row["status"] != Status.OK]
    written = there | {row["name"] for row in rows if row["status"] == Status.OK}
    table = storage.join(output, LIST)
    pairs = {name: sample for name, sample in photographs.items() if name in written}
    storage.write(table, pair_list(pairs, maker))
    return ReconstructionResult(
        pairs=len(pairs),
        made=len(rows) - len(faults),
        faults=Counter(str(row["status"]) for row in faults),
        named=[(str(row["uri"]), f"{row['status']}: {row['detail']}") for row in faults[:20]],
        table=table,
    )


def finished_pairs(output: str) -> set[str]:
    """List the names of the pairs of which both files exist."""
    both = [storage.list_files(storage.join(output, folder), ".jpg") for folder in (REALS, FAKES)]
    reals, fakes = ({url.rpartition("/")[2] for url in urls} for urls in both)
    return reals & fakes


def pair_list(pairs: dict[str, Sample], maker: Reconstructor) -> bytes:
    """Write the CSV that a training reads; the images of a pair share a group, so they stay in the same split."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["uri", "label", "generator", "group", "collection", "kind", "artefact"])
    for name, sample in sorted(pairs.items()):
        group = sample.group or name.removesuffix(".jpg")
        both = [group, sample.collection, sample.content]
        table.writerow([f"{REALS}/{name}", "real", sample.source, *both, ""])
        table.writerow([f"{FAKES}/{name}", "fake", maker.name, *both, maker.kind])
    return text.getvalue().encode()


def _run(
    todo: dict[str, Sample], output: str, opening: OpenReconstructor, bounds: tuple[int, int]
) -> list[dict[str, Any]]:
    """Distribute photographs over actors that hold the model."""
    largest, gpus = bounds
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    rows = to_table(list(todo.values())).append_column("name", pa.array(list(todo), pa.string()))
    blocks = [rows.slice(start, BLOCK_ROWS) for start in range(0, len(rows), BLOCK_ROWS)]
    made = ray.data.from_arrow(blocks).map_batches(
        PairWriter,
        fn_constructor_args=(output, opening, largest, "cuda" if gpus else "cpu"),
        batch_size=BLOCK_ROWS,
        batch_format="pyarrow",
        concurrency=min(gpus or cores, len(blocks)),
        num_gpus=1 if gpus else None,
        num_cpus=1 if gpus else 0,  # actors that reserved every core would leave none for reading
    )
    parts: Iterable[pa.Table] = made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    rows_out: list[dict[str, Any]] = []
    progress = ProgressDisplay.shown()
    with progress.during("reconstructing", len(rows), "photographs"):
        for part in parts:
            rows_out += part.to_pylist()
            progress.advance(part.num_rows, sum(status != Status.OK for status in part["status"].to_pylist()))
    return rows_out


class PairWriter:
    """An actor that makes pairs."""

    def __init__(self, output: str, opening: OpenReconstructor, largest: int, device: str) -> None:
        self._output, self._largest = output, largest
        self._maker = opening(device)
        torch.set_num_threads(1)  # one actor per core

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Make the pairs of some photographs; a table of `PAIR_RESULTS`."""
        samples, names = from_table(rows.select(SCHEMA.names)), rows["name"].to_pylist()
        made = [self.make(sample, name) for sample, name in zip(samples, names, strict=True)]
        return pa.Table.from_pylist(made, PAIR_RESULTS)

    def make(self, sample: Sample, name: str) -> dict[str, Any]:
        """Write one pair, the photograph first; a fault is reported and nothing is written.

        Raises:
            StorageError: the output cannot be written.
        """
        report = {"name": name, "uri": sample.uri}
        try:
            data = read(sample)
        except STORE_FAULTS as reason:
            status, detail = fault_of(reason)
            return report | {"status": status, "detail": detail}
        pair = pair_of(sample, data, self._maker, largest=self._largest)
        if isinstance(pair, Fault):
            return report | {"status": pair.status, "detail": pair.detail}
        for folder, file in zip((REALS, FAKES), pair.files(), strict=True):
            storage.write(storage.join(self._output, folder, name), file)
        return report | {"status": Status.OK, "detail": None}

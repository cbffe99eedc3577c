"""Parquet sink: verdicts as Parquet files of a folder, each named by its images, written only under the run's lease."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import MODEL, WRITTEN_FILES, Status
from pipeline.scan.table import lease
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.part import encode, part_name
from pipeline.scan.table.verdicts import Verdicts
from pipeline.storage import memory, storage
from pipeline.telemetry import metrics


def publish(verdicts: pa.Table, *, output: str, generation: str) -> pa.Table:
    """Write a part to the partition of each model.

    Args:
        verdicts: rows of several models, as `conclude` writes them.
        output: the table's URL, where the lease is kept.
        generation: the lease under which this run writes.

    Returns:
        `WRITTEN_FILES`, a row a file: the model, rows, faults, outcomes, the file, and its content where only the
        driver can write to the output.

    Raises:
        StorageError: the store refuses, or another run holds the output.
    """
    in_driver = memory.lives_in_this_process(output)
    written = []
    for model in verdicts[MODEL].unique().to_pylist():
        part = verdicts.filter(pc.field(MODEL) == model).drop_columns([MODEL])
        url = storage.join(partition(output, model), part_name(part))
        outcomes = Counter(zip(part["status"].to_pylist(), part["verdict"].to_pylist(), strict=True))
        counts = [{"status": status, "verdict": verdict, "images": n} for (status, verdict), n in outcomes.items()]
        faults = sum(count for (status, _), count in outcomes.items() if status != Status.OK)
        with metrics.record_duration(metrics.Stage.WRITE):
            content = encode(part)
            if not in_driver:
                storage.write(url, content, guard=partial(lease.check, output, generation))
        written_file = {MODEL: model, "rows": part.num_rows, "faults": faults, "outcomes": counts, "file": url}
        written_file["units"] = pc.sum(part["last"]).as_py() or 0
        written.append(written_file | {"content": content if in_driver else None})
    return pa.Table.from_pylist(written, WRITTEN_FILES)


def partition(output: str, model: str) -> str:
    """Name the folder of a model's rows in a table."""
    return storage.join(storage.absolute(output), f"{MODEL}={model}")


class ParquetSink:
    """A folder with a partition for each model.

    Args:
        output: its URL.
    """

    def __init__(self, output: str) -> None:
        self.output = storage.absolute(output)  # workers of a running cluster have another working directory

    def ledger(self, model: str) -> Ledger:
        """Open a model's partition."""
        return Ledger(partition(self.output, model))

    def put(self, verdicts: Verdicts, generation: str, rows: int, _units: list[str]) -> Iterator[dict[str, Any]]:
        """Write a wave's verdicts part by part, each as soon as its rows are ready.

        Args:
            verdicts: as `conclude` writes them; nothing runs before the result is read.
            generation: the lease under which this run writes.
            rows: rows of a part.

        Yields:
            A row of `WRITTEN_FILES` for each part that is written.

        Raises:
            StorageError: the store refuses, or another run holds the output.
        """
        write = partial(publish, output=self.output, generation=generation)
        for part in chain.from_iterable(written.to_pylist() for written in verdicts.write(write, rows)):
            if part["content"] is not None:
                storage.write(part["file"], part["content"])
            yield part

"""Sink: verdicts become whole Parquet files, each named by the images in it, published only under the run's lease."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import memory, storage
from pipeline.records import TALLIED, Status
from pipeline.scan import lease


def part_name(verdicts: pa.Table) -> str:
    """Name a part by its units and indices, so that a write that is tried again replaces itself."""
    content = hashlib.blake2b(digest_size=12)
    for unit, index in sorted(zip(verdicts["unit"].to_pylist(), verdicts["index"].to_pylist(), strict=True)):
        content.update(f"{unit}\0{index}\n".encode())
    return f"part-{content.hexdigest()}.parquet"


def encode(verdicts: pa.Table) -> bytes:
    """Write a table of verdicts as the bytes of a Parquet file, zstd."""
    sink = pa.BufferOutputStream()
    pq.write_table(verdicts, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def publish(verdicts: pa.Table, *, output: str, folder: str, generation: str) -> pa.Table:
    """Put one part into the table.

    Args:
        verdicts: a table of `VERDICT`.
        output: the table's URL, where the lease lies.
        folder: the model's partition.
        generation: the lease under which this run writes.

    Returns:
        One row of `TALLIED`: rows, faults, the file, and its content where only the driver can reach the output.

    Raises:
        StorageError: the store refuses, or another run holds the output.
    """
    url = storage.join(folder, part_name(verdicts))
    faults = sum(status != Status.OK for status in verdicts["status"].to_pylist())
    content = encode(verdicts)
    tally = {"rows": verdicts.num_rows, "faults": faults, "file": url, "content": None}
    if memory.lives_in_this_process(output):
        return pa.Table.from_pylist([tally | {"content": content}], TALLIED)
    lease.check(output, generation)
    storage.write(url, content)
    return pa.Table.from_pylist([tally], TALLIED)

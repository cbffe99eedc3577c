"""Survey: a row of file properties per sample, with hashes by which duplicates are found."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from PIL import Image

from mole.views.view import Pixels
from pipeline.images.decode import Fault, decode
from pipeline.records import Status
from pipeline.storage.fault import STORE_FAULTS, fault_of
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.encoding import encoding_of
from pipeline.tune.data.samples import BOUNDS, SCHEMA, Sample, crop_to_sample, digest_of, from_table, read, to_table

BLOCK_ROWS = 32
MAX_BLOCKS = 2_000
PARALLEL_BLOCKS = 4

SURVEY = pa.schema(
    [
        ("place", pa.int64()),
        ("digest", pa.string()),
        ("phash", pa.uint64()),
        ("format", pa.string()),
        ("quality", pa.int16()),
        ("subsampling", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("aspect", pa.float32()),
        ("bytes", pa.int64()),
        ("bytes_per_pixel", pa.float32()),
        ("exif", pa.bool_()),
        ("icc", pa.bool_()),
        ("xmp", pa.bool_()),
        ("software", pa.string()),
        ("status", pa.string()),
        ("detail", pa.string()),
    ]
)
"""A row: sample index (`place`), hashes of bytes and picture, encoding, size; null if a fault prevents measuring it.

`digest` is BLAKE2b-128 of the bytes (and of the cell, for a grid), in hexadecimal; `phash` 64 bits of the picture's
lowest frequencies (imagehash); width and height are the picture's, a cell's for a grid.
"""


def survey(samples: Sequence[Sample]) -> pa.Table:
    """Survey the file of every sample, on Ray.

    Args:
        samples: any number; only their rows are kept in this process.

    Returns:
        A table of `SURVEY`, one row per sample, in order.
    """
    rows = to_table(samples).append_column("place", pa.array(range(len(samples)), pa.int64()))
    if not samples or any(sample.uri.startswith("memory:") for sample in samples):
        return survey_rows(rows)  # workers cannot read the memory of this process
    size = max(BLOCK_ROWS, len(samples) // MAX_BLOCKS)
    blocks = [rows.slice(start, size) for start in range(0, len(rows), size)]
    surveyed = ray.data.from_arrow(blocks).map_batches(survey_rows, batch_size=BLOCK_ROWS, batch_format="pyarrow")
    parts: Iterable[pa.Table] = surveyed.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    tables, progress = [], ProgressDisplay.shown()
    with progress.during("reading the images", len(samples)):
        for part in parts:
            tables.append(part)
            progress.advance(part.num_rows, pc.sum(pc.not_equal(part["status"], str(Status.OK))).as_py())
    return pa.concat_tables(tables).cast(SURVEY).sort_by("place").combine_chunks()


def survey_rows(rows: pa.Table) -> pa.Table:
    """Survey the files of some samples.

    Args:
        rows: a table of samples with their `place`.

    Returns:
        A table of `SURVEY`, in the same order.
    """
    samples, places = from_table(rows.select(SCHEMA.names)), rows["place"].to_pylist()
    with ThreadPoolExecutor(PARALLEL_BLOCKS) as pool:  # overlaps the latency of the store
        found = list(pool.map(_survey_row, samples))
    return pa.Table.from_pylist([{"place": place} | row for place, row in zip(places, found, strict=True)], SURVEY)


def _survey_row(sample: Sample) -> dict[str, Any]:
    """Read, decode and hash one sample; a fault is a row too."""
    try:
        data = read(sample)
    except STORE_FAULTS as reason:
        status, detail = fault_of(reason)
        return {"status": status, "detail": detail}
    digest = digest_of(data, sample.cell)
    picture = decode(data, BOUNDS)
    if isinstance(picture, Fault):
        fault = {"status": picture.status, "detail": picture.detail, "format": picture.format}
        return fault | {"digest": digest, "bytes": len(data)}
    pixels_3HW = crop_to_sample(picture.pixels_3HW, sample)
    high, wide = pixels_3HW.shape[1:]
    return asdict(encoding_of(data, picture.format)) | {
        "digest": digest,
        "phash": perceptual_hash(pixels_3HW),
        "format": picture.format,
        "width": wide,
        "height": high,
        "aspect": wide / high,
        "bytes": len(data),
        "bytes_per_pixel": len(data) / (picture.width * picture.height),
        "status": Status.OK,
    }


def perceptual_hash(pixels_3HW: Pixels) -> int:
    """Compute a perceptual hash, in which copies of a picture differ in few of 64 bits; uint8 (3, H, W)."""
    picture = Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))
    return int(str(imagehash.phash(picture)), 16)

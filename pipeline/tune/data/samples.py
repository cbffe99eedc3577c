"""Samples: labelled images, wherever their bytes lie, each with the source it is judged by and the group it stays with.

Legend: H, W of one picture.
"""

import csv
import random
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from mole.errors import SettingsError
from mole.view import Pixels
from pipeline import storage
from pipeline.decode import Bounds, Fault, decode

COLUMNS = ("path", "label", "generator", "source")
CELLS = 4
LABELS = {"real": 0, "fake": 1}
BOUNDS = Bounds(max_bytes=64 << 20, max_pixels=100_000_000, min_side=16)


@dataclass(frozen=True)
class Sample:
    """One labelled image, or one cell of a 2 x 2 grid.

    Attributes:
        uri: a path or an fsspec URL.
        label: 1 generated, 0 real.
        source: what is judged and held out together: a generator, or a collection of photographs.
        group: what never straddles a split, as a photograph and its reconstruction; empty where it is alone.
        offset: where the image begins inside a shard, bytes; None where the file is the image.
        length: of the image inside a shard, bytes.
        cell: which quarter of a grid, None for the whole picture.
        part: of a source that holds several generators or classes, which of them; empty where nothing tells.
    """

    uri: str
    label: int
    source: str
    group: str = ""
    offset: int | None = None
    length: int | None = None
    cell: int | None = None
    part: str = ""


SCHEMA = pa.schema(
    {
        "uri": pa.string(),
        "label": pa.int8(),
        "source": pa.string(),
        "group": pa.string(),
        "offset": pa.int64(),
        "length": pa.int64(),
        "cell": pa.int8(),
        "part": pa.string(),
    }
)
"""A sample as a row of a table."""


def read_manifest(manifest: Path, *, grids: Collection[str] = (), split: Collection[str] = ()) -> list[Sample]:
    """List the samples of a manifest.

    Args:
        manifest: a CSV with the columns path (relative to it), label (real or fake), generator and source.
        grids: sources whose images are 2 x 2 grids; of each grid one cell is a sample, each of the four in its turn.
        split: sources that hold several generators; each generator counts as a source of its own.

    Raises:
        SettingsError: the manifest is missing, or a column or label is not as said.
    """
    if not manifest.is_file():
        raise SettingsError(f"manifest {str(manifest)!r} is no file; name a CSV with the columns {COLUMNS}")
    with manifest.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = set(COLUMNS) - set(table.fieldnames or ())
        if missing:
            raise SettingsError(f"manifest {str(manifest)!r} must have the columns {COLUMNS}, lacks {missing}")
        return [
            Sample(
                uri=str(manifest.parent / row["path"]),
                label=_label(row),
                source=row["generator" if row["source"] in split else "source"],
                cell=number % CELLS if row["source"] in grids else None,
                part="" if row["source"] in split else row["generator"],
            )
            for number, row in enumerate(table)
        ]


def to_table(samples: Sequence[Sample]) -> pa.Table:
    """Write samples as a table, as they travel to workers and lie beside a version."""
    columns = [list(column) for column in zip(*(astuple(sample) for sample in samples), strict=True)]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns or [[]] * len(SCHEMA), SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def from_table(table: pa.Table) -> list[Sample]:
    """Read samples back from a table of `SCHEMA`, or of one that was written before it had parts."""
    names = [name for name in SCHEMA.names if name != "part" or name in table.column_names]
    return [Sample(**{**row, "part": row.get("part") or ""}) for row in table.select(names).to_pylist()]


def capped(samples: Sequence[Sample], most: int, *, seed: int) -> list[Sample]:
    """Keep at most so many samples of a source, drawn by the seed, in their order."""
    draw = random.Random(seed)
    places: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        places.setdefault(sample.source, []).append(place)
    kept = {place for own in places.values() for place in draw.sample(own, min(most, len(own)))}
    return [sample for place, sample in enumerate(samples) if place in kept]


def read(sample: Sample) -> bytes:
    """Read the bytes of a sample's file, or of its range inside a shard.

    Raises:
        OSError: the store refuses, as `fault_of` explains.
    """
    if sample.offset is None or sample.length is None:
        return storage.read(sample.uri)
    fs, path = storage.filesystem(sample.uri)
    data: bytes = fs.cat_file(path, start=sample.offset, end=sample.offset + sample.length)
    return data


def digest_of(data: bytes, cell: int | None) -> str:
    """Digest the bytes of a sample's file, and its cell; 32 hex digits of BLAKE2b."""
    return blake2b(data, digest_size=16, salt=b"" if cell is None else bytes([cell + 1])).hexdigest()


def open_sample(sample: Sample) -> Tensor | Fault:
    """Read and decode a sample; uint8 (3, H, W), upright RGB, or what keeps it from being a picture."""
    return decoded(sample, read(sample))


def decoded(sample: Sample, data: bytes) -> Tensor | Fault:
    """Decode a sample's bytes; uint8 (3, H, W), upright RGB, or what keeps it from being a picture."""
    picture = decode(data, BOUNDS)
    if isinstance(picture, Fault):
        return picture
    return tensor(picture.pixels_3HW if sample.cell is None else cut(picture.pixels_3HW, sample.cell))


def load(sample: Sample) -> Tensor:
    """Decode a sample that was found sound before; uint8 (3, H, W), upright RGB.

    Raises:
        SettingsError: the image cannot be read any more.
    """
    picture = open_sample(sample)
    if isinstance(picture, Fault):
        raise SettingsError(f"sample {sample.uri!r} is {picture.status}: {picture.detail}")
    return picture


def cut(pixels_3HW: Pixels, cell: int) -> Pixels:
    """Take one cell of a 2 x 2 grid, row by row from the top left; uint8 (3, H, W), a quarter of what came."""
    high, wide = pixels_3HW.shape[1] // 2, pixels_3HW.shape[2] // 2
    top, left = cell // 2 * high, cell % 2 * wide
    return pixels_3HW[:, top : top + high, left : left + wide]


def tensor(pixels_3HW: Pixels) -> Tensor:
    """See decoded pixels as torch does, in place where it can: not where they run backwards or belong to Pillow."""
    in_place = min(pixels_3HW.strides) > 0 and pixels_3HW.flags.writeable
    return torch.from_numpy(pixels_3HW if in_place else pixels_3HW.copy())


def _label(row: dict[str, str]) -> int:
    """Read a row's label.

    Raises:
        SettingsError: it is neither real nor fake.
    """
    if row["label"] not in LABELS:
        raise SettingsError(f"label of {row['path']!r} must be real or fake, got {row['label']!r}")
    return LABELS[row["label"]]

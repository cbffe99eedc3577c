"""Samples: labelled images with their location, source, group and content, and how they are read and decoded.

Legend: H, W of one picture.
"""

import csv
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from mole.errors import SettingsError
from mole.views.view import Pixels
from pipeline.images.decode import Bounds, Fault, decode
from pipeline.storage import storage
from pipeline.storage.access_policy import AccessPolicy
from pipeline.tune.data.content import content_of
from pipeline.tune.data.grid_detection import has_seam
from pipeline.tune.data.source_options import SourceOptions

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
        source: the generator, or the collection of photographs; metrics are reported per source.
        group: samples of a group are never split, for example a photograph and its reconstruction; empty if alone.
        offset: start of the image inside a shard, bytes; None if the file is the image.
        length: of the image inside a shard, bytes.
        cell: index of the cell of a 2 x 2 grid; None for the whole picture.
        part: the generator or class within a source with several; empty if unknown.
        collection: samples that are held out together, for example all of one archive; the source by default.
        content: content of the picture, for example `photo`; empty if unknown.
        edge: share of each side to crop away, of the picture or of the cell; below 0.5.
        artefact: what a photograph was passed through, `reconstruction` or `upsampling`; empty for all other images.
        origin: of the list that names it, where that may only name public places and its own, as of
            `pipeline.storage.access_policy.AccessPolicy`; None where it may name any place.
    """

    uri: str
    label: int
    source: str
    group: str = ""
    offset: int | None = None
    length: int | None = None
    cell: int | None = None
    part: str = ""
    collection: str = ""
    content: str = ""
    edge: float = 0.0
    artefact: str = ""
    origin: str | None = None

    def __post_init__(self) -> None:
        if not self.collection:
            object.__setattr__(self, "collection", self.source)


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
        "collection": pa.string(),
        "content": pa.string(),
        "edge": pa.float64(),
        "artefact": pa.string(),
        "origin": pa.string(),
    }
)
"""A sample as a row of a table."""


def read_manifest(
    *manifests: Path,
    grids: Collection[str] = (),
    detect_grids: Collection[str] = (),
    split: Collection[str] = (),
    crop_edges: Mapping[str, float] | None = None,
) -> list[Sample]:
    """List the samples of manifests.

    Args:
        manifests: CSVs with the columns path (relative to it), label (real or fake), generator and source; content
            comes from the column kind, or else from the generator of a real image.
        grids: as in `SourceOptions`.
        detect_grids: the same.
        split: the same.
        crop_edges: the same.

    Raises:
        SettingsError: a manifest or a column is missing, a label is unknown, or an edge is out of bounds.
    """
    options = SourceOptions(grids, detect_grids, split, crop_edges or {})
    return [sample for manifest in manifests for sample in _listed(manifest, options)]


def to_table(samples: Sequence[Sample]) -> pa.Table:
    """Convert samples to a table, in which form they are sent to workers and stored with versions."""
    columns = [list(column) for column in zip(*(astuple(sample) for sample in samples), strict=True)]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns or [[]] * len(SCHEMA), SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def from_table(table: pa.Table) -> list[Sample]:
    """Read samples from a table of `SCHEMA`, or of an older version of it with fewer columns."""
    rows = table.select([name for name in SCHEMA.names if name in table.column_names]).to_pylist()
    return [Sample(**{name: value for name, value in row.items() if value is not None}) for row in rows]


def capped(samples: Sequence[Sample], max_per_source: int | None, *, seed: int, parts: bool = False) -> list[Sample]:
    """Draw at most a number of samples per source, keeping their order.

    Args:
        samples: to draw from.
        max_per_source: maximum number per source; None keeps all.
        seed: of the draw.
        parts: apply the maximum to each part of a source instead.
    """
    if max_per_source is None:
        return list(samples)
    draw = random.Random(seed)
    places: dict[tuple[str, str], list[int]] = {}
    for place, sample in enumerate(samples):
        places.setdefault((sample.source, sample.part if parts else ""), []).append(place)
    kept = {place for own in places.values() for place in draw.sample(own, min(max_per_source, len(own)))}
    return [sample for place, sample in enumerate(samples) if place in kept]


def read(sample: Sample) -> bytes:
    """Read the bytes of a sample's file, or of its range inside a shard.

    Raises:
        OSError: the store failed, or the list may not name this place; see `fault_of`.
    """
    policy = None if sample.origin is None else AccessPolicy(sample.origin)
    if sample.offset is None or sample.length is None:
        return storage.read(sample.uri, policy=policy)
    fs, path = storage.filesystem(sample.uri, policy)
    data: bytes = fs.cat_file(path, start=sample.offset, end=sample.offset + sample.length)
    return data


def digest_of(data: bytes, cell: int | None) -> str:
    """Digest the bytes of a sample's file, and its cell; 32 hex digits of BLAKE2b."""
    return blake2b(data, digest_size=16, salt=b"" if cell is None else bytes([cell + 1])).hexdigest()


def open_sample(sample: Sample) -> Tensor | Fault:
    """Read and decode a sample; uint8 (3, H, W), upright RGB, or its fault."""
    return decoded(sample, read(sample))


def decoded(sample: Sample, data: bytes) -> Tensor | Fault:
    """Decode a sample's bytes; uint8 (3, H, W), upright RGB, or its fault."""
    picture = decode(data, BOUNDS)
    if isinstance(picture, Fault):
        return picture
    return to_tensor(crop_to_sample(picture.pixels_3HW, sample))


def load(sample: Sample) -> Tensor:
    """Decode a sample that could be decoded before; uint8 (3, H, W), upright RGB.

    Raises:
        SettingsError: the image can no longer be read.
    """
    picture = open_sample(sample)
    if isinstance(picture, Fault):
        raise SettingsError(f"sample {sample.uri!r} is {picture.status}: {picture.detail}")
    return picture


def crop_to_sample(pixels_3HW: Pixels, sample: Sample) -> Pixels:
    """Crop a picture to a sample: its cell, without its edges; uint8 (3, H, W) in, (3, h, w) out."""
    whole_3HW = pixels_3HW if sample.cell is None else crop_cell(pixels_3HW, sample.cell)
    top, left = (round(sample.edge * side) for side in whole_3HW.shape[1:])
    return whole_3HW[:, top : whole_3HW.shape[1] - top, left : whole_3HW.shape[2] - left]


def crop_cell(pixels_3HW: Pixels, cell: int) -> Pixels:
    """Crop one cell of a 2 x 2 grid, row by row from the top left; uint8 (3, H, W) in, a quarter of it out."""
    high, wide = pixels_3HW.shape[1] // 2, pixels_3HW.shape[2] // 2
    top, left = cell // 2 * high, cell % 2 * wide
    return pixels_3HW[:, top : top + high, left : left + wide]


def to_tensor(pixels_3HW: Pixels) -> Tensor:
    """Convert decoded pixels, uint8 (3, H, W), to a tensor, without a copy if strides and ownership allow it."""
    in_place = min(pixels_3HW.strides) > 0 and pixels_3HW.flags.writeable
    return torch.from_numpy(pixels_3HW if in_place else pixels_3HW.copy())


def sample_of(
    row: Mapping[str, Any],
    label: int,
    *,
    uri: str,
    number: int,
    options: SourceOptions,
    origin: str | None = None,
) -> Sample:
    """Build a sample from a row with `source` or `generator`.

    Args:
        row: of a list; may contain group, kind, artefact and collection.
        label: 1 generated, 0 real.
        uri: location of the image.
        number: of the row, which selects the cell of a grid.
        options: how the images of each source are turned into samples.
        origin: of the list, as in `Sample`.
    """
    entire = str(row.get("source") or row.get("generator") or "unnamed")
    generator = str(row.get("generator") or "")
    source = generator or entire if entire in options.split else entire
    kind = row.get("kind") or (generator if label == 0 else "")
    sample = Sample(
        uri=uri,
        label=label,
        source=source,
        group=str(row.get("group") or ""),
        part="" if generator == source else generator,
        collection=str(row.get("collection") or entire),
        content=content_of(str(kind)),
        artefact=str(row.get("artefact") or ""),
        origin=origin,
    )
    return placed(sample, entire, number, options)


def placed(sample: Sample, entire: str, number: int, options: SourceOptions) -> Sample:
    """Set the cell and edge of a sample.

    Args:
        sample: of the whole image.
        entire: the source in the list or folder, before any split.
        number: of the image, which selects the cell of a grid.
        options: which sources have grids, and which edges are cropped.
    """
    gridded = entire in options.grids or (entire in options.detect_grids and _is_collage(sample))
    return replace(sample, cell=number % CELLS if gridded else None, edge=options.crop_edges.get(entire, 0.0))


def _is_collage(sample: Sample) -> bool:
    """Open a sample and return whether it has a seam; False if it cannot be decoded."""
    picture = decode(read(sample), BOUNDS)
    return not isinstance(picture, Fault) and has_seam(picture.pixels_3HW)


def _listed(manifest: Path, options: SourceOptions) -> Iterator[Sample]:
    """Read one manifest.

    Raises:
        SettingsError: it or a column is missing, or a label is unknown.
    """
    if not manifest.is_file():
        raise SettingsError(f"manifest {str(manifest)!r} is not a file; name a CSV with the columns {COLUMNS}")
    with manifest.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = set(COLUMNS) - set(table.fieldnames or ())
        if missing:
            raise SettingsError(f"manifest {str(manifest)!r} must have the columns {COLUMNS}, lacks {missing}")
        for number, row in enumerate(table):
            uri = str(manifest.parent / row["path"])
            yield sample_of(row, _label(row), uri=uri, number=number, options=options)


def _label(row: dict[str, str]) -> int:
    """Read a row's label.

    Raises:
        SettingsError: it is neither real nor fake.
    """
    if row["label"] not in LABELS:
        raise SettingsError(f"label of {row['path']!r} must be real or fake, got {row['label']!r}")
    return LABELS[row["label"]]

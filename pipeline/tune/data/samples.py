"""Samples: labelled images, wherever their bytes lie, with the source that judges them and what they stay with.

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
from pipeline.tune.data.content import content_of
from pipeline.tune.data.seam import has_seam
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
        source: what is judged together: a generator, or a collection of photographs.
        group: what never straddles a split, as a photograph and its reconstruction; empty where it is alone.
        offset: where the image begins inside a shard, bytes; None where the file is the image.
        length: of the image inside a shard, bytes.
        cell: which quarter of a grid, None for the whole picture.
        part: of a source that holds several generators or classes, which of them; empty where nothing tells.
        collection: what is held out together, as all that one archive gave; its source where nothing else is said.
        content: what is in the picture, as `photo`; empty where nothing tells.
        edge: the share of each side that is cut off, of the picture or, of a grid, of its cell; below 0.5.
        artefact: what a photograph was passed through, `reconstruction` or `upsampling`; empty for everything else.
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
    }
)
"""A sample as a row of a table."""


def read_manifest(
    *manifests: Path,
    grids: Collection[str] = (),
    seams: Collection[str] = (),
    split: Collection[str] = (),
    edges: Mapping[str, float] | None = None,
) -> list[Sample]:
    """List the samples of manifests, one after the other.

    Args:
        manifests: CSVs with the columns path (relative to it), label (real or fake), generator and source; content is
            told by the column kind, or by what a real image's generator is called where there is none.
        grids: as `Reading` has it.
        seams: the same.
        split: the same.
        edges: the same.

    Raises:
        SettingsError: a manifest is missing, or a column or label is not as said, or an edge leaves nothing.
    """
    options = SourceOptions(grids, seams, split, edges or {})
    return [sample for manifest in manifests for sample in _listed(manifest, options)]


def to_table(samples: Sequence[Sample]) -> pa.Table:
    """Write samples as a table, as they travel to workers and lie beside a version."""
    columns = [list(column) for column in zip(*(astuple(sample) for sample in samples), strict=True)]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns or [[]] * len(SCHEMA), SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def from_table(table: pa.Table) -> list[Sample]:
    """Read samples back from a table of `SCHEMA`, or of one that was written before it had all of its columns."""
    rows = table.select([name for name in SCHEMA.names if name in table.column_names]).to_pylist()
    return [Sample(**{name: value for name, value in row.items() if value is not None}) for row in rows]


def capped(samples: Sequence[Sample], most: int, *, seed: int, parts: bool = False) -> list[Sample]:
    """Keep at most so many samples of a source, drawn by the seed, in their order.

    Args:
        samples: to choose from.
        most: of a source.
        seed: decides the draw.
        parts: count each part of a source alone, as where parts are generators.
    """
    draw = random.Random(seed)
    places: dict[tuple[str, str], list[int]] = {}
    for place, sample in enumerate(samples):
        places.setdefault((sample.source, sample.part if parts else ""), []).append(place)
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
    return tensor(within(picture.pixels_3HW, sample))


def load(sample: Sample) -> Tensor:
    """Decode a sample that was found sound before; uint8 (3, H, W), upright RGB.

    Raises:
        SettingsError: the image cannot be read any more.
    """
    picture = open_sample(sample)
    if isinstance(picture, Fault):
        raise SettingsError(f"sample {sample.uri!r} is {picture.status}: {picture.detail}")
    return picture


def within(pixels_3HW: Pixels, sample: Sample) -> Pixels:
    """Take what belongs to a sample: its cell, without its edges; uint8 (3, H, W) in, (3, h, w) out."""
    whole_3HW = pixels_3HW if sample.cell is None else cut(pixels_3HW, sample.cell)
    top, left = (round(sample.edge * side) for side in whole_3HW.shape[1:])
    return whole_3HW[:, top : whole_3HW.shape[1] - top, left : whole_3HW.shape[2] - left]


def cut(pixels_3HW: Pixels, cell: int) -> Pixels:
    """Take one cell of a 2 x 2 grid, row by row from the top left; uint8 (3, H, W), a quarter of what came."""
    high, wide = pixels_3HW.shape[1] // 2, pixels_3HW.shape[2] // 2
    top, left = cell // 2 * high, cell % 2 * wide
    return pixels_3HW[:, top : top + high, left : left + wide]


def tensor(pixels_3HW: Pixels) -> Tensor:
    """See decoded pixels as torch does, in place where it can: not where they run backwards or belong to Pillow."""
    in_place = min(pixels_3HW.strides) > 0 and pixels_3HW.flags.writeable
    return torch.from_numpy(pixels_3HW if in_place else pixels_3HW.copy())


def sample_of(row: Mapping[str, Any], label: int, uri: str, number: int, options: SourceOptions) -> Sample:
    """Make a sample of a row that says its `source` or its `generator`.

    Args:
        row: of a list; group, kind, artefact and collection may stand there.
        label: 1 generated, 0 real.
        uri: where the image lies.
        number: of the row, which decides the cell of a grid.
        options: how rows are read.
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
    )
    return placed(sample, entire, number, options)


def placed(sample: Sample, entire: str, number: int, options: SourceOptions) -> Sample:
    """Say which part of its image a sample is.

    Args:
        sample: of the whole image.
        entire: the source that the image's list or folder names, before any split.
        number: which of the images it is, which decides the cell of a grid.
        options: which sources hold grids, and whose edges are cut off.
    """
    gridded = entire in options.grids or (entire in options.seams and _is_collage(sample))
    return replace(sample, cell=number % CELLS if gridded else None, edge=options.edges.get(entire, 0.0))


def _is_collage(sample: Sample) -> bool:
    """Open a sample and tell whether it is parted by a seam; one that is no picture is none."""
    picture = decode(read(sample), BOUNDS)
    return not isinstance(picture, Fault) and has_seam(picture.pixels_3HW)


def _listed(manifest: Path, options: SourceOptions) -> Iterator[Sample]:
    """Read one manifest.

    Raises:
        SettingsError: it is missing, or a column or label is not as said.
    """
    if not manifest.is_file():
        raise SettingsError(f"manifest {str(manifest)!r} is no file; name a CSV with the columns {COLUMNS}")
    with manifest.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = set(COLUMNS) - set(table.fieldnames or ())
        if missing:
            raise SettingsError(f"manifest {str(manifest)!r} must have the columns {COLUMNS}, lacks {missing}")
        for number, row in enumerate(table):
            yield sample_of(row, _label(row), str(manifest.parent / row["path"]), number, options)


def _label(row: dict[str, str]) -> int:
    """Read a row's label.

    Raises:
        SettingsError: it is neither real nor fake.
    """
    if row["label"] not in LABELS:
        raise SettingsError(f"label of {row['path']!r} must be real or fake, got {row['label']!r}")
    return LABELS[row["label"]]

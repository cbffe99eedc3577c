"""What the tests of this folder share: a registry of two versions, each with a manifest of its images."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.config import Description, describe
from pipeline import registry
from pipeline.registry import Registry
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.manifest import MANIFEST
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.split import TRAIN
from tests.tiny import tiny_checkpoint

Versions = tuple[Registry, str, str]


def manifest(rows: dict[str, str], groups: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Write the manifest of a version whose samples are named by their digests."""
    samples = [Sample(f"/photos/{name}.jpg", int(name == "b"), "source", group=groups.get(name, "")) for name in rows]
    table = to_table(samples).append_column("digest", pa.array(list(rows)))
    sink = io.BytesIO()
    pq.write_table(table.append_column("split", pa.array(list(rows.values()))), sink)
    return sink.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Versions:
    """A registry, and the digests of its older and its newer version."""
    models = Registry(str(tmp_path / "models"))
    old = {"a": TEST, "b": TEST, "c": TRAIN}
    new = {"b": TRAIN, "c": TEST, "d": TEST, "a": TEST}
    digests = [
        models.add(tiny_checkpoint(tmp_path / str(seed), seed=seed), {MANIFEST: manifest(rows)})
        for seed, rows in ((1, old), (2, new))
    ]
    return models, digests[0], digests[1]


def here(url: str) -> Description:
    """Describe the model of a location."""
    return describe(registry.locate(url))

"""Every fault, as it is fetched and as it is prepared."""

from pathlib import Path

import pyarrow as pa
import pytest

from mole.views.preprocess import Preprocess
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.workers import prepare
from tests.pictures import faulty, write_shard

BOUNDS = (1 << 20, 1 << 20, 16)


@pytest.fixture
def fetched(tmp_path: Path) -> pa.Table:
    """Every fault as it is fetched."""
    units = list(Source([str(write_shard(tmp_path / "f.tar", faulty()))]).units())
    return pa.concat_tables(fetch(units, ReadOptions(max_bytes=1 << 20, carry=("url",))))


@pytest.fixture
def prepared(fetched: pa.Table) -> pa.Table:
    """Every fault as it is prepared."""
    return prepare(fetched, Preprocess(), BOUNDS)

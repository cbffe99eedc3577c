"""Laws of perturbed views."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from mole.views.preprocess import Preprocess
from mole.views.view import views
from pipeline.images.decode import Fault
from pipeline.tune.data.samples import Sample, digest_of, load, to_table
from pipeline.tune.evaluation.perturbation import perturbation
from pipeline.tune.evaluation.perturbed_views import VIEWED, open_picture, view_samples
from pipeline.tune.evaluation.view_scorer import PLACE
from tests.pictures import picture

SPEC = Preprocess(mode="crop", crops=4)


def viewed(samples: list[Sample], *names: str) -> pa.Table:
    """Make the views of samples that are numbered from 10."""
    rows = to_table(samples).append_column(PLACE[0], pa.array(range(10, 10 + len(samples)), PLACE[1]))
    return view_samples(rows, names, SPEC)


def test_each_sample_has_the_views_of_its_picture_under_each_perturbation(tmp_path: Path) -> None:
    samples = [Sample(str(tmp_path / f"{number}.jpg"), 0, "photos") for number in range(2)]
    for number, sample in enumerate(samples):
        Path(sample.uri).write_bytes(picture(number))
    table = viewed(samples, "shipped", "jpeg-30")
    assert table.schema == VIEWED and table["place"].to_pylist() == [10, 10, 11, 11]
    assert table["delivery"].to_pylist() == ["shipped", "jpeg-30"] * 2
    wanted = [
        views(perturbation(name)(load(one), 0).numpy(), SPEC) for one in samples for name in ("shipped", "jpeg-30")
    ]
    for data, pixels_C3SS in zip(table["pixels"].to_pylist(), wanted, strict=True):
        assert np.array_equal(np.frombuffer(data, np.uint8).reshape(pixels_C3SS.shape), pixels_C3SS)
    assert table["digest"].to_pylist() == [digest_of(Path(one.uri).read_bytes(), None) for one in samples for _ in "ab"]


def test_a_torn_picture_is_a_row_without_pixels_under_each_perturbation(tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(picture(0)[:200])
    table = viewed([Sample(str(tmp_path / "torn.jpg"), 0, "photos")], "shipped", "aligned")
    assert table["status"].to_pylist() == ["truncated"] * 2 and table["pixels"].null_count == 2
    assert table["digest"].null_count == 0


def test_a_store_that_refuses_is_a_fault_with_its_reason(tmp_path: Path) -> None:
    digest, fault = open_picture(Sample(str(tmp_path), 0, "photos"))
    assert isinstance(fault, Fault) and digest is None
    assert fault.status == "missing"


def test_a_block_of_nothing_gives_nothing() -> None:
    table = viewed([], "shipped")
    assert table.schema == VIEWED and len(table) == 0

"""Laws of the version."""

import io
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.checkpoint import load_checkpoint, read_adapters
from mole.config import describe
from mole.measuring.calibration import Calibration
from mole.views.preprocess import Preprocess
from pipeline.registry import Registry
from pipeline.tune.data.collection import TEST, Collection
from pipeline.tune.data.manifest import MANIFEST, ORIGIN
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import TRAIN
from pipeline.tune.training.task import Schedule, Stage, Task
from pipeline.tune.training.trainer import TrainingResult
from pipeline.tune.training.version import CURVES, EVALUATION, HISTORY, version_files, write_checkpoint
from tests.pipeline.tune.training.test_metrics_log import epoch
from tests.tiny import CONFIG


def task_for(base: Path) -> Task:
    """Write a task whose view differs from the base's."""
    return Task(
        base=str(base),
        digest=describe(base).digest,
        keep_adapters=False,
        detector=CONFIG,
        spec=Preprocess(mode="resize", short_side=256),
        bfloat16=False,
        schedule=Schedule(0, 1, (Stage("all", 1),), 1e-2, 1e-3, 1e-3, 0.0, 1),
        batch_size=8,
        seed=0,
        run="run",
        labels=(),
        sources=(),
        stopping_generators=(),
    )


@pytest.fixture
def collection() -> Collection:
    samples = [Sample("a.jpg", 0, "photos", "1"), Sample("b.jpg", 1, "made", "2")]
    return Collection(samples, [TRAIN, TEST], pa.table({"digest": ["aa", "bb"]}), Counter({"truncated": 1}))


def test_a_version_stands_by_itself_with_its_own_view_and_calibration(tiny: Path, tmp_path: Path) -> None:
    calibration = Calibration(real_below=-1.0, generated_above=2.0)
    task = task_for(tiny)
    made = write_checkpoint(
        tmp_path / "v", describe(tiny), task, read_adapters(tiny), calibration, {"recipe": {"seed": 1}}
    )
    loaded = load_checkpoint(tmp_path / "v")
    assert loaded.calibration == calibration and loaded.preprocess == task.spec
    assert made.digest == loaded.description.digest != describe(tiny).digest
    other = write_checkpoint(
        tmp_path / "w", describe(tiny), task, read_adapters(tiny), calibration, {"recipe": {"seed": 2}}
    )
    assert other.digest != made.digest


def test_the_papers_say_what_it_was_made_of_and_how_it_went(collection: Collection, tiny: Path, tmp_path: Path) -> None:
    trained = TrainingResult({}, [epoch(1), epoch(2)], {})
    files = version_files(collection, trained, {"parent": "p"}, None)
    assert set(files) == {MANIFEST, HISTORY, ORIGIN, CURVES}  # an evaluation only where there was one
    assert EVALUATION not in files
    assert pq.read_table(io.BytesIO(files[MANIFEST])).column("split").to_pylist() == [TRAIN, TEST]
    assert [json.loads(line)["epoch"] for line in files[HISTORY].splitlines()] == [1, 2]
    assert json.loads(files[ORIGIN])["parent"] == "p"
    place = Registry(str(tmp_path / "models"))
    digest = place.add(tiny, files)
    assert place.read(digest, MANIFEST) == files[MANIFEST]

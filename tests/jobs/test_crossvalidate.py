"""Laws of a cross-validation, and of the road from its recipe to a version that it calibrates, in one Ray."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import crossvalidate, finetune
from mole.config import describe
from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from pipeline.registry import Registry
from pipeline.tune.evaluation.comparison import MethodComparison
from pipeline.tune.evaluation.held_out_logits import HELD_OUT
from pipeline.tune.training.crossvalidate import CARDS, FIGURES, LOGITS
from tests.tiny import tiny_checkpoint

pytestmark = pytest.mark.slow
COLLECTIONS = ("attic", "harbour", "meadow")
EACH = 12
RECIPE = """
folds = [["attic"], ["harbour"], ["meadow"]]
validation_share = 0.0
calibration_share = 0.0
test_share = 0.2
accept_leak = true
view = "resize"
precision = "float32"
deliveries = 2
epochs = 1
batch_size = 8
penalty = 1e-3
false_positive_rate = 0.2

[methods."block 3"]
reads = [3]
shared_rank = 0
expert_ranks = []
epochs = 0

[methods.mole]
expert_rate = 1e-3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three collections of real and generated pictures, of which the generated are redder; a tiny base and a recipe."""
    place, draw = tmp_path_factory.mktemp("folds"), np.random.default_rng(0)
    rows = ["path,label,generator,source"]
    for collection in COLLECTIONS:
        for number in range(2 * EACH):
            pixels = draw.integers(0, 256, (12, 16, 3), np.uint8)
            pixels[..., 0] = pixels[..., 0] // 2 + 128 * (number % 2)
            name = f"{collection}-{number}.png"
            Image.fromarray(pixels).resize((192, 144), Image.Resampling.BICUBIC).save(place / name)
            label = "fake" if number % 2 else "real"
            rows.append(f"{name},{label},{collection}-{label},{collection}")
    (place / "manifest.csv").write_text("\n".join(rows) + "\n")
    (place / "recipe.toml").write_text(RECIPE)
    tiny_checkpoint(place / "base", preprocess=Preprocess(mode="resize"))
    return place


def flags(folder: Path, *more: str) -> list[str]:
    places = [f"--samples={folder / 'manifest.csv'}", f"--base={folder / 'base'}", f"--token-cache={folder / 'tokens'}"]
    return [f"--config={folder / 'recipe.toml'}", "--split-sources", ",".join(COLLECTIONS), *places, *more]


def crossed(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert crossvalidate.main(flags(folder, f"--output={folder / 'out'}", "--json", *more)) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_recipe_is_cross_validated_and_then_trained_to_a_version_with_the_folds_thresholds(
    local_ray: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = crossed(folder, capsys)
    assert list(told["methods"]) == ["block 3", "mole"]
    held = pq.read_table(folder / "out" / LOGITS)
    assert held.schema.equals(HELD_OUT) and len(held) == 2 * 3 * 2 * EACH * len(COLLECTIONS)
    assert held["logit"].null_count == 0
    assert "mole" in (folder / "out" / CARDS).read_text()

    made = {file: file.stat().st_mtime_ns for file in (folder / "tokens").glob("*/*")}
    assert crossed(folder, capsys) == told, "what was done is not done again"
    assert {file: file.stat().st_mtime_ns for file in (folder / "tokens").glob("*/*")} == made

    comparison = MethodComparison.model_validate_json((folder / "out" / FIGURES).read_bytes())
    registry = folder / "models"
    chosen = ["--method=mole", f"--calibrate-from={folder / 'out' / FIGURES}", f"--registry={registry}", "--json"]
    assert finetune.main(flags(folder, *chosen)) == 0
    version = json.loads(capsys.readouterr().out)
    config = describe(Path(Registry(str(registry)).version(version["digest"]))).config
    assert config.calibration == comparison.methods["mole"].calibration
    assert config.detector == describe(folder / "base").config.detector
    assert version["epochs"] == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (['--folds=[["attic"], ["nobody"]]'], r"\['nobody'\]; the collections here are"),
        (['--folds=[["attic"]]'], "at least 2 lists of collections, got 1"),
        (['--folds=[["attic"], ["attic"]]'], r"\['attic'\] twice"),
        (["--hold-out=attic"], "decide when to stop and cannot be tested"),
        (['--methods={"a": {"most": 3}}'], r"method 'a' sets \['most'\]"),
        (["--token-cache=none"], "omit --token-cache none"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_trained(
    local_ray: None, folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    output = folder / "refused"
    assert crossvalidate.main(flags(folder, f"--output={output}", *more)) == SettingsError.exit_code
    assert re.search(words, capsys.readouterr().err)
    assert not output.exists()

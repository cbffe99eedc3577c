"""Laws of the audit before a training."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.collection import Collection
from pipeline.tune.data.samples import to_table
from pipeline.tune.data.split import TRAIN
from pipeline.tune.data.survey import survey_rows
from pipeline.tune.training.auditing import choose_aligner
from tests.pipeline.tune.data.test_audit import alike
from tests.pipeline.tune.training.test_recipe import recipe


def collection(folder: Path, fake: str) -> Collection:
    samples = alike(folder, 30, fake=fake)
    rows = survey_rows(to_table(samples).append_column("place", pa.array(range(len(samples)))))
    return Collection(samples, [TRAIN] * len(samples), rows, Counter())


def test_files_that_give_the_classes_away_are_refused_accepted_or_aligned_as_the_recipe_says(tmp_path: Path) -> None:
    leaky = collection(tmp_path, "png")
    with pytest.raises(SettingsError, match="train with --align, or accept it with --accept-leak"):
        choose_aligner(recipe(), leaky, lambda _: None)
    assert choose_aligner(recipe(accept_leak=True), leaky, lambda _: None) is None
    chosen = choose_aligner(recipe(align=True), leaky, lambda _: None)
    assert chosen is not None and {form.format for form in chosen.forms} == {"jpeg"}


def test_the_result_is_logged(tmp_path: Path) -> None:
    said: list[str] = []
    assert choose_aligner(recipe(), collection(tmp_path, "jpeg"), said.append) is None
    assert said[0].startswith("audit of the training split: ")

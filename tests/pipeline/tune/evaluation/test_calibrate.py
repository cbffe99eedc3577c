"""Laws of thresholds from one's own images; the command is run in tests/jobs/test_calibrate.py."""

from pathlib import Path

import numpy as np
import pytest

from mole.config import ADAPTERS, CheckpointConfig, describe
from mole.errors import ModelError, SettingsError
from mole.measuring.calibration import Calibration
from mole.measuring.rates import upper_bound
from pipeline.registry import Registry
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.calibrate import (
    CalibrateSettings,
    ScoredReals,
    check_image_count,
    provenance,
    thresholds,
    version_to_calibrate,
    write_version,
)
from pipeline.tune.evaluation.parent_checkpoint import origin_at
from tests.tiny import tiny_checkpoint

REALS = np.random.default_rng(0).normal(0, 1, 400).astype(np.float32)


def asked(registry: Path, **flags: object) -> CalibrateSettings:
    given = {"registry": str(registry), "reals": ["photos"], "collection": "own photographs", **flags}
    return CalibrateSettings.model_validate(given)


def test_the_threshold_shows_the_wanted_rate_and_probabilities_stay(tmp_path: Path) -> None:
    before = Calibration(temperature=1.4, bias=0.3, real_below=-9.0, generated_above=9.0, collection="others")
    after = thresholds(REALS, before, asked(tmp_path, false_positive_rate=0.02, unsure_rate=0.2))
    assert (after.temperature, after.bias) == (1.4, 0.3)
    assert (after.collection, after.reals) == ("own photographs", 400)
    alarms = int((after.generated_above <= REALS).sum())
    assert upper_bound(alarms, 400) <= 0.02
    assert after.real_below <= after.balance <= after.generated_above


def test_too_few_images_are_refused_with_the_number_and_the_rate_that_they_would_show(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match="at least 299 real images to be shown at 95 % confidence, got 36;.*0.08 or more"
    ):
        check_image_count(36, asked(tmp_path))
    check_image_count(299, asked(tmp_path))


def test_the_new_version_has_the_old_weights_to_the_bit_and_another_digest(tiny: Path, tmp_path: Path) -> None:
    old = describe(tiny)
    read = old.calibration.model_copy(update={"generated_above": 4.0, "collection": "own photographs"})
    made = write_version(tmp_path / "made", old, read, {"parent": old.digest})
    assert (made / ADAPTERS).read_bytes() == (tiny / ADAPTERS).read_bytes()
    new = describe(made)
    assert new.digest != old.digest and new.calibration == read
    assert new.config.model_copy(update={"calibration": old.calibration, "provenance": {}}) == old.config


def test_the_provenance_says_what_was_calibrated_on_and_drops_what_held_at_other_thresholds(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model")
    config = CheckpointConfig.model_validate_json((folder / "config.json").read_text())
    told = config.model_copy(update={"provenance": {"recipe": {"seed": 1}, "measured": {"share": 0.5}}})
    (folder / "config.json").write_text(told.model_dump_json())
    origin = origin_at(str(folder))
    found = ScoredReals([Sample("a.jpg", 0, "own")], ["aa"], np.zeros(1, np.float32))
    said = provenance(origin, found, asked(tmp_path))
    assert said["parent"] == origin.digest and said["recipe"] == {"seed": 1} and "measured" not in said
    assert said["calibrated"]["collection"] == "own photographs" and said["calibrated"]["images"] == 1


def test_what_is_promoted_is_calibrated_and_the_shipped_detector_where_nothing_is(tmp_path: Path) -> None:
    place = Registry(str(tmp_path / "models"))
    assert version_to_calibrate(asked(tmp_path / "models"), place).model == "embedded"
    digest = place.add(tiny_checkpoint(tmp_path / "tiny"), {})
    place.promote(digest, "first", replacing=None)
    assert version_to_calibrate(asked(tmp_path / "models"), place).digest == digest
    with pytest.raises(ModelError):
        version_to_calibrate(asked(tmp_path / "models", model=str(tmp_path)), place)

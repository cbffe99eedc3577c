"""Laws of checkpoints: found by the digest that the table names, and no other stands in for one."""

from pathlib import Path

import numpy as np
import pytest

from mole.config import describe
from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from pipeline.registry import Registry
from pipeline.review.browsing.checkpoints import Checkpoints
from tests.verdicts import verdict_row, write_verdicts


def test_a_model_is_found_where_it_lies_or_in_the_registry(tiny: Path, tmp_path: Path) -> None:
    own = describe(tiny)
    table = str(write_verdicts(tmp_path / "verdicts", [verdict_row("a.tar#1", 0, model=own.digest)]))
    assert Checkpoints(table).of(own.digest) is None
    assert Checkpoints(table, str(tiny)).of(own.digest) == own
    Registry(str(tmp_path / "models")).add(tiny, {})
    found = Checkpoints(table, None, str(tmp_path / "models"))
    assert found.thresholds()[own.digest] == (-0.5, 0.5)
    with pytest.raises(SettingsError, match="--registry"):
        Checkpoints(table, None, str(tmp_path / "none"))


def test_a_threshold_is_told_at_the_prevalence_of_the_run(tiny: Path, tmp_path: Path) -> None:
    own = describe(tiny)
    table = str(write_verdicts(tmp_path / "verdicts", [verdict_row("a.tar#1", 0, model=own.digest)]))
    checkpoints = Checkpoints(table, str(tiny))
    for prevalence in (0.1, 0.5):
        logit, wanted = own.calibration.probability(np.array([2.0, 0.5]), prevalence)
        assert checkpoints.chance(own.digest, 0.5, (2.0, logit)) == pytest.approx(wanted)
    assert checkpoints.chance(own.digest, 0.5, (99.0, 1.0)) is None
    assert checkpoints.chance("another", 0.5, (2.0, 0.7)) is None


def test_views_are_known_by_their_fingerprint_alone(tmp_path: Path) -> None:
    table = str(write_verdicts(tmp_path / "verdicts", [verdict_row("a.tar#1", 0)]))
    resized = Preprocess(mode="resize")
    assert Checkpoints(table).spec("old", resized.fingerprint) == resized
    assert Checkpoints(table).spec("old", "0123456789abcdef") is None

"""Models of a run: each is known by its digest before its weights are loaded, and all share a backbone."""

from pathlib import Path

import pytest

from mole.config import describe
from mole.errors import SettingsError
from pipeline.registry import EMBEDDED, locate
from pipeline.scan.models import describe_models


def test_a_model_is_known_by_the_digest_of_its_checkpoint() -> None:
    [model] = describe_models([EMBEDDED])
    assert model.location == EMBEDDED
    assert model.digest == describe(locate(EMBEDDED)).digest


def test_a_location_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    with pytest.raises(SettingsError, match="nothing"):
        describe_models([EMBEDDED, missing])

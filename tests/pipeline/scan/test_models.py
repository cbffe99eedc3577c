"""Models of a run: each is known by its digest before its weights are loaded, and all share a backbone."""

from pathlib import Path

import pytest

from mole.config import describe
from mole.errors import SettingsError
from pipeline.registry import EMBEDDED, locate
from pipeline.scan.models import describe_models
from tests.tiny import tiny_checkpoint


def test_a_model_is_known_by_the_digest_of_its_checkpoint() -> None:
    [model] = describe_models([EMBEDDED])
    assert model.location == EMBEDDED
    assert model.digest == describe(locate(EMBEDDED)).digest


def test_workers_are_told_of_a_model_by_a_path_that_holds_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny_checkpoint(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    [model] = describe_models(["own"])
    assert model.location == str(made)


def test_a_location_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    with pytest.raises(SettingsError, match="nothing"):
        describe_models([EMBEDDED, missing])

"""A model is found where it was named, and brought here whole where it lies in a store."""

from pathlib import Path

import fsspec
import pytest

from mole.config import describe
from mole.errors import ModelError
from pipeline import registry
from tests.tiny import tiny_checkpoint


def test_the_embedded_model_lies_in_the_package(root: Path) -> None:
    assert registry.locate("embedded") == root / "mole" / "embedded"


def test_a_folder_is_found_and_one_without_a_checkpoint_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny")
    assert registry.locate(str(folder)) == folder
    with pytest.raises(ModelError, match=r"holds no config.json"):
        registry.locate(str(tmp_path))


def test_a_model_in_a_store_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tiny_checkpoint(tmp_path / "tiny")
    fsspec.filesystem("memory").put(str(folder), "/models/tiny", recursive=True)
    copied = registry.locate("memory://models/tiny")
    assert describe(copied).digest == describe(folder).digest
    assert (copied / "tower.safetensors").read_bytes() == (folder / "tower.safetensors").read_bytes()
    with pytest.raises(ModelError, match="no such file"):
        registry.locate("memory://models/none")

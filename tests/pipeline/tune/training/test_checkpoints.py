"""Laws of checkpoints: the last one is complete, whenever the writer dies."""

from pathlib import Path

import pytest

from mole.errors import StorageError
from pipeline.storage import storage
from pipeline.storage.folder import walk
from pipeline.tune.training.checkpoints import CheckpointRecord, last_checkpoint, latest_record, save_checkpoint


def checkpoint(folder: Path, word: str) -> Path:
    folder.mkdir()
    for name in ("adapters", "optimizer"):
        (folder / name).write_text(f"{name} {word}")
    return folder


def words(run: str) -> dict[str, str]:
    with last_checkpoint(run) as folder:
        return {} if folder is None else {file.name: file.read_text() for file in folder.iterdir()}


@pytest.fixture(params=["local", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "run") if request.param == "local" else f"memory://{tmp_path.name}/run"


def test_a_run_that_has_not_begun_has_no_checkpoint(run: str) -> None:
    assert latest_record(run) == CheckpointRecord()
    assert words(run) == {}


def test_the_last_checkpoint_is_the_newest_and_the_one_before_is_gone(run: str, tmp_path: Path) -> None:
    save_checkpoint(run, 16, checkpoint(tmp_path / "one", "one"))
    save_checkpoint(run, 32, checkpoint(tmp_path / "two", "two"))
    assert latest_record(run).steps == 32
    assert words(run) == {"adapters": "adapters two", "optimizer": "optimizer two"}
    assert len([file for file in walk(run) if "checkpoints" in file.url]) == 2


@pytest.mark.parametrize("survives", range(3))
def test_a_writer_that_dies_leaves_the_checkpoint_before_and_its_step(
    survives: int, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(run, 16, checkpoint(tmp_path / "one", "one"))
    real = storage.write
    written: list[str] = []

    def dies(url: str, data: bytes) -> None:
        if len(written) == survives:
            raise StorageError("dead")
        written.append(url)
        real(url, data)

    monkeypatch.setattr(storage, "write", dies)
    with pytest.raises(StorageError, match="dead"):
        save_checkpoint(run, 32, checkpoint(tmp_path / "two", "two"))
    monkeypatch.setattr(storage, "write", real)
    assert latest_record(run).steps == 16
    assert words(run) == {"adapters": "adapters one", "optimizer": "optimizer one"}
    save_checkpoint(run, 32, tmp_path / "two")
    assert words(run)["adapters"] == "adapters two"

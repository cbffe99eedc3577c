"""Scratch folders: gone at the end, kept while their process lives, removed by the next run where it was killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.runtime.scratch import LOCK, held, remove_abandoned, scratch_folder

HOLD = """
import sys
from pipeline.runtime.scratch import scratch_folder
with scratch_folder("mole-test-") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_scratch_folder_is_gone_at_the_end_also_after_an_error(temporary: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch_folder("mole-test-") as folder:
        (folder / "data").write_bytes(b"x" * (1 // 0))
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_that_of_a_living_one_is_not(
    temporary: Path, root: Path
) -> None:
    (temporary / "mole-test-of-somebody").mkdir()  # never held
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdin is not None
    theirs = Path(holder.stdout.readline().strip())
    with scratch_folder("mole-test-") as mine:
        assert theirs.is_dir() and mine != theirs and list(mine.iterdir()) == []
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert theirs.is_dir()
    with scratch_folder("mole-test-"):
        assert not theirs.exists()
    assert [path.name for path in temporary.iterdir()] == ["mole-test-of-somebody"]


def test_only_what_was_held_once_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with held(tmp_path / "b"):
        assert remove_abandoned(tmp_path.iterdir()) == 0
    assert (tmp_path / "b" / LOCK).exists()
    assert remove_abandoned(tmp_path.iterdir()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]

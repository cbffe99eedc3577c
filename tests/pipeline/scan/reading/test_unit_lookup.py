"""Unit lookup: a file's unit is named by its place and the identity of its bytes, a missing file by its fault."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.records import Status
from pipeline.scan.reading.unit import Name, Unit
from pipeline.scan.reading.unit_lookup import FILES_PER_LISTING, current_name, look_up, look_up_all
from pipeline.storage.file_info import FileInfo


def test_the_name_of_a_file_changes_with_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"one")
    before = Name.parse(current_name(str(file)))
    file.write_bytes(b"three")
    after = Name.parse(current_name(str(file)))
    assert before.url == after.url == str(file)
    assert before.identity != after.identity


def test_a_missing_file_is_a_unit_with_its_fault_and_a_folder_is_none(tmp_path: Path) -> None:
    missing = look_up(str(tmp_path / "gone.jpg"))
    assert isinstance(missing, Unit)
    assert missing.fault is not None
    assert missing.fault[0] is Status.MISSING
    assert look_up(str(tmp_path)) is None


@pytest.mark.parametrize("count", [2, 2 * FILES_PER_LISTING], ids=["one by one", "by one listing"])
def test_many_files_are_found_in_the_order_in_which_they_are_named(tmp_path: Path, count: int) -> None:
    names = [f"{number}.jpg" for number in reversed(range(count))]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"x" * number)
    found = list(look_up_all([str(tmp_path / name) for name in names]))
    assert [place.size for place in found if isinstance(place, FileInfo)] == list(range(count))


def test_a_folder_among_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a folder"):
        list(look_up_all([str(tmp_path)]))

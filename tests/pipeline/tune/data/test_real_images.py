"""Laws of real images that need no label."""

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.real_images import read_reals
from pipeline.tune.data.samples import open_sample
from tests.pictures import picture
from tests.web import site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of them in a folder of its own, and a file that is none."""
    (tmp_path / "photos" / "2020").mkdir(parents=True)
    (tmp_path / "photos" / "a.jpg").write_bytes(picture(1))
    (tmp_path / "photos" / "2020" / "b.JPG").write_bytes(picture(2))
    (tmp_path / "photos" / "notes.md").write_text("")
    return tmp_path / "photos"


def names(place: Path) -> list[str]:
    return sorted(Path(sample.uri).name for sample in read_reals([str(place)], "own")[0])


def test_a_folder_is_real_images_of_the_named_collection(folder: Path) -> None:
    found, skipped = read_reals([str(folder)], "own photographs")
    assert sorted(Path(sample.uri).name for sample in found) == ["a.jpg", "b.JPG"]
    assert {(sample.label, sample.source) for sample in found} == {(0, "own photographs")}
    assert skipped == {"not an image by its name": 1}


def test_a_folder_of_generated_images_among_them_is_refused(folder: Path) -> None:
    (folder / "1_fake").mkdir()
    (folder / "1_fake" / "c.jpg").write_bytes(picture(3))
    with pytest.raises(SettingsError, match="'1_fake'"):
        read_reals([str(folder)], "own")


@pytest.mark.parametrize("name", ["list.csv", "list.txt", "list.parquet"])
def test_a_listing_names_images_beside_it(folder: Path, name: str) -> None:
    lines = ["a.jpg", "2020/b.JPG"]
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"uri": lines}), folder / name)
    else:
        (folder / name).write_text("\n".join((["path"] if name.endswith(".csv") else []) + lines) + "\n")
    assert names(folder / name) == ["a.jpg", "b.JPG"]


def test_of_a_table_that_has_labels_the_real_images_alone_are_taken(folder: Path) -> None:
    (folder / "list.csv").write_text("path,label\na.jpg,real\n2020/b.JPG,fake\n")
    found, skipped = read_reals([str(folder / "list.csv")], "own")
    assert len(found) == 1 and skipped == {"not labelled real": 1}


def test_images_in_a_shard_are_read_by_their_range(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for name, data in (("a.jpg", picture(1)), ("a.txt", b"words"), ("b.jpg", picture(2))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    found, _ = read_reals([str(tmp_path / "photos.tar")], "own")
    assert len(found) == 2 and getattr(open_sample(found[1]), "ndim", 0) == 3


def test_rows_of_a_verdict_table_that_were_read_are_images_by_their_range(tmp_path: Path) -> None:
    rows = {"uri": ["/s.tar", "/t.jpg"], "offset": [512, None], "length": [9, None], "status": ["ok", "truncated"]}
    pq.write_table(pa.table(rows), tmp_path / "part.parquet")
    found, skipped = read_reals([str(tmp_path)], "own")
    assert [(sample.uri, sample.offset) for sample in found] == [("/s.tar", 512)]
    assert skipped == {"row without an image": 1}


def test_an_image_that_is_named_twice_is_one(folder: Path) -> None:
    found, skipped = read_reals([str(folder), str(folder / "a.jpg")], "own")
    assert len(found) == 2 and skipped["named twice"] == 1


@pytest.mark.parametrize("place", ["nowhere", "table.csv", "packed.tar.gz"])
def test_what_is_not_understood_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "table.csv").write_text("name\nx\n")
    (tmp_path / "packed.tar.gz").write_bytes(b"")
    with pytest.raises(SettingsError, match=place.replace(".", r"\.")):
        read_reals([str(tmp_path / place)], "own")


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_a_list_that_lies_elsewhere_names_no_file_of_this_machine(name: str, folder: Path) -> None:
    listed = f"uri\n{folder}/a.jpg\n".encode()
    with site({f"/{name}": lambda request: request.ranged(listed if name.endswith("csv") else listed[4:])}) as outer:
        [sample] = read_reals([f"{outer.url}/{name}"], "own")[0]
    with pytest.raises(OSError, match="refused"):
        open_sample(sample)

"""Laws of labelled shards."""

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from mole.errors import SettingsError, StorageError
from pipeline.tune.data.label_words import VALUES
from pipeline.tune.data.samples import read as read_bytes
from pipeline.tune.data.shards import read
from tests.pictures import picture, write_shard


def members(count: int) -> dict[str, bytes]:
    """Make samples that alternate in their label, half told by `.cls` and half by `.json`."""
    made: dict[str, bytes] = {}
    for number in range(count):
        made[f"{number:04}.jpg"] = picture(number)
        if number % 4 < 2:
            made[f"{number:04}.cls"] = str(number % 2).encode()
        else:
            name = "label_generator" if number % 8 > 3 else "generator"  # as an export writes it, and as others do
            note = {"label": ("real", "fake")[number % 2], name: "flux", "group": f"g{number}"}
            made[f"{number:04}.json"] = json.dumps(note).encode()
    return made


def test_every_image_is_found_with_its_label(tmp_path: Path) -> None:
    url = str(write_shard(tmp_path / "progan-000001.tar", members(8)))
    name, samples, skipped = read([url], VALUES)
    assert [sample.label for sample in samples] == [0, 1] * 4
    assert [sample.source for sample in samples] == ["progan", "progan", "flux", "flux"] * 2
    assert [sample.group for sample in samples[2:4]] == ["g2", "g3"]
    assert (name, skipped) == ("1 labelled WebDataset shards", Counter())


def test_a_range_holds_the_image_and_nothing_else(tmp_path: Path) -> None:
    url = str(write_shard(tmp_path / "s.tar", members(3)))
    for number, sample in enumerate(read([url], VALUES)[1]):
        assert read_bytes(sample) == picture(number)
        with Image.open(io.BytesIO(read_bytes(sample))) as image:
            image.load()


def test_several_shards_keep_their_order(tmp_path: Path) -> None:
    urls = [str(write_shard(tmp_path / f"{name}.tar", members(2))) for name in "ba"]
    assert [sample.uri for sample in read(urls, VALUES)[1]] == [urls[0], urls[0], urls[1], urls[1]]


def test_samples_without_label_or_image_are_counted(tmp_path: Path) -> None:
    broken = {
        "0.jpg": picture(0),
        "1.cls": b"1",
        "2.jpg": picture(2),
        "2.json": b"{oops",
        "3.png": picture(3),
        "3.cls": b"1",
        "4.jpg": picture(4),
        "4.json": b"[" * 200_000,
    }
    _, samples, skipped = read([str(write_shard(tmp_path / "s.tar", broken))], VALUES)
    assert len(samples) == 1
    assert skipped == Counter({"sample without a label": 3, "sample without an image": 1})


@pytest.mark.parametrize("cut", [700, 5000, -512 * 24])
def test_a_torn_archive_is_counted_and_what_came_before_is_kept(tmp_path: Path, cut: int) -> None:
    shard = write_shard(tmp_path / "s.tar", members(8))
    shard.write_bytes(shard.read_bytes()[:cut])
    _, samples, skipped = read([str(shard)], VALUES)
    assert skipped["torn archive"] == 1
    assert len(samples) < 8


def test_an_archive_that_ends_at_a_broken_header_is_torn(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s.tar", members(4))
    data = bytearray(shard.read_bytes())
    at = data.rindex(b"0003.jpg")
    data[at : at + 512] = b"\x07" * 512
    shard.write_bytes(data)
    _, samples, skipped = read([str(shard)], VALUES)
    assert (len(samples), skipped["torn archive"]) == (3, 1)


def test_bytes_that_are_no_archive_are_torn(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(b"<html>" * 1000)
    assert read([str(tmp_path / "s.tar")], VALUES)[2] == Counter({"torn archive": 1})


def test_a_compressed_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="s.tar.gz' is compressed.*unpack"):
        read([str(tmp_path / "s.tar.gz")], VALUES)


def test_a_label_that_is_neither_is_refused(tmp_path: Path) -> None:
    url = str(write_shard(tmp_path / "s.tar", {"0.jpg": picture(0), "0.cls": b"7"}))
    with pytest.raises(SettingsError, match="label of '0.jpg' in .* got '7'"):
        read([url], VALUES)


def test_a_shard_that_is_not_there_is_the_stores_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="none.tar"):
        read([str(tmp_path / "none.tar")], VALUES)

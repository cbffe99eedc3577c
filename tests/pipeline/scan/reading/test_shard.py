"""What a sample is, which of its members is the image, and that no member is lost by its name."""

import gzip
import io
import json
from pathlib import Path

import pytest
import webdataset

from pipeline.scan.reading.archive import Tear
from pipeline.scan.reading.shard import Sample, decompressed, samples, split_name
from tests.pipeline.scan.reading.test_archive import tar


def read(bodies: dict[str, bytes], image_member: str | None = None, carry: tuple[str, ...] = ()) -> list[Sample]:
    """Group an archive of some files."""
    found = list(samples(io.BytesIO(tar(bodies)), image_member=image_member, carry=carry, max_bytes=1000))
    return [sample for sample in found if not isinstance(sample, Tear)]


@pytest.mark.parametrize(
    ("name", "key", "extension"),
    [
        ("000.jpg", "000", "jpg"),
        ("a/b.c/000.seg.PNG", "a/b.c/000", "seg.png"),
        ("./x.jpg", "./x", "jpg"),
        ("README", "README", ""),
        (".hidden.jpg", ".hidden", "jpg"),
        ("d/.DS_Store", "d/.DS_Store", ""),
    ],
)
def test_a_key_ends_at_the_first_dot_behind_the_folders(name: str, key: str, extension: str) -> None:
    assert split_name(name) == (key, extension)


def test_members_that_share_a_key_are_one_sample() -> None:
    found = read({"1.json": b"{}", "1.jpg": b"1", "2.jpg": b"2", "2.txt": b"two"})
    assert [(sample.key, list(sample.members)) for sample in found] == [("1", ["json", "jpg"]), ("2", ["jpg", "txt"])]


def test_what_webdataset_reads_has_the_same_keys_here(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for number in range(5):
            writer.write({"__key__": f"d/{number:03}", "jpg": b"x", "seg.png": b"y", "json": b"{}"})
    theirs = [sample["__key__"] for sample in webdataset.WebDataset(str(path), shardshuffle=False)]
    with path.open("rb") as stream:
        ours = [
            sample.key
            for sample in samples(stream, image_member=None, carry=(), max_bytes=1000)
            if isinstance(sample, Sample)
        ]
    assert ours == theirs


def test_a_plain_image_is_chosen_before_a_compound_one_and_the_named_one_before_both() -> None:
    (sample,) = read({"1.seg.png": b"seg", "1.jpg": b"photo", "1.webp": b"other"})
    plain, named = sample.image(None), sample.image("seg.png")
    assert plain is not None and plain.data == b"photo"
    assert named is not None and named.name == "1.seg.png"
    assert sample.image("bmp") is None


def test_a_member_that_its_sample_has_already_begins_a_new_one() -> None:
    twice = tar({"1.jpg": b"first"}) + tar({"1.jpg": b"second"})
    found = list(samples(io.BytesIO(twice), image_member=None, carry=(), max_bytes=1000))
    assert [sample.members["jpg"].data for sample in found if isinstance(sample, Sample)] == [b"first", b"second"]


def test_a_member_above_the_bound_keeps_its_length_and_not_its_bytes() -> None:
    (sample,) = read({"1.jpg": b"x" * 1001})
    image = sample.image(None)
    assert image is not None and image.data is None and image.length == 1001


def test_carried_columns_come_from_the_json_and_then_from_the_texts() -> None:
    described = json.dumps({"url": "https://a/b", "size": [1, 2], "none": None}).encode()
    (sample,) = read(
        {"1.jpg": b"", "1.json": described, "1.txt": b"a caption"}, carry=("url", "size", "none", "txt", "absent")
    )
    assert sample.metadata(("url", "size", "none", "txt", "absent")) == {
        "url": "https://a/b",
        "size": "[1, 2]",
        "none": None,
        "txt": "a caption",
        "absent": None,
    }


def test_a_broken_json_carries_nothing() -> None:
    (sample,) = read({"1.jpg": b"", "1.json": b"{"}, carry=("url",))
    assert sample.metadata(("url",)) == {"url": None}


def test_a_compressed_shard_reads_as_its_archive() -> None:
    stream = io.BytesIO(gzip.compress(tar({"1.jpg": b"1"})))
    found = list(samples(decompressed(stream, "x.TGZ"), image_member=None, carry=(), max_bytes=9))
    assert [sample.key for sample in found if isinstance(sample, Sample)] == ["1"]


def test_a_compressed_shard_that_is_cut_is_a_tear() -> None:
    whole = gzip.compress(tar({f"{number}.jpg": bytes([number]) * 99 for number in range(40)}))
    found = list(samples(decompressed(io.BytesIO(whole[:-40]), "x.tar.gz"), image_member=None, carry=(), max_bytes=999))
    assert [type(part) for part in found].count(Tear) == 1

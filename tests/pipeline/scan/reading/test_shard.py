"""Shard: which members form a sample, which of them are images, and that none is lost because of its name."""

import gzip
import io
import json
from pathlib import Path

import pytest
import webdataset

from pipeline.scan.reading import shard
from pipeline.scan.reading.archive import ArchiveFault, SkippedEntry
from pipeline.scan.reading.compression import decompressed
from pipeline.scan.reading.shard import Sample, as_text, is_shard, samples, split_name
from tests.pictures import picture
from tests.pipeline.scan.reading.test_archive import tar


def read(bodies: dict[str, bytes], image_member: str | None = None, carry: tuple[str, ...] = ()) -> list[Sample]:
    """Group an archive of some files."""
    found = list(samples(io.BytesIO(tar(bodies)), image_member=image_member, carry=carry, max_bytes=1000))
    return [sample for sample in found if isinstance(sample, Sample)]


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


def keys(found: list[Sample]) -> list[tuple[str, bytes | None]]:
    """Name every image, with its bytes."""
    return [(key, member.data) for sample in found for key, _, member in sample.images()]


def test_each_image_of_a_sample_is_one_and_has_a_key_of_its_own() -> None:
    bodies = {
        "s0.left.png": b"l",
        "s0.json": b"{}",
        "s0.right.png": b"r",
        "s1.jpg": b"1",
        "s1.txt": b"x",
        "s2.seg.png": b"2",
    }
    assert keys(read(bodies)) == [("s0.left.png", b"l"), ("s0.right.png", b"r"), ("s1", b"1"), ("s2", b"2")]


def test_the_member_that_is_named_is_the_only_image() -> None:
    bodies = {"s0.left.png": b"l", "s0.right.png": b"r", "s1.jpg": b"1"}
    found = read(bodies, "right.png")
    assert keys(found) == [("s0", b"r")]
    assert [sample.pictures for sample in found] == [["right.png"], []]


def test_an_image_is_known_by_its_first_bytes_where_its_name_does_not_say_so() -> None:
    jpeg, png = picture(1), picture(2, form="png")
    bodies = {"0a1b": jpeg, "x/0a1c": png, "b.jpg_large": jpeg, "._c.jpg": jpeg, "README": b"read me", "d.cls": b"7"}
    found = list(samples(io.BytesIO(tar(bodies)), image_member=None, carry=(), max_bytes=1 << 20))
    images = [key for part in found if isinstance(part, Sample) for key, _, _ in part.images()]
    assert images == ["0a1b", "x/0a1c", "b", "._c"]


APPLE = bytes.fromhex("00051607000200004d6163204f5320582020202020202020") + bytes(100)


def test_what_systems_leave_is_passed_over_and_cuts_no_sample_in_two() -> None:
    bodies = {
        "./._1.jpg": APPLE,
        "./1.jpg": b"1",
        "./._1.json": APPLE,
        "./1.json": b'{"caption": "one"}',
        "__MACOSX/._2.jpg": APPLE,
        ".DS_Store": b"x",
        "Thumbs.db": b"x",
        "__notes__": b"x",
        "./2.JPG": b"2",
    }
    found = list(samples(io.BytesIO(tar(bodies)), image_member=None, carry=("caption",), max_bytes=1000))
    whole = [part for part in found if isinstance(part, Sample)]
    assert keys(whole) == [("./1", b"1"), ("./2", b"2")]
    assert whole[0].metadata(("caption",)) == {"caption": "one"}
    assert len([part for part in found if isinstance(part, SkippedEntry)]) == 6


def test_thousands_of_images_of_one_key_are_held_a_few_at_a_time_and_each_has_its_own_metadata() -> None:
    bodies = {"img.json": b'{"set": "all"}'}
    for number in range(1000):
        bodies |= {f"img.{number}.jpg": b"%d" % number, f"img.{number}.json": b'{"n": %d}' % number}
    found = read(bodies, carry=("set", "n"))
    told = [
        (key, sample.metadata(("set", "n"), extension))
        for sample in found
        for key, extension, _ in sample.images()
        if len(sample.pictures) <= 64
    ]
    assert told == [(f"img.{number}.jpg", {"set": "all", "n": str(number)}) for number in range(1000)]


@pytest.mark.parametrize(("bound", "most"), [("MAX_OTHERS", 10), ("MAX_METADATA_BYTES", 100)])
def test_other_members_of_a_sample_are_held_within_a_bound_and_its_images_all(
    bound: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, bound, most)
    texts = {f"1.{number}.json": b'{"n": 123}' for number in range(50)}
    (sample,) = read({**texts, "1.jpg": b"1", "1.png": b"2"}, carry=("n",))
    assert len(sample.members) == 12 and sample.pictures == ["jpg", "png"]


def test_a_member_that_its_sample_has_already_begins_a_new_one() -> None:
    twice = tar({"1.jpg": b"first"}) + tar({"1.jpg": b"second"})
    found = list(samples(io.BytesIO(twice), image_member=None, carry=(), max_bytes=1000))
    assert [sample.members["jpg"].data for sample in found if isinstance(sample, Sample)] == [b"first", b"second"]


def test_a_member_above_the_bound_keeps_its_length_and_not_its_bytes() -> None:
    (sample,) = read({"1.jpg": b"x" * 1001})
    [(_, _, image)] = sample.images()
    assert image.data is None and image.length == 1001


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
    found = list(samples(decompressed(stream)[0], image_member=None, carry=(), max_bytes=9))
    assert [sample.key for sample in found if isinstance(sample, Sample)] == ["1"]


def test_a_compressed_shard_that_is_cut_is_a_tear() -> None:
    whole = gzip.compress(tar({f"{number}.jpg": bytes([number]) * 99 for number in range(40)}))
    found = list(samples(decompressed(io.BytesIO(whole[:-40]))[0], image_member=None, carry=(), max_bytes=999))
    assert [type(part) for part in found].count(ArchiveFault) == 1


def test_a_shard_is_known_by_the_end_of_its_name_and_a_signed_address_by_its_path() -> None:
    sound = ["a.tar", "a.TAR.GZ", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.tar.zst", "https://x/0.tar?X-Signature=a.b/c"]
    assert all(is_shard(name) for name in sound)
    assert not any(is_shard(name) for name in ("a.jpg", "tar", "https://x/a.jpg?shard=0.tar", "a.tar?x"))


def test_carried_bytes_are_text_where_they_can_be() -> None:
    values = (b"caf\xc3\xa9", b"\xff\xfe", {"a": b"x"}, 3, None)
    assert [as_text(value) for value in values] == ["café", "//4=", '{"a": "x"}', "3", None]

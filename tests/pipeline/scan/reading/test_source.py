"""Source: every way to name images yields units, each once, and counts what was skipped."""

import os
import re
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError, StorageError
from pipeline.records import Status
from pipeline.review.page import report, suspicious_csv
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Kind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images in all sorts of names, other files, and shards."""
    for name in ("a.jpg", "B.JPG", "c.d.JPeG", "sub/e.webp", "sub/f.txt", "notes", "shards/000.tar", "shards/001.tar"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_a_folder_gives_its_images_whatever_their_case_and_counts_the_rest(folder: Path) -> None:
    source = Source([f"{folder}/"])
    assert sorted(unit.key for unit in source.units()) == ["B.JPG", "a.jpg", "c.d.JPeG", "sub/e.webp"]
    assert (source.skipped, source.shards_skipped) == (4, 2)


def test_all_files_tries_them_all(folder: Path) -> None:
    source = Source([str(folder)], all_files=True)
    assert len(list(source.units())) == 8
    assert source.skipped == 0


def test_braces_and_globs_name_shards_and_a_shard_named_twice_is_one_unit(folder: Path) -> None:
    texts = [f"{folder}/shards/{{000..001}}.tar", f"{folder}/shards/*.tar", f"{folder}/shards/000.tar"]
    units = list(Source(texts).units())
    assert [Path(unit.uri).name for unit in units] == ["000.tar", "001.tar"]
    assert {unit.kind for unit in units} == {Kind.SHARD}


@pytest.mark.parametrize("last", [2, 40])
def test_a_shard_that_braces_name_and_nobody_has_is_a_unit_with_its_fault(folder: Path, last: int) -> None:
    units = list(Source([f"{folder}/shards/{{000..{last:03}}}.tar"]).units())
    assert len(units) == last + 1
    assert [unit.fault and unit.fault[0] for unit in units[:3]] == [None, None, Status.MISSING]


def test_a_unit_whose_bytes_change_has_another_name(folder: Path) -> None:
    source = Source([str(folder / "a.jpg")])
    before = [unit.name for unit in source.units()]
    os.utime(folder / "a.jpg", ns=(1, 1))
    touched = [unit.name for unit in source.units()]
    (folder / "a.jpg").write_bytes(b"longer than before")
    os.utime(folder / "a.jpg", ns=(1, 1))
    grown = [unit.name for unit in source.units()]
    assert len({*before, *touched, *grown}) == 3


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path: Path) -> None:
    odd = tmp_path / "photos [2019] {x}"
    odd.mkdir()
    (odd / "a.jpg").write_bytes(b"a")
    assert [unit.key for unit in Source([str(odd)]).units()] == ["a.jpg"]


def test_links_are_followed_and_a_circle_of_links_ends(folder: Path) -> None:
    (folder / "sub" / "circle").symlink_to(folder)
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    keys = [unit.key for unit in Source([str(folder)]).units()]
    assert "gone.jpg" in keys
    assert keys.count("a.jpg") == 1 and len(keys) == 5


@pytest.mark.parametrize("text", ["nowhere", "nowhere.jpg", "*.tar", "notes", "{0..", "foo://bar/x.tar"])
def test_a_source_that_is_nothing_is_refused_by_its_name(folder: Path, text: str) -> None:
    named = text if "://" in text else f"{folder}/{text}"
    with pytest.raises(SettingsError, match="nowhere|tar|notes|0..|foo"):
        list(Source([named]).units())


def test_all_that_is_named_and_not_there_is_refused_together(folder: Path) -> None:
    named = [f"{folder}/{name}" for name in ("shards/999.tar", "a.jpg", "typo/", "no.csv", "shards/{7..9}.tar")]
    with pytest.raises(SettingsError) as refused:
        list(Source(named).units())
    lines = str(refused.value).split("\n")
    assert [name in line for name, line in zip(("999.tar", "typo/", "no.csv", "{7..9}"), lines, strict=True)] == [
        True
    ] * 4
    assert "none of its 3 files can be read" in lines[3]


@pytest.mark.parametrize("names", [[], [".DS_Store", ".thumbnails/a.jpg"], ["x.tar", "sub/notes.txt", ".a.jpg"]])
def test_a_folder_without_an_image_is_refused_and_its_hint_works(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    with pytest.raises(SettingsError, match="no image to scan") as refused:
        list(Source([str(tmp_path)]).units())
    assert ("--all-files tries each file" in str(refused.value)) is bool(names)
    assert ("there are no files" in str(refused.value)) is not bool(names)
    if names:
        assert len(list(Source([str(tmp_path)], all_files=True).units())) == len(names)
    for shard in re.findall("--source ([^ ]*x.tar)", str(refused.value)):
        assert [unit.kind for unit in Source([shard]).units()] == [Kind.SHARD]


def test_names_that_begin_with_a_dot_are_passed_over_and_counted(folder: Path) -> None:
    for name in (".a.jpg", "sub/._e.webp", ".git/x.jpg", ".git/y.jpg", "sub/.thumbnails/z.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"1")
    source = Source([str(folder)])
    assert len(list(source.units())) == 4 and (source.hidden, source.skipped) == (4, 4)
    source = Source([f"{folder}/*.jpg"])
    assert [unit.key for unit in source.units()] == ["a.jpg"] and source.hidden == 1
    assert len(list(Source([f"{folder}/.*.jpg"]).units())) == 1
    source = Source([str(folder)], all_files=True)
    assert len(list(source.units())) == 13 and source.hidden == 0


def test_odd_entries_of_a_folder_are_units_with_their_reason(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe.txt")
    (folder / "self.jpg").symlink_to("self.jpg")
    with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb") as stream:
        stream.write(b"1")
    units = {unit.key: unit for unit in Source([str(folder)]).units()}
    faults = {key: unit.fault[0] for key, unit in units.items() if unit.fault}
    assert faults == {"pipe.jpg": Status.NOT_AN_IMAGE, "self.jpg": Status.MISSING}
    assert units["caf%E9.jpg"].uri == f"file://{folder}/caf%E9.jpg"
    assert [unit.name for unit in Source([units["caf%E9.jpg"].uri]).units()] == [units["caf%E9.jpg"].name]


@pytest.mark.parametrize("name", ["pipe.jpg", "pipe.tar", "pipe.csv"])
def test_what_is_no_file_is_refused_where_it_is_named_and_a_row_where_others_are(name: str, folder: Path) -> None:
    os.mkfifo(folder / name)
    with pytest.raises(SettingsError, match="a named pipe"):
        list(Source([f"{folder}/{name}"]).units())
    if not name.endswith("csv"):
        units = list(Source([f"{folder}/{{{name},a.jpg}}"]).units())
        assert [unit.fault and unit.fault[0] for unit in units] == [Status.NOT_AN_IMAGE, None]


def test_two_colons_are_two_colons(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a::b").mkdir()
    (folder / "a::b" / "Foo::Bar.jpg").write_bytes(b"1")
    monkeypatch.chdir(folder)
    for text in ("a::b", f"{folder}/a::b/", "a::b/*.jpg", "a::b/Foo::Bar.jpg"):
        assert [unit.uri for unit in Source([text]).units()] == [f"{folder}/a::b/Foo::Bar.jpg"]
    with pytest.raises(SettingsError, match="chained URLs are not read"):
        list(Source(["simplecache::s3://b/a.tar"]).units())
    with pytest.raises(SettingsError, match="chained URLs are not read"):
        list(Source(["zip://a.jpg::s3://b/a.zip"]).units())


def test_a_memory_store_is_a_place_like_another() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/lake/a.jpg", b"a")
    fs.pipe_file("/lake/b.txt", b"a.jpg\n")
    assert [unit.uri for unit in Source(["memory://lake"]).units()] == ["memory:///lake/a.jpg"]
    assert [unit.kind for unit in Source(["memory://lake/b.txt"]).units()] == [Kind.SLICE]


def test_a_store_that_does_not_answer_is_a_fault_of_storage() -> None:
    with pytest.raises(StorageError, match="127.0.0.1:9"):
        list(Source(["http://127.0.0.1:9/a.tar"]).units())


def test_a_folder_with_images_does_not_open_its_tables_and_counts_them(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    pq.write_table(pa.table({"url": ["b.jpg"]}), tmp_path / "l.parquet")
    source = Source([str(tmp_path)])
    assert [unit.key for unit in source.units()] == ["a.jpg"]
    assert source.skipped == 1
    (tmp_path / "a.jpg").unlink()
    assert [unit.kind for unit in source.units()] == [Kind.SLICE]
    assert source.skipped == 0


def test_a_named_file_that_is_no_parquet_is_refused_and_one_of_several_is_a_unit_with_its_fault(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"<html>")
    with pytest.raises(SettingsError, match=r"--source .*a.parquet.* is damaged"):
        list(Source([str(tmp_path / "a.parquet")]).units())
    (unit,) = Source([f"{tmp_path}/*.parquet"]).units()
    assert unit.fault is not None and unit.fault[0] == "torn_archive"


@pytest.mark.parametrize("text", ["", "url,caption\n"])
def test_a_listing_without_a_row_is_refused_where_it_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(SettingsError, match=r"l\.csv"):
        list(Source([str(tmp_path / "l.csv")]).units())


@pytest.mark.parametrize("output", ["verdicts", "."])
def test_what_the_scan_writes_is_no_part_of_the_folder_or_pattern_around_it(folder: Path, output: str) -> None:
    own = [f"model={'0' * 32}/part-1.parquet", "_runs/1.json", "_lease.json", report.PAGE, suspicious_csv.NAME]
    for name in [*own, *(["labels/a.jpg", "export/0.tar", "report.html"] if output != "." else [])]:
        (folder / output / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / output / name).write_bytes(b"own")
    bare, source = Source([str(folder)]), Source([f"{folder}/"], output=str(folder / output))
    assert sorted(unit.key for unit in source.units()) == ["B.JPG", "a.jpg", "c.d.JPeG", "sub/e.webp"]
    assert (source.skipped, source.shards_skipped) == (4, 2)
    assert len(list(bare.units())) + bare.skipped > 8, "without the output it is counted"
    for text, keys in ((f"{folder}/**/*.jpg", ["a.jpg"]), (f"{folder}/[av]*", ["a.jpg"])):
        source = Source([text], output=str(folder / output))
        assert [unit.key for unit in source.units()] == keys


def test_who_names_what_lies_in_an_output_scans_it(folder: Path) -> None:
    (folder / "verdicts" / "export").mkdir(parents=True)
    (folder / "verdicts" / "export" / "a.jpg").write_bytes(b"a")
    for text in ("verdicts/export", "verdicts/export/*.jpg", "verdicts/export/a.jpg"):
        source = Source([f"{folder}/{text}"], output=str(folder / "verdicts"))
        assert [unit.key for unit in source.units()] == ["a.jpg"]

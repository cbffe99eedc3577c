"""Laws of layouts: how inputs are recognised, described and refused."""

from pathlib import Path

import fsspec
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.layout import gather, recognise
from pipeline.tune.data.samples import open_sample
from pipeline.tune.data.source_options import SourceOptions
from tests.pictures import picture, write_shard


def lay(folder: Path, *files: str) -> str:
    """Write pictures into a folder."""
    for number, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(picture(number))
    return str(folder)


def test_folders_are_recognised_and_described(tmp_path: Path) -> None:
    layout = recognise(lay(tmp_path, "flux/0_real/a.jpg", "flux/1_fake/b.jpg", "sdxl/1_fake/c.jpg", "notes.md"))
    told = "<generator>/{0_real,1_fake}: 1 real, 2 fake, 2 sources, 1 skipped (not an image by its name)"
    assert str(layout) == told
    assert layout.reals == {"flux": "flux"}


def test_a_table_speaks_for_its_folder(tmp_path: Path) -> None:
    place = lay(tmp_path, "0_real/a.jpg", "1_fake/b.jpg")
    (tmp_path / "samples.csv").write_text(
        "uri,label,generator,group\n0_real/a.jpg,real,coco,7\n1_fake/b.jpg,fake,vae,7\n"
    )
    layout = recognise(place)
    assert layout.name == "a table of uri, label, generator (samples.csv)"
    assert [(sample.source, sample.group) for sample in layout.samples] == [("coco", "7"), ("vae", "7")]
    assert recognise(f"{place}/samples.csv").samples == layout.samples


def test_a_folder_of_tables_alone_is_all_of_them(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(f'{{"uri": "/{name}.png", "label": 1, "generator": "{name}"}}\n')
    assert [sample.source for sample in recognise(str(tmp_path)).samples] == ["a", "b"]
    assert recognise(str(tmp_path)).name.startswith("2 tables")


def test_shards_go_by_folder_by_name_and_by_braces(tmp_path: Path) -> None:
    for name in "ab":
        write_shard(tmp_path / f"{name}.tar", {"0.jpg": picture(0), "0.cls": b"0", "1.jpg": picture(1), "1.cls": b"1"})
    names = ("", "/a.tar", "/{a,b}.tar", "/*.tar")
    assert [len(recognise(f"{tmp_path}{name}").samples) for name in names] == [4, 2, 4, 4]


@pytest.mark.parametrize(("name", "told"), [("{a.tar", "close its braces"), ("*.tar", "matches no shard")])
def test_a_pattern_that_gives_nothing_is_refused(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        recognise(f"{tmp_path}/{name}")


def test_a_store_that_is_no_disk_is_read_all_the_same(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe({"/layout/flux/0_real/a.jpg": picture(0), "/layout/flux/1_fake/b.jpg": picture(1)})
    samples = recognise("memory://layout").samples
    assert [(sample.source, sample.label) for sample in samples] == [("flux", 0), ("flux", 1)]
    assert getattr(open_sample(samples[1]), "shape", None) == (3, 64, 65)
    fs.rm("/layout", recursive=True)


def test_samples_of_several_places_know_their_place(tmp_path: Path) -> None:
    places = [lay(tmp_path / "one", "x/0_real/a.jpg"), lay(tmp_path / "two", "y/1_fake/a.jpg", "y/1_fake/b.jpg")]
    layout = gather(places)
    assert layout.place_of == [0, 1, 1]
    assert [sample.label for sample in layout.samples] == [0, 1, 1]


def test_one_class_alone_is_refused_but_for_those_who_need_no_more(tmp_path: Path) -> None:
    place = lay(tmp_path, "coco/0_real/a.jpg", "coco/1_fake/readme.md")
    with pytest.raises(SettingsError, match="got 1 real and 0 fake images: .*1 skipped.*add --samples with fake"):
        gather([place])
    assert len(gather([place], both=False).samples) == 1


def test_an_unknown_layout_is_refused_with_what_would_be_understood(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found 'cats/a.jpg'.*supported are folders named"):
        recognise(lay(tmp_path, "cats/a.jpg"))


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none' is not there"):
        recognise(str(tmp_path / "none"))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="contains no files"):
        recognise(str(tmp_path))


def test_the_shared_images_are_known_by_their_table_and_by_their_folders(shared: Path) -> None:
    listed = recognise(str(shared / "data"), options=SourceOptions(split=["dcsan-imagen"]))
    walked = recognise(str(shared / "data/images"), options=SourceOptions(split=["dcsan-imagen"]))
    assert len({sample.source for sample in listed.samples}) == 13
    assert {(s.uri, s.label, s.source) for s in listed.samples} == {(s.uri, s.label, s.source) for s in walked.samples}

"""Laws of the tables that list labelled images."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError, StorageError
from pipeline.images.decode import Fault
from pipeline.tune.data.label_words import VALUES
from pipeline.tune.data.samples import Sample, open_sample, read_manifest, to_table
from pipeline.tune.data.source_options import SourceOptions
from pipeline.tune.data.survey import survey_rows
from pipeline.tune.data.tables import read
from tests.pictures import picture
from tests.web import site


def table(folder: Path, *lines: str, name: str = "t.csv") -> str:
    """Write a table of text."""
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def test_paths_lie_beside_the_table_and_urls_where_they_say(tmp_path: Path) -> None:
    url = table(tmp_path, "uri,label,generator", "a.png,real,coco", "s3://b/c.png,fake,flux", "/x/d.png,1,flux")
    assert read(url, VALUES)[1] == [
        Sample(f"{tmp_path}/a.png", 0, "coco"),
        Sample("s3://b/c.png", 1, "flux"),
        Sample("/x/d.png", 1, "flux"),
    ]


def test_source_goes_before_generator_and_a_split_source_is_its_generators(tmp_path: Path) -> None:
    url = table(tmp_path, "path,label,generator,source", "a,fake,flux,web", "b,fake,sdxl,pages", "c,real,photo,pages")
    sources = [sample.source for sample in read(url, VALUES, options=SourceOptions(split=["pages"]))[1]]
    assert sources == ["web", "sdxl", "photo"]


def test_group_and_range_are_taken_over(tmp_path: Path) -> None:
    url = table(tmp_path, "uri,label,generator,group,offset,length", "a.tar,real,x,pair-7,512,99", "b.jpg,real,x,,,")
    assert read(url, VALUES)[1] == [
        Sample(f"{tmp_path}/a.tar", 0, "x", "pair-7", 512, 99),
        Sample(f"{tmp_path}/b.jpg", 0, "x"),
    ]


def test_a_range_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="whole numbers of bytes, got 'x'"):
        read(table(tmp_path, "uri,label,generator,offset", "a,real,g,x"), VALUES)


def test_all_formats_give_the_same_samples(tmp_path: Path) -> None:
    rows = [{"uri": "/a.png", "label": 0, "generator": "coco"}, {"uri": "/b.png", "label": 1, "generator": "flux"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    lines = [
        '{"uri": "/a.png", "label": 0, "generator": "coco"}',
        '{"uri": "/b.png", "label": 1, "generator": "flux"}',
    ]
    urls = [
        str(tmp_path / "t.parquet"),
        table(tmp_path, *lines, name="t.jsonl"),
        table(tmp_path, "uri,label,generator", "/a.png,0,coco", "/b.png,1,flux"),
        table(tmp_path, "uri\tlabel\tgenerator", "/a.png\tnature\tcoco", "/b.png\tai\tflux", name="t.tsv"),
    ]
    wanted = [Sample("/a.png", 0, "coco"), Sample("/b.png", 1, "flux")]
    assert [read(url, VALUES)[1] for url in urls] == [wanted] * 4


def test_a_text_that_looks_like_a_number_stays_a_text(tmp_path: Path) -> None:
    assert read(table(tmp_path, "uri,label,generator", "/007,0,1"), VALUES)[1] == [Sample("/007", 0, "1")]


def test_a_manifest_reads_as_it_always_did(shared: Path) -> None:
    manifest, grids, split = shared / "data/manifest.csv", ["supagruen-cheatsheet"], ["dcsan-imagen"]
    listed = read(str(manifest), VALUES, options=SourceOptions(grids=grids, split=split))[1]
    assert listed == read_manifest(manifest, grids=grids, split=split)


def test_a_row_without_a_place_is_counted(tmp_path: Path) -> None:
    _, samples, skipped = read(table(tmp_path, "uri,label,generator", ",real,x", "/b,fake,x"), VALUES)
    assert (len(samples), skipped) == (1, Counter({"row without uri": 1}))


def test_a_label_that_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="label of 'a.png' in .* got 'maybe'"):
        read(table(tmp_path, "uri,label,generator", "a.png,maybe,x"), VALUES)


def test_missing_columns_are_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must have the columns uri.* it has \\['file', 'label'\\]"):
        read(table(tmp_path, "file,label", "a,real"), VALUES)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_bytes_that_are_no_table_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\xff{")
    with pytest.raises(SettingsError, match=name):
        read(str(tmp_path / name), VALUES)


def test_a_table_that_is_not_there_is_the_stores_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="none.csv"):
        read(str(tmp_path / "none.csv"), VALUES)


def test_a_table_that_lies_elsewhere_leads_to_no_file_and_to_no_server_behind_the_walls(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(picture(1))
    routes = {"/own.jpg": lambda request: request.ranged(picture(2))}
    with site({"/x.jpg": lambda request: request.ranged(picture(3))}) as inner, site(routes) as outer:
        named = ["own.jpg", f"{tmp_path}/secret.jpg", f"file://{tmp_path}/secret.jpg", f"{inner.url}/x.jpg"]
        text = "\n".join(["uri,label,generator,offset,length", *(f"{uri},real,a,," for uri in named)])
        text += f"\n{inner.url}/x.jpg,fake,b,0,9\n"
        outer.routes["/list.csv"] = lambda request: request.ranged(text.encode())
        found = read(f"{outer.url}/list.csv", VALUES)[1]
        survey = survey_rows(to_table(found).append_column("place", pa.array(range(len(found)), pa.int64())))
        assert survey["status"].to_pylist() == ["ok", *["forbidden"] * 4]
        assert all("MOLE_TRUST_LISTINGS=all" in detail for detail in survey["detail"].to_pylist()[1:])
        with pytest.raises(OSError, match="refused"):
            read(f"{outer.url}/list.csv", VALUES, options=SourceOptions(detect_grids=["b"]))
        assert inner.connections == 0


def test_a_table_on_this_machine_may_name_any_place_unless_no_listing_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(1))
    url = table(tmp_path, "uri,label,generator", "a.jpg,real,coco")
    assert not isinstance(open_sample(read(url, VALUES)[1][0]), Fault)
    monkeypatch.setenv("MOLE_TRUST_LISTINGS", "none")
    with pytest.raises(OSError, match="refused"):
        open_sample(read(url, VALUES)[1][0])

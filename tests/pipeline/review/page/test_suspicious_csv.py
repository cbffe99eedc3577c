"""Laws of the list of suspicious images: all of them, the most suspicious first, and no cell is a formula."""

import csv
import io
from pathlib import Path

import pytest

from mole.errors import StorageError
from pipeline.review.analysis.findings import MAX_CSV_ROWS
from pipeline.review.analysis.model_rows import open_rows
from pipeline.review.page import suspicious_csv
from pipeline.storage import storage
from tests.verdicts import verdict_row, write_verdicts

HOSTILE = ["=cmd|'/c calc'!A1.jpg", "+1.jpg", "-1.jpg", "@x.jpg", "\tx.jpg", 'a,"b"\nc.jpg', "ok.jpg"]


@pytest.fixture
def table(tmp_path: Path) -> str:
    made = {"provenance": {"generator": "ComfyUI"}}
    rows = [
        verdict_row(f"{name}#1", 0, uri=name, offset=None, verdict="generated", logit=float(number), probability=0.9)
        for number, name in enumerate(HOSTILE)
    ]
    rows += [
        verdict_row("/a.tar#1", 0, verdict="real", key="d/1.png", logit=-3.0, probability=0.01, **made),
        verdict_row("/a.tar#1", 1, status="truncated", key="2.png", **made),
        verdict_row("/a.tar#1", 2, verdict="real", logit=1.0),
        verdict_row("/a.tar#1", 3, verdict="unsure", logit=8.0),
    ]
    return str(write_verdicts(tmp_path / "table", rows))


def test_declared_ones_come_first_then_those_called_generated(table: str, tmp_path: Path) -> None:
    with open_rows(table) as rows:
        assert suspicious_csv.write(rows, str(tmp_path / "new" / suspicious_csv.NAME)) == (9, 9)
    lines = list(csv.DictReader((tmp_path / "new" / suspicious_csv.NAME).open(newline="")))
    assert [line["path"] for line in lines[:3]] == ["/a.tar/d/1.png", "/a.tar/2.png", "ok.jpg"]
    assert [line["declared"] for line in lines[:3]] == ["generated", "generated", ""]
    assert (lines[0]["verdict"], lines[0]["probability"], lines[1]["verdict"]) == ("real", "0.01", "")
    assert [line["path"].lstrip("'") for line in lines[2:]] == HOSTILE[::-1]
    assert not any(line["path"].startswith(("=", "+", "-", "@", "\t")) for line in lines)
    assert [file.name for file in (tmp_path / "new").iterdir()] == [suspicious_csv.NAME]


def test_addresses_give_no_rights(tmp_path: Path) -> None:
    told = {
        "https://u:p@h.example/1.jpg?id=1": "https://h.example/1.jpg?id=1",
        "https://h.example/2.jpg?x=1&X-Amz-Signature=abc": "https://h.example/2.jpg",
        "https://h.example/3.jpg?token=abc": "https://h.example/3.jpg",
        "/p/4@a?key=b.jpg": "/p/4@a?key=b.jpg",
    }
    made = [verdict_row(f"{uri}#1", 0, uri=uri, offset=None, verdict="generated") for uri in told]
    with open_rows(str(write_verdicts(tmp_path / "table", made))) as rows:
        suspicious_csv.write(rows, str(tmp_path / "list.csv"))
    assert {line["path"] for line in csv.DictReader((tmp_path / "list.csv").open())} == set(told.values())


def test_a_long_list_ends_at_its_bound(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        suspicious_csv, "CSV_ROWS_SQL", suspicious_csv.CSV_ROWS_SQL.replace(f"LIMIT {MAX_CSV_ROWS}", "LIMIT 2")
    )
    monkeypatch.setattr(suspicious_csv, "MAX_CSV_ROWS", 2)
    with open_rows(table) as rows:
        assert suspicious_csv.write(rows, str(tmp_path / "few.csv")) == (2, 9)
    assert len((tmp_path / "few.csv").read_text().splitlines()) == 3


def test_a_list_goes_into_a_store_too_and_a_refusal_names_the_place(table: str, tmp_path: Path) -> None:
    with open_rows(table) as rows:
        suspicious_csv.write(rows, "memory://lists/suspicious.csv")
    assert len(list(csv.reader(io.StringIO(storage.read("memory://lists/suspicious.csv").decode())))) == 10
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write '.*/file/suspicious.csv'"), open_rows(table) as rows:
        suspicious_csv.write(rows, str(tmp_path / "file" / "suspicious.csv"))


def test_a_full_disk_is_told_in_words(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspicious_csv, "NAME", "/dev/full")
    with open_rows(table) as rows, pytest.raises(StorageError, match="cannot write") as caught:
        suspicious_csv.write(rows, str(tmp_path / "list.csv"))
    assert "No space left on device" in str(caught.value)
    assert "{" not in str(caught.value)

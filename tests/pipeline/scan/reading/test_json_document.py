"""Document: the JSON of pandas, DuckDB and people is read, and other forms are refused."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mole.errors import SettingsError
from pipeline.scan.reading import json_document
from pipeline.scan.reading.json_document import Elements, form_of, rows

ROWS = [{"url": f"é {number}.jpg", "n": number} for number in range(5)]


def written(folder: Path, text: str) -> str:
    """Write a document."""
    (folder / "d.json").write_text(text)
    rows.cache_clear()
    return str(folder / "d.json")


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table"])
@pytest.mark.parametrize("indent", [0, 2])
def test_what_pandas_writes_gives_its_rows(orient: Any, indent: int, tmp_path: Path) -> None:
    text = pd.DataFrame(ROWS).to_json(orient=orient, indent=indent, force_ascii=False)
    assert text is not None
    assert form_of(text.splitlines(keepends=True), named=False) == "document"
    found = rows(written(tmp_path, text))
    assert [{name: row[name] for name in ("url", "n")} for row in found] == ROWS


@pytest.mark.parametrize(
    "held",
    [
        {"data": ROWS},
        {"info": {"year": 2026}, "images": ROWS, "annotations": [{"id": 1}]},
        {"url": [row["url"] for row in ROWS], "n": [row["n"] for row in ROWS]},
    ],
)
def test_rows_that_lie_deeper_are_found(held: dict[str, Any], tmp_path: Path) -> None:
    assert list(rows(written(tmp_path, json.dumps(held)))) == ROWS


def test_one_object_is_one_row(tmp_path: Path) -> None:
    assert rows(written(tmp_path, json.dumps({"url": "a.jpg", "tags": ["x"], "more": {"y": 1}})))[0]["url"] == "a.jpg"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": {"b": 1}, "c": 2}', "another form"),
        ('{"data": [[1]]', "not JSON"),
        ('{"url": {"0": "a"}, "n": {"1": 2}}', "other rows"),
        ('{"one": [{"url": "a"}], "two": [{"url": "b"}]}', "another form"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_another_form_is_refused_with_those_that_are_read(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{complaint}.*JSON Lines"):
        rows(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "named", "form"),
    [
        ('[{"url": 1}]', False, "array"),
        ("  \n[\n", True, "array"),
        ('{"url": "a"}\n{"url": "b"}\n', False, "jsonl"),
        ('{"url": "a"}', False, "jsonl"),
        ('{"url": {"0": "a"}}', False, "document"),
        ('{\n "url": "a"\n}', True, "document"),
        ('{broken\n{"url": "a"}', True, "jsonl"),
        ('"a.jpg"\n"b.jpg"', False, "jsonl"),
        ("", False, "jsonl"),
    ],
)
def test_a_form_is_told_by_the_first_lines(text: str, named: bool, form: str) -> None:
    assert form_of(text.splitlines(keepends=True), named=named) == form


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("chunk", [3, 16, 1 << 20])
def test_an_array_gives_its_elements_with_their_bytes(
    encoding: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_document, "CHUNK", max(chunk, 4))
    values: list[Any] = [*ROWS, "a string ] , [", 123456, [1, [2]], None]
    data = json.dumps(values, ensure_ascii=False, indent=1).encode(encoding)
    elements = Elements(io.BytesIO(data), "d.json")
    found = list(elements)
    assert [value for value, _, _ in found] == values
    assert [json.loads(data[start:end].decode(elements.encoding)) for _, start, end in found] == values


@pytest.mark.parametrize(
    "text", ['[{"a": 1}', '[{"a": 1} {"a": 2}]', '[{"a": ]', "[1, ", "[1}", "[" * 5000, f"[{'1' * 5000}]"]
)
def test_a_cut_or_broken_array_is_refused_at_its_byte(text: str) -> None:
    with pytest.raises(SettingsError, match=r"not valid JSON at byte \d+"):
        list(Elements(io.BytesIO(text.encode()), "d.json"))


def test_an_empty_array_has_no_element() -> None:
    assert list(Elements(io.BytesIO(b" [ ] "), "d.json")) == []


def test_columns_that_are_no_texts_are_named_as_texts(tmp_path: Path) -> None:
    held = {"columns": ["url", 1, ["a", "b"]], "index": [0], "data": [["a.jpg", 2, 3]]}
    assert rows(written(tmp_path, json.dumps(held))) == ({"url": "a.jpg", "1": 2, "['a', 'b']": 3},)

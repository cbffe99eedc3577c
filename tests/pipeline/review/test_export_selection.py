"""Laws of a choice: rows in the order of their places, what the condition says of them and of their labels, once asked."""

from pathlib import Path
from typing import Any

import pytest

from mole.errors import SettingsError
from pipeline.labels import append
from pipeline.review.export_selection import Selection, read_listing, require_selection, write_listing
from tests.verdicts import verdict_row, write_verdicts

HASH = bytes(16)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two shards with three images each, out of order."""
    rows = [
        verdict_row(unit, index, verdict="real" if index else "generated")
        for unit in ("b.tar#1", "a.tar#1")
        for index in (2, 0, 1)
    ]
    return write_verdicts(tmp_path / "table", rows)


def places(output: Path) -> list[tuple[str, int]]:
    return [(row["unit"][0], row["index"]) for row in read_listing(str(output), 0)]


def choose(table: Path, output: Path, **asked: Any) -> int:
    return write_listing(Selection(table=str(table), **asked), str(output))


def test_images_come_in_the_order_of_their_places_and_from_any_of_them_on(table: Path, tmp_path: Path) -> None:
    assert choose(table, tmp_path / "all") == 6
    assert places(tmp_path / "all") == [(unit, index) for unit in "ab" for index in range(3)]
    assert [row["index"] for row in read_listing(str(tmp_path / "all"), 4)] == [1, 2]
    assert choose(table, tmp_path / "some", where="verdict = 'generated' -- of both", limit=1) == 1
    assert places(tmp_path / "some") == [("a", 0)]
    assert 0 < choose(table, tmp_path / "drawn", sample=0.5) < 6


def test_labels_choose_what_was_labelled_and_may_be_asked_for(table: Path, tmp_path: Path) -> None:
    said = [("a.tar#1", 0, "generated"), ("a.tar#1", 1, "real"), ("b.tar#1", 0, "real"), ("c.tar#1", 0, "real")]
    append(str(tmp_path / "labels"), [{"unit": unit, "index": index, "label": label} for unit, index, label in said])
    append(str(tmp_path / "labels"), [{"unit": "b.tar#1", "index": 0, "label": "withdrawn"}])
    assert choose(table, tmp_path / "all", labels=str(tmp_path / "labels")) == 2
    [one] = [row for row in read_listing(str(tmp_path / "all"), 0) if row["index"] == 0]
    assert one["label"] == "generated" and one["labelled_at"] is not None
    assert choose(table, tmp_path / "real", labels=str(tmp_path / "labels"), where="label = 'real'") == 1


def test_a_word_means_what_it_means_in_the_browser(tmp_path: Path) -> None:
    named = {"provenance": {"generator": "Firefly"}, "uri": "https://a.org/x/1.jpg"}
    rows = [verdict_row("a.tar#1", 0, **named), verdict_row("a.tar#1", 1, uri="/photos/2.jpg")]
    table = write_verdicts(tmp_path / "table", rows)
    said = {"unit": "a.tar#1", "index": 0, "label": "generated", "generator": "sdxl"}
    append(str(tmp_path / "labels"), [said, said | {"index": 1, "generator": "Firefly"}])
    asked = {"labels": str(tmp_path / "labels")}
    for number, (where, index) in enumerate(
        [
            ("generator = 'Firefly'", 0),
            ("label_generator = 'Firefly'", 1),
            ("source = 'a.org'", 0),
            ("source = '/photos'", 1),
        ]
    ):
        output = tmp_path / str(number)
        assert choose(table, output, where=where, **asked) == 1
        [row] = read_listing(str(output), 0)
        assert row["index"] == index and row["label_generator"] == ("Firefly" if index else "sdxl")
        assert not {"generator", "source", "labelled_hash"} & set(row)
    assert choose(table, tmp_path / "unlabelled", where="generator = 'Firefly' AND source = 'a.org'") == 1


def test_a_condition_that_fails_on_a_row_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--where 'verdict = 3': .*Could not convert"):
        choose(table, tmp_path / "out", where="verdict = 3")


def test_what_is_listed_once_stays_while_the_table_grows_and_another_wish_is_refused(
    table: Path, tmp_path: Path
) -> None:
    assert choose(table, tmp_path / "out") == 6
    write_verdicts(table, [verdict_row("c.tar#1", 0)])
    assert choose(table, tmp_path / "out") == 6
    with pytest.raises(SettingsError, match="holds an export with limit None and not 3; choose another --output"):
        choose(table, tmp_path / "out", limit=3)


@pytest.mark.parametrize("where", ["verdikt = 'real'", "true; DROP VIEW current", ") OR (true"])
def test_a_condition_that_is_none_is_refused_and_leaves_nothing(table: Path, tmp_path: Path, where: str) -> None:
    with pytest.raises(SettingsError, match="--where"):
        require_selection(Selection(table=str(table), where=where), str(tmp_path / "out"))
    with pytest.raises(SettingsError, match="--where"):
        choose(table, tmp_path / "out", where=where)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

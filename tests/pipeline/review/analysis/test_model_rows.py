"""Laws of one model's rows: the same rows that the views of the table give, each image once."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mole.errors import SettingsError
from pipeline.review.analysis.model_rows import ModelRows, open_rows
from pipeline.scan.table.views import ask
from tests.verdicts import BEGUN, verdict_row, write_verdicts

LATER = BEGUN + timedelta(days=1)


def images(rows: ModelRows) -> list[tuple[Any, ...]]:
    return [
        tuple(row.values())
        for row in rows.ask('SELECT unit, "index", verdict, scanned_at FROM current ORDER BY unit, "index"')
    ]


def newest(table: Path) -> list[tuple[Any, ...]]:
    """What the view of the table itself says."""
    told = ask(str(table), 'SELECT unit, "index", verdict, scanned_at FROM current ORDER BY unit, "index"')
    return [tuple(row.values()) for row in told.to_pylist()]


def unit(name: str, count: int, **given: Any) -> list[dict[str, Any]]:
    return [verdict_row(name, index, last=index == count - 1, **given) for index in range(count)]


def test_rows_are_those_of_the_view_where_units_are_whole(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, unit("a.tar#1", 3), unit("b.tar#1", 2))
    with open_rows(str(table)) as rows:
        assert images(rows) == newest(table)
        assert (rows.complete.units, rows.complete.open, rows.complete.doubled, rows.complete.stale) == (2, 0, 0, 0)


def test_an_image_that_lies_in_two_files_counts_once_with_its_newest_row(tmp_path: Path) -> None:
    again = [verdict_row("a.tar#1", 1, verdict="generated", scanned_at=LATER)]
    table = write_verdicts(tmp_path, unit("a.tar#1", 3), again, unit("b.tar#1", 2))
    with open_rows(str(table)) as rows:
        assert images(rows) == newest(table) and len(images(rows)) == 5
        assert rows.complete.doubled == 1 and rows.complete.open == 0


def test_units_whose_bytes_changed_since_are_left_out(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, unit("a.tar#1", 3), unit("a.tar#2", 2, scanned_at=LATER), unit("b.tar#1", 1))
    with open_rows(str(table)) as rows:
        assert images(rows) == newest(table)
        assert {row[0] for row in images(rows)} == {"a.tar#2", "b.tar#1"}
        assert (rows.complete.stale, rows.complete.units) == (1, 2)


@pytest.mark.parametrize("kept", [(0, 1), (0, 2), (1, 2)], ids=["no end", "a gap", "no beginning"])
def test_a_unit_that_lacks_a_row_is_open_and_named(kept: Iterable[int], tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, [unit("a.tar#1", 3)[index] for index in kept], unit("b.tar#1", 1))
    with open_rows(str(table)) as rows:
        assert (rows.complete.open, rows.complete.units, rows.complete.examples) == (1, 2, ("a.tar#1",))


def test_the_model_that_judged_the_most_images_is_meant_and_another_can_be_named(tmp_path: Path) -> None:
    new = [verdict_row("a.tar#1", 1, model="new0", verdict="generated", scanned_at=LATER)]
    table = write_verdicts(tmp_path, unit("a.tar#1", 3, model="old0"), new)
    with open_rows(str(table)) as rows:
        assert rows.model.digest == "old0" and len(images(rows)) == 3 and rows.other is not None
    for words in ("new0", "new0"[:4]):
        with open_rows(str(table), words) as rows:
            assert [row[2] for row in images(rows)] == ["generated"] and rows.complete.open == 1
    for words in ("new", "other", "'; DROP TABLE verdicts"):
        with (
            pytest.raises(SettingsError, match="not a model of the table, which has new0, old0"),
            open_rows(str(table), words),
        ):
            pass


def test_of_models_that_judged_as_many_the_newest_is_meant(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, unit("a.tar#1", 2, model="old"), unit("a.tar#1", 2, model="new", scanned_at=LATER))
    with open_rows(str(table)) as rows:
        assert rows.model.digest == "new" and rows.other is not None and rows.other.digest == "old"


def test_the_prevalence_is_what_the_files_say_and_a_half_where_one_says_none(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, unit("a.tar#1", 2))
    with open_rows(str(table)) as rows:
        assert rows.prevalences() == [0.5]

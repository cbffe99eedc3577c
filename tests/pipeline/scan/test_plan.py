"""Plan: complete units are not planned again, and no image of the others is left out."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mole.errors import CompletenessError, StorageError
from pipeline.records import Status
from pipeline.scan import plan
from pipeline.scan.plan import Plan
from pipeline.scan.reading.unit import Kind, Slice, Unit
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.part import encode, part_name
from pipeline.storage import storage
from tests.pipeline.scan.table.test_ledger import rows
from tests.verdicts import BEGUN, verdict_row, write_verdicts


def unit(name: str, images: int | None) -> Unit:
    """Make a unit that says how many images it has, or does not."""
    return Unit(name, name, Kind.SLICE, images=images)


def put(folder: Path, *tables: pa.Table) -> Ledger:
    """Write tables as parts of a partition."""
    for table in tables:
        storage.write(str(folder / part_name(table)), encode(table))
    return Ledger(str(folder))


def test_a_whole_unit_is_dropped_and_a_begun_one_knows_what_it_has(tmp_path: Path) -> None:
    ledger = put(tmp_path, rows("whole", [0, 1], 1), rows("begun", [0, 1, 4], 5))
    with Plan([unit("whole", 2), unit("begun", 6), unit("new", 3)], [ledger]) as planned:
        todo = list(planned.todo(ledger))
        left = planned.remaining(ledger)
    assert [unit.name for unit in todo] == ["begun", "new"]
    assert todo[0].present == ((0, 2), (4, 5))
    assert [todo[0].has(index) for index in range(6)] == [True, True, False, False, True, False]
    assert (left.units, left.images) == (2, 6)


def test_a_shard_does_not_tell_how_many_images_there_are(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    with Plan([unit("s", None), unit("f", 1)], [ledger]) as planned:
        assert planned.remaining(ledger).images is None and planned.remaining(ledger).counted_images == 1


def test_a_unit_that_two_sources_name_is_planned_once(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    with Plan([unit("b", 1), unit("a", 1), unit("b", 1)], [ledger]) as planned:
        assert [unit.name for unit in planned.todo(ledger)] == ["b", "a"]


def test_a_plan_of_several_pages_keeps_the_sources_order_and_everything_of_a_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PAGE_UNITS", 7)
    slices = [Slice("csv", (0, 5), (9, 99), ("uri", "text"), "uri"), None]
    units = [
        Unit(
            f"u{n}", "s3://b/ä'\"", Kind.SLICE, "k", 5, None, slices[n % 2], (Status.MISSING, "gone") if n % 3 else None
        )
        for n in range(500)
    ]
    ledger = Ledger(str(tmp_path))
    with Plan(units, [ledger]) as planned:
        assert list(planned.todo(ledger)) == units


def test_what_one_of_two_models_has_is_not_planned_for_both(tmp_path: Path) -> None:
    one = put(tmp_path / "1", rows("a", [0, 1], 1), rows("b", [0], 2))
    two = put(tmp_path / "2", rows("b", [1], 2))
    with Plan([unit("a", 2), unit("b", 3), unit("c", 1)], [one, two]) as planned:
        both = {unit.name: unit.present for unit in planned.todo(one, two)}
        alone = {unit.name: unit.present for unit in planned.todo(two)}
    assert both == {"b": ((0, 2),), "c": ()}
    assert alone == {"a": (), "b": ((1, 2),), "c": ()}


def test_the_law_names_gaps_and_doubles(tmp_path: Path) -> None:
    ledger = put(
        tmp_path,
        *(rows("whole", [0, 1, 2], 2), rows("begun", [0, 1, 3], 3), rows("double", [0, 1, 2, 3], 3)),
        rows("double", [2, 3], 3),
    )
    with Plan([unit(name, None) for name in ("whole", "begun", "double", "absent")], [ledger]) as planned:
        law = planned.check(ledger)
        assert (law.units, law.images, law.incomplete, law.duplicated) == (4, 12, 2, 1)
        assert law.examples == ("absent", "begun", "double")
        with pytest.raises(CompletenessError, match="of 4 units 2 miss rows, 1 have duplicate rows"):
            law.require_passed()
        assert planned.counts(ledger) == [("ok", None, 12)]
    with Plan([unit("whole", None)], [ledger]) as planned:
        planned.check(ledger).require_passed()


def test_the_views_of_a_plan_show_its_own_units_in_the_first_ledgers_words(tmp_path: Path) -> None:
    def verdict(name: str, model: str, verdict: str, **more: object) -> dict[str, object]:
        return verdict_row(name, 0, model=model, verdict=verdict, **more)

    camera = {"provenance": {"camera": "Canon"}}
    write_verdicts(
        tmp_path,
        [verdict("a#1", "old", "generated", **camera), verdict("a#0", "old", "real"), verdict("c#1", "old", "real")],
        [verdict("a#1", "new", "real", scanned_at=BEGUN + timedelta(days=1))],
    )
    old, new = (Ledger(str(tmp_path / f"model={model}")) for model in ("old", "new"))
    with Plan([unit("a#1", 1), unit("b#1", 1)], [old, new]) as planned:
        with planned.views(old, new) as views:
            found = views.sql("SELECT unit, verdict, declared, contradicted FROM evidence").fetchall()
            assert found == [("a#1", "generated", "camera", True)]
            assert views.sql("SELECT model FROM verdicts ORDER BY ALL").fetchall() == [("new",), ("old",)]
        with planned.views(new) as views:
            assert views.sql("SELECT unit, verdict FROM evidence").fetchall() == [("a#1", "real")]
        assert planned.remaining(old).units == 2, "the plan is as it was"
    (tmp_path / "model=old" / "broken.parquet").write_bytes(b"PAR1")
    with (
        Plan([unit("a#1", 1)], []) as planned,
        pytest.raises(StorageError, match="cannot read the verdict table"),
        planned.views(old) as views,
    ):
        views.sql("FROM evidence").fetchall()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=9), st.integers(0, 6))
def test_a_unit_is_whole_where_it_has_each_index_once_and_nowhere_else(indices: list[int], last: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = put(Path(folder), rows("u", indices, last)) if indices else Ledger(folder)
        with Plan([unit("u", None)], [ledger]) as planned:
            law = planned.check(ledger)
            left = planned.remaining(ledger).units
    whole = sorted(indices) == list(range(last + 1))
    assert (left == 0) == whole == (law.incomplete == law.duplicated == 0)
    assert (law.duplicated == 1) == (len(set(indices)) < len(indices))
    assert (law.incomplete == 1) == (set(indices) != set(range(last + 1)))

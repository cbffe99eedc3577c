"""What the first release wrote is read by every later one, or refused with both numbers; see tests/fixtures/README.md."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import torch

from mole.checkpoint import load_checkpoint
from mole.config import CONFIG, describe
from mole.errors import ModelError, StorageError
from pipeline import registry
from pipeline.records import SCHEMA_VERSION, VERSION_KEY
from pipeline.registry import Registry
from pipeline.scan.settings import CompactSettings
from pipeline.scan.table.compact import compact
from pipeline.scan.table.ledger import UNIT_FACTS, UNIT_STATES, Ledger
from pipeline.scan.table.views import open_views

FIRST = Path(__file__).parent / "fixtures" / "v1"
KNOWN: dict[str, Any] = json.loads((FIRST / "known.json").read_text())
COLUMNS = 'model, unit, "index", status, verdict, logit, carried.url AS url'


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A copy of what the first release wrote."""
    return Path(shutil.copytree(FIRST, tmp_path / "v1"))


def rows_of(table: Path) -> list[list[Any]]:
    """Read a table's rows by its views."""
    with open_views(str(table)) as views:
        return [list(row) for row in views.sql(f"SELECT {COLUMNS} FROM verdicts ORDER BY ALL").fetchall()]


def test_a_table_of_the_first_schema_is_read_whole(first: Path) -> None:
    assert rows_of(first / "table") == KNOWN["rows"]
    with open_views(str(first / "table")) as views:
        assert views.sql("SELECT count(*) FROM current").fetchall() == [(len(KNOWN["rows"]),)]
        assert views.sql("SELECT job, exit_code FROM runs").fetchall() == [("scan", 0)]


def test_a_table_of_the_first_schema_is_complete_and_can_be_compacted(first: Path) -> None:
    [partition] = (first / "table").glob("model=*")
    with duckdb.connect() as database:
        Ledger(str(partition)).attach(database, "places")
        states = database.sql(UNIT_STATES.format(facts=UNIT_FACTS.format(places="places"))).fetchall()
    assert states and all(whole for *_, whole in states)
    compact(CompactSettings(table=str(first / "table"), grace=0.0))
    assert rows_of(first / "table") == KNOWN["rows"]


def open_table(folder: Path) -> None:
    with open_views(str(folder / "table")):
        pass


def open_ledger(folder: Path) -> None:
    [partition] = (folder / "table").glob("model=*")
    with duckdb.connect() as database:
        Ledger(str(partition)).attach(database, "places")


def compact_table(folder: Path) -> None:
    compact(CompactSettings(table=str(folder / "table"), grace=0.0))


@pytest.mark.parametrize("use", [open_table, open_ledger, compact_table])
def test_a_table_of_a_later_schema_is_refused_with_both_numbers(use: Callable[[Path], None], first: Path) -> None:
    for file in first.rglob("*.parquet"):
        rows = pq.ParquetFile(file).read()
        later = {**(rows.schema.metadata or {}), VERSION_KEY: b"2"}
        pq.write_table(rows.replace_schema_metadata(later), file)
    with pytest.raises(StorageError, match=f"schema '2', this version reads '{SCHEMA_VERSION}'"):
        use(first)


def test_a_checkpoint_of_the_first_format_gives_the_logits_that_it_gave(first: Path) -> None:
    view_B3SS = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    for digest, logits in KNOWN["logits"].items():
        loaded = load_checkpoint(first / "registry" / "versions" / digest)
        assert loaded.description.digest == digest
        with torch.inference_mode():
            torch.testing.assert_close(loaded.detector(view_B3SS).logit_B, torch.tensor(logits), atol=1e-5, rtol=1e-5)


def test_a_checkpoint_of_a_later_format_is_refused_with_both(first: Path) -> None:
    folder = first / "registry" / "versions" / next(iter(KNOWN["logits"]))
    config = json.loads((folder / CONFIG).read_text()) | {"format": "mole-2", "mixture": {"depth": 3}}
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ModelError, match="has the format 'mole-2', this version reads 'mole-1'"):
        describe(folder)


def test_a_registry_of_the_first_format_keeps_its_versions_and_its_log(first: Path) -> None:
    place = Registry(str(first / "registry"))
    assert place.digests() == sorted(KNOWN["logits"])
    assert [(entry.number, entry.digest, entry.replaced) for entry in place.log()] == [
        (1, KNOWN["promoted"][0], None),
        (2, KNOWN["promoted"][1], KNOWN["promoted"][0]),
        (3, KNOWN["promoted"][0], KNOWN["promoted"][1]),
    ]
    assert place.promoted() == KNOWN["promoted"][0]
    found = registry.locate(registry.resolve("promoted", str(first / "registry")))
    assert describe(found).digest == KNOWN["promoted"][0]


def test_a_registry_of_a_later_format_is_refused_with_both_numbers(first: Path) -> None:
    place = Registry(str(first / "registry"))
    (first / "registry" / "promotions" / "00000004.json").write_text('{"format": 2, "number": 4, "shares": {}}')
    for use in (place.promoted, place.log, place.before, lambda: registry.resolve("promoted", place.url)):
        with pytest.raises(StorageError, match=r"00000004.json has registry format 2, this version reads 1"):
            use()

"""Verdict tables made by hand, for what reads them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.records import CARRIED, PLACE, VERDICT, with_carried
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.table.part import encode, part_name

BEGUN = datetime(2026, 11, 1, tzinfo=UTC)


def verdict_row(unit: str, index: int, **given: Any) -> dict[str, Any]:
    """Write a row of the table; `model` chooses its partition."""
    status = given.get("status", "ok")
    place = unit.rpartition("#")[0]
    facts = {"uri": place, "key": f"{index:06}", "offset": 512 + 2048 * index, "length": 1024, "bytes": 1024}
    score = {"logit": 0.0, "probability": 0.5, "verdict": "unsure"} if status == "ok" else {}
    return {
        "model": "old",
        "unit": unit,
        "index": index,
        "last": False,
        "status": status,
        "scanned_at": BEGUN,
        **facts,
        **score,
        **given,
    }


def write_verdicts(table: Path, *parts: list[dict[str, Any]]) -> Path:
    """Write each list of rows as a part of its model's partition."""
    for rows in parts:
        carried = tuple(rows[0].get(CARRIED, {}))
        made = pa.Table.from_pylist(rows, with_carried(VERDICT, carried))
        folder = table / f"model={rows[0]['model']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / part_name(made)).write_bytes(encode(made))
    return table


def verdicts_of(*sources: str | Path, table: Path, model: str = "old") -> Path:
    """Write a source's rows as a scan would, and give each image that can be read the same verdict."""
    found = pa.concat_tables(fetch(list(Source(list(map(str, sources))).units()), ReadOptions(1 << 20))).to_pylist()
    rows = []
    for row in found:
        made = verdict_row(row["unit"], row["index"], model=model, status=row["status"] or "ok", detail=row["detail"])
        rows.append(made | {name: row[name] for name, _ in PLACE})
    return write_verdicts(table, rows)

"""A verdict table with images behind it, hostile names among them, for the page that shows them and for who reads it."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mole.config import describe
from pipeline.images.thumbnail import MAX_BYTES
from pipeline.registry import locate
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from tests.pictures import picture, write_shard
from tests.verdicts import BEGUN, verdict_row, write_verdicts

SCRIPT = "<img src=x onerror=alert(1)><script>alert(1)<"
NAMES = (
    f"{SCRIPT}.jpg",
    "\"quoted\" 'twice' & more.jpg",
    "turned \u202egpj.exe.jpg",
    "two\nlines.jpg",
    "long " + "x" * 240 + ".jpg",
    "plain.jpg",
)
EMBEDDED = describe(locate("embedded"))
PAGE = "https://user:pw@example.org/a.jpg?id=1"
"""An image that is too large for a thumbnail, so that nobody asks that server for it."""


def reported(folder: Path, *, model: str = EMBEDDED.digest) -> Path:
    """Write images, a table of their verdicts by two models, and the record of a run; give the table's folder."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (photos / name).write_bytes(picture(number, side=96))
    write_shard(photos / "shard.tar", {f"{number:03}.jpg": picture(number, side=80) for number in range(10, 20)})
    (photos / "cut.jpg").write_bytes(picture(9)[:400])
    rows = read([photos, photos / "shard.tar"], model)
    rows.append(verdict_row(f"{PAGE}#1", 0, model=model, uri=PAGE, key=PAGE, last=True, offset=None, length=None,
                            verdict="generated", logit=5.5, probability=0.97, bytes=MAX_BYTES + 1,
                            provenance={"camera": f"{SCRIPT} Canon", "c2pa": "claim\u202e"}))  # fmt: skip
    table = write_verdicts(folder / "table", rows, [row | changed(number) for number, row in enumerate(rows[:8])])
    write_run(table, {"source": [str(photos)], "model": "embedded"}, {"model": model})
    return table


def read(sources: list[Path], model: str) -> list[dict[str, Any]]:
    """Read sources as a scan does, and give each image a score that depends on its number."""
    found = pa.concat_tables(fetch(list(Source(list(map(str, sources))).units()), ReadOptions(1 << 20))).to_pylist()
    calibration, rows = EMBEDDED.calibration, []
    for number, row in enumerate(found):
        logit = np.array([-6.0 + 0.8 * number])
        facts = {
            "logit": float(logit[0]), "verdict": str(calibration.verdict(logit)[0]), "format": "jpeg", "width": 96,
            "height": 96, "probability": float(calibration.probability(logit, 0.1)[0]),
            "provenance": {"generator": f"ComfyUI {SCRIPT}"} if number in {0, 5, 12} else None,
        }  # fmt: skip
        if "cut.jpg" in (row["key"] or ""):
            facts = {"status": "truncated", "detail": f"cut {SCRIPT}"}
        place = {name: row[name] for name in ("last", "uri", "key", "offset", "length", "bytes")}
        content = {"content_hash": hashlib.sha256(row["data"]).digest()[:16], "model": model}
        when = {"scanned_at": BEGUN + timedelta(seconds=number)}
        rows.append(verdict_row(row["unit"], row["index"], **place | content | when | facts))
    return rows


def changed(number: int) -> dict[str, Any]:
    """What an earlier model made of a row."""
    told = {"logit": 1.0, "probability": 0.3, "verdict": "unsure" if number % 2 else "real", "status": "ok"}
    return {"model": "0123456789abcdef", "scanned_at": BEGUN - timedelta(days=1)} | told


def write_run(table: Path, settings: dict[str, Any], summary: dict[str, Any], name: str = "r1") -> None:
    """Write a run's record beside a table, with the course of its progress."""
    (table / "_runs").mkdir(exist_ok=True)
    told = {
        "id": name, "job": "scan", "version": "0.1.0", "started": BEGUN.isoformat(), "seconds": 60.0,
        "ended": (BEGUN + timedelta(seconds=60)).isoformat(), "exit_code": 0, "error": None, "written": 18, "faults": 1,
        "summary": summary, "host": "h", "process": 1, "submission": None, "command": f"jobs/scan.py {SCRIPT}",
        "settings": settings, "progress": [[5, 0], [10, 4], [20, 9], [40, 15], [60, 18]],
    }  # fmt: skip
    (table / "_runs" / f"{name}.json").write_text(json.dumps(told))

"""Lake: an Iceberg catalog of a scenario's own, and the rows of its table."""

from pathlib import Path
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog

NAME = "trust.verdicts"


def catalog(folder: Path) -> dict[str, str]:
    """Make the environment by which pyiceberg finds a catalog below a folder."""
    (folder / "warehouse").mkdir(exist_ok=True)
    properties = _properties(folder)
    return {f"PYICEBERG_CATALOG__LAKE__{name.upper()}": value for name, value in properties.items()}


def rows_of_catalog(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of the current snapshot."""
    rows: list[dict[str, Any]] = (
        SqlCatalog("lake", **_properties(folder)).load_table(NAME).scan().to_arrow().to_pylist()
    )
    return rows


def _properties(folder: Path) -> dict[str, str]:
    return {"uri": f"sqlite:///{folder}/catalog.db", "type": "sql", "warehouse": f"file://{folder}/warehouse"}

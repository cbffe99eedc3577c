"""Model rows: one model's rows of a verdict table, each image once, as views and a narrow table for fast queries.

The table's views find the newest row of an image by a window over all rows. Here that is done only for units with
duplicates, which are found by a few aggregates per unit, and the columns for statistics are read once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from mole.errors import SettingsError
from pipeline.records import MODEL, PREVALENCE_KEY
from pipeline.registry import MIN_DIGEST_CHARACTERS
from pipeline.runtime.scratch import scratch_folder
from pipeline.scan.table.ledger import UNIT_FACTS, UNIT_STATES, sql_pattern
from pipeline.scan.table.views import open_views
from pipeline.storage.storage import absolute

MEMORY = "512MB"
"""Memory limit of DuckDB; beyond it, data are spilled to disk."""
DEFAULT_PREVALENCE = 0.5
"""The assumed prevalence of files without metadata."""
BROKEN_UNITS_SQL = """
    CREATE TABLE broken AS
    SELECT unit, count(*) AS rows, count(DISTINCT "index") AS images, max("index") AS highest,
           max("index") FILTER ("last") AS ending
    FROM places SEMI JOIN (FROM states WHERE NOT whole) USING (unit) GROUP BY unit
"""
NARROW_TABLE_SQL = """
    CREATE TABLE narrow AS
    SELECT verdict, status, logit, probability, declared, contradicted, scanned_at, format,
           least(width, height) AS side{key}
    FROM evidence
"""
ODDS = "ln(greatest(probability, 1e-7) / greatest(1 - probability, 1e-7))"


@dataclass(frozen=True)
class Model:
    """A model of a table.

    Attributes:
        digest: its digest.
        images: number of its rows, including those of changed units.
        since: time of its first row.
        until: time of its last.
    """

    digest: str
    images: int
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Completeness:
    """The completeness check: every unit holds the indices 0 … last, once each.

    Attributes:
        units: number of the model's units, without changed ones.
        open: number of those with missing rows.
        doubled: number of those with duplicate rows, which are counted once here.
        stale: number of further units whose bytes have changed, which are ignored.
        examples: names of some units with missing rows.
    """

    units: int
    open: int
    doubled: int
    stale: int
    examples: tuple[str, ...]


class ModelRows:
    """One model's rows, open for queries.

    Attributes:
        table: the URL of the verdict table.
        models: all models of the table, the most recent first.
        model: the model of these rows.
        other: the previous model, None if there is none.
        complete: the result of the completeness check.
    """

    def __init__(self, views: duckdb.DuckDBPyConnection, table: str, model: str | None) -> None:
        self._views = views
        self.table = table
        self.models = [Model(*row.values()) for row in self.ask(
            f"SELECT {MODEL}, count(*), min(scanned_at), max(scanned_at) FROM verdicts GROUP BY ALL "
            f"ORDER BY max(scanned_at) DESC, {MODEL}"
        )]  # fmt: skip
        self.model = select_model(self.models, model)
        others = [one for one in self.models if one is not self.model]
        before = [one for one in others if one.until <= self.model.until]
        self.other = next(iter(before or others), None)
        views.execute("CREATE TABLE stale AS SELECT unit FROM units WHERE NOT is_current")
        self.complete = self._checked()
        views.execute(f"CREATE OR REPLACE VIEW current AS {self._once(self.model.digest)}")
        views.execute(NARROW_TABLE_SQL.format(key=', hash(unit, "index") AS place' if others else ""))

    def ask(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Run an SQL query; `?` stands for each of the values."""
        answer: list[dict[str, Any]] = self._views.sql(sql, params=values or None).to_arrow_table().to_pylist()
        return answer

    def run(self, statement: str) -> None:
        """Run an SQL statement."""
        self._views.execute(statement)

    def columns(self, view: str) -> dict[str, str]:
        """Return the columns of a view with their types."""
        return {row["column_name"]: row["column_type"] for row in self.ask(f"DESCRIBE {view}")}

    def prevalences(self) -> list[float]:
        """List the shares of generated images that the probabilities of the model's files assume."""
        files = sql_pattern(absolute(self.table), f"{MODEL}={self.model.digest}", "*.parquet")
        rows = self.ask(
            f"SELECT DISTINCT file_name, decode(value) AS value FROM parquet_kv_metadata({files}) "
            f"WHERE decode(key) = '{PREVALENCE_KEY.decode()}'"
        )
        count = self.ask(f"SELECT count(*) AS files FROM glob({files})")[0]["files"]
        values = {float(row["value"]) for row in rows}
        return sorted(values if len(rows) >= count else values | {DEFAULT_PREVALENCE})

    def _checked(self) -> Completeness:
        self._views.execute(
            f"CREATE VIEW places AS SELECT * FROM verdicts WHERE {MODEL} = '{_quoted(self.model.digest)}'"
        )
        self._views.execute(f"CREATE TABLE states AS {UNIT_STATES.format(facts=UNIT_FACTS.format(places='places'))}")
        self._views.execute("DELETE FROM states WHERE unit IN (FROM stale)")
        self._views.execute(BROKEN_UNITS_SQL)
        lacking = "images <> ending + 1 OR highest <> ending OR ending IS NULL"
        [counts] = self.ask(
            f"SELECT count(*) FILTER ({lacking}) AS open, count(*) FILTER (rows > images) AS doubled, "
            "(SELECT count(*) FROM states) AS units, (SELECT count(*) FROM stale) AS stale FROM broken"
        )
        some = self.ask(f"SELECT unit FROM broken WHERE {lacking} ORDER BY unit LIMIT 3")
        return Completeness(**counts, examples=tuple(row["unit"] for row in some))

    def _once(self, model: str) -> str:
        """Return the SQL of a model's rows, each image once, without changed units."""
        rows = f"FROM verdicts WHERE {MODEL} = '{_quoted(model)}'"
        if self.complete.stale:
            rows = f"FROM (SELECT * {rows}) AS rows ANTI JOIN stale USING (unit)"
        if not self.complete.doubled:
            return f"SELECT * {rows}"
        newest = 'QUALIFY row_number() OVER (PARTITION BY unit, "index" ORDER BY scanned_at DESC) = 1'
        doubled = "(FROM broken WHERE rows > images)"
        return (
            f"SELECT * FROM (SELECT * {rows}) AS rows ANTI JOIN {doubled} AS doubled USING (unit) UNION ALL "
            f"(SELECT * FROM (SELECT * {rows}) AS rows SEMI JOIN {doubled} AS doubled USING (unit) {newest})"
        )


@contextmanager
def open_rows(table: str, model: str | None = None) -> Iterator[ModelRows]:
    """Open one model's rows of a verdict table.

    Args:
        table: its folder URL.
        model: a model's digest or its first characters; None for the one with the most rows, and of several the newest.

    Raises:
        SettingsError: there is no verdict table, or no such model in it.
        StorageError: the table cannot be read.
    """
    with (
        scratch_folder("mole-scan-") as folder,
        open_views(table, f"{folder}/rows.duckdb") as views,
    ):
        views.execute(f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
        views.execute(f"SET temp_directory = '{_quoted(str(folder))}/spilled'")
        yield ModelRows(views, table, model)


def select_model(models: list[Model], words: str | None) -> Model:
    """Find a model by its digest or a prefix of it.

    Raises:
        SettingsError: there is none, or the prefix is ambiguous.
    """
    if words is None:
        return max(models, key=lambda one: (one.images, one.until))
    fits = [one for one in models if one.digest == words] or [
        one for one in models if len(words) >= MIN_DIGEST_CHARACTERS and one.digest.startswith(words)
    ]
    if len(fits) != 1:
        there = ", ".join(one.digest for one in models)
        problem = f"matches {len(fits)} models of the table" if fits else "is not a model of the table"
        raise SettingsError(f"--model {words!r} {problem}, which has {there}")
    return fits[0]


def _quoted(text: str) -> str:
    return text.replace("'", "''")

"""ModelRows: one model's rows of a verdict table, each image once, as views and one narrow table that is cheap to ask.

The views of a table find the newest row of an image by a window over all rows. Here that is done for those units alone
that hold an image twice, which are told by a few numbers a unit, and the columns that figures need are read once.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from mole.errors import SettingsError
from pipeline.records import MODEL, PREVALENCE_KEY
from pipeline.registry import FEWEST
from pipeline.scan.table.ledger import FACTS, STATES, pattern
from pipeline.scan.table.views import opened
from pipeline.storage.storage import absolute

MEMORY = "512MB"
"""Of DuckDB's buffers; what does not fit goes to the disk."""
UNSAID = 0.5
"""The prevalence that probabilities assume where a file does not say one."""
EXACT = """
    CREATE TABLE broken AS
    SELECT unit, count(*) AS rows, count(DISTINCT "index") AS images, max("index") AS highest,
           max("index") FILTER ("last") AS ending
    FROM places SEMI JOIN (FROM states WHERE NOT whole) USING (unit) GROUP BY unit
"""
NARROW = """
    CREATE TABLE narrow AS
    SELECT verdict, status, logit, probability, declared, contradicted, scanned_at, format,
           least(width, height) AS side{key}
    FROM evidence
"""
ODDS = "ln(greatest(probability, 1e-7) / greatest(1 - probability, 1e-7))"


@dataclass(frozen=True)
class Model:
    """How far one model of a table is.

    Attributes:
        digest: its name.
        images: its rows, those of units whose bytes changed since included.
        since: time of its first row.
        until: time of its last.
    """

    digest: str
    images: int
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Completeness:
    """Whether every unit holds the indices 0 … last, once each.

    Attributes:
        units: that the model's rows name, without those whose bytes changed since.
        open: of them those that lack a row.
        doubled: of them those with an image twice; each is counted once here.
        stale: further units whose bytes changed since, which are left out.
        examples: names of some that lack a row.
    """

    units: int
    open: int
    doubled: int
    stale: int
    examples: tuple[str, ...]


class ModelRows:
    """One model's rows, open for questions.

    Attributes:
        table: the URL of the verdict table.
        models: every model of the table, the last to write first.
        model: the one whose rows these are.
        other: the model that judged before it, None if there is none.
        complete: what the completeness check says.
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
        views.execute("CREATE TABLE stale AS SELECT unit FROM units WHERE NOT living")
        self.complete = self._checked()
        views.execute(f"CREATE OR REPLACE VIEW current AS {self._once(self.model.digest)}")
        views.execute(NARROW.format(key=', hash(unit, "index") AS place' if others else ""))

    def ask(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Answer a sql in SQL; `?` stands for each of the values."""
        answer: list[dict[str, Any]] = self._views.sql(sql, params=values or None).to_arrow_table().to_pylist()
        return answer

    def run(self, statement: str) -> None:
        """Make a table or a file of an answer."""
        self._views.execute(statement)

    def columns(self, view: str) -> dict[str, str]:
        """Return the columns of a view and their types."""
        return {row["column_name"]: row["column_type"] for row in self.ask(f"DESCRIBE {view}")}

    def prevalences(self) -> list[float]:
        """List the shares of generated images that the probabilities of the model's files assume."""
        files = pattern(absolute(self.table), f"{MODEL}={self.model.digest}", "*.parquet")
        rows = self.ask(
            f"SELECT DISTINCT file_name, decode(value) AS told FROM parquet_kv_metadata({files}) "
            f"WHERE decode(key) = '{PREVALENCE_KEY.decode()}'"
        )
        count = self.ask(f"SELECT count(*) AS files FROM glob({files})")[0]["files"]
        told = {float(row["told"]) for row in rows}
        return sorted(told if len(rows) >= count else told | {UNSAID})

    def _checked(self) -> Completeness:
        self._views.execute(
            f"CREATE VIEW places AS SELECT * FROM verdicts WHERE {MODEL} = '{_quoted(self.model.digest)}'"
        )
        self._views.execute(f"CREATE TABLE states AS {STATES.format(facts=FACTS.format(places='places'))}")
        self._views.execute("DELETE FROM states WHERE unit IN (FROM stale)")
        self._views.execute(EXACT)
        lacking = "images <> ending + 1 OR highest <> ending OR ending IS NULL"
        [counts] = self.ask(
            f"SELECT count(*) FILTER ({lacking}) AS open, count(*) FILTER (rows > images) AS doubled, "
            "(SELECT count(*) FROM states) AS units, (SELECT count(*) FROM stale) AS stale FROM broken"
        )
        some = self.ask(f"SELECT unit FROM broken WHERE {lacking} ORDER BY unit LIMIT 3")
        return Completeness(**counts, examples=tuple(row["unit"] for row in some))

    def _once(self, model: str) -> str:
        """Write the SQL of a model's rows, each image once, without units whose bytes changed since."""
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
        model: a digest of the table or its first characters; None for the one that judged the most images, and of
            several the newest.

    Raises:
        SettingsError: there is no verdict table, or no such model in it.
        StorageError: the table cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="mole-scan-") as folder, opened(table, f"{folder}/rows.duckdb") as views:
        views.execute(f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
        views.execute(f"SET temp_directory = '{_quoted(folder)}/spilled'")
        yield ModelRows(views, table, model)


def select_model(models: list[Model], words: str | None) -> Model:
    """Find the model that a user means.

    Raises:
        SettingsError: it is none of the table's, or begins several.
    """
    if words is None:
        return max(models, key=lambda one: (one.images, one.until))
    fits = [one for one in models if one.digest == words] or [
        one for one in models if len(words) >= FEWEST and one.digest.startswith(words)
    ]
    if len(fits) != 1:
        there = ", ".join(one.digest for one in models)
        told = f"begins {len(fits)} models of the table" if fits else "is no model of the table"
        raise SettingsError(f"--model {words!r} {told}, which has {there}")
    return fits[0]


def _quoted(text: str) -> str:
    return text.replace("'", "''")

"""Table snapshot: the newest row of every image, copied from the verdict table to a temporary DuckDB file.

The copy is made in the background. DuckDB is then reopened without access to other files, so that a user's condition
can read nothing else and change nothing.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from mole.errors import MoleError, SettingsError, StorageError
from pipeline.review.analysis.columns import ADDED_COLUMNS
from pipeline.review.browsing.sql_condition import plain_message
from pipeline.runtime.scratch import scratch_folder
from pipeline.scan.table.views import open_views, require_table

MEMORY = "2GB"
THREADS = 2
"""DuckDB's threads; reading and decoding images need the other cores."""
MAX_QUERY_SECONDS = 30.0
"""Maximum seconds of a query."""
SEALED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "memory_limit": MEMORY,
    "threads": str(THREADS),
}

Row = dict[str, Any]
Thresholds = Mapping[str, tuple[float, float]]
"""By model: the logit below which an image is real, and the one from which on it is generated."""

THRESHOLDS_SQL = """SELECT model, max(logit) FILTER (verdict = 'real') AS real_below,
                  min(logit) FILTER (verdict = 'generated') AS generated_above
           FROM verdicts WHERE logit IS NOT NULL GROUP BY model"""

OTHER_MODELS_SQL = """
CREATE TABLE judgements AS
SELECT DISTINCT images.id, other.model, other.verdict, other.probability, other.logit, other.status, other.scanned_at
FROM verdicts AS other JOIN images USING (unit, "index") WHERE other.model <> images.model ORDER BY images.id;
CREATE TABLE changes AS
SELECT images.id, changed.former_verdict, changed.former_probability, changed.former_model
FROM changed JOIN images USING (unit, "index") ORDER BY images.id;
"""
LABELS_SQL = "CREATE TABLE marks (id BIGINT, label VARCHAR, generator VARCHAR)"
"""The labels, updated while people label."""


@dataclass(frozen=True)
class State:
    """The state of the copy: its phase, progress, and error if it failed."""

    phase: str
    share: float = 0.0
    images: int = 0
    seconds: float = 0.0
    ready: bool = False
    error: str | None = None


class TableSnapshot:
    """A copy of a verdict table's newest rows, numbered from 1.

    Args:
        table: the folder URL of the verdict table.
        known: thresholds of the models whose checkpoints are available; those of others are inferred from their
            verdicts.

    Raises:
        SettingsError: there is no verdict table.
        StorageError: it has another schema, or cannot be read.
    """

    def __init__(self, table: str, known: Thresholds) -> None:
        require_table(table)
        self.table = table
        self.thresholds: dict[str, tuple[float | None, float | None]] = {}
        self._known = known
        self._opened = ExitStack()
        self._file = str(self._opened.enter_context(scratch_folder("mole-browse-")) / "snapshot.duckdb")
        self._state = State("opening the table")
        self._begun = time.monotonic()
        self._base: duckdb.DuckDBPyConnection | None = None
        self._builder: duckdb.DuckDBPyConnection | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._fill, name="snapshot", daemon=True)

    def start(self) -> None:
        """Start copying in the background."""
        self._thread.start()

    def wait(self) -> None:
        """Wait for the copy.

        Raises:
            StorageError: the table could not be read.
        """
        self._thread.join()
        if self._state.error:
            raise StorageError(self._state.error)

    @property
    def state(self) -> State:
        """The current state."""
        state, builder = self._state, self._builder
        if state.ready or state.error:
            return state
        share = 0.0
        if builder is not None:
            with suppress(duckdb.Error):  # the copy has ended meanwhile
                share = max(0.0, builder.query_progress()) / 100
        return replace(state, share=share, seconds=time.monotonic() - self._begun)

    def ask(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Run an SQL query on the copy.

        Args:
            query: SQL on `images`, `judgements`, `changes` and `marks`.
            values: values of its parameters.

        Raises:
            SettingsError: a user's condition in it is invalid, takes too long, or accesses what is locked.
        """
        assert self._base is not None
        cursor = self._base.cursor()
        timer = threading.Timer(MAX_QUERY_SECONDS, cursor.interrupt)
        timer.start()
        try:
            rows: list[Row] = cursor.sql(query, params=list(values)).to_arrow_table().to_pylist()
            return rows
        except duckdb.InterruptException as reason:
            raise SettingsError(f"the query took over {MAX_QUERY_SECONDS:.0f} s; narrow it down") from reason
        except duckdb.Error as reason:
            raise SettingsError(f"the condition cannot be used: {plain_message(reason)}") from reason
        finally:
            timer.cancel()
            cursor.close()

    def change(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run an SQL statement that changes the copy, such as for a label."""
        assert self._base is not None
        with self._base.cursor() as cursor:
            cursor.execute(statement, list(values))

    def close(self) -> None:
        """Cancel running work, and remove the copy."""
        self._closing = True
        for connection in (self._builder, self._base):
            if connection is not None:
                connection.interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self._base is not None:
            self._base.close()
        self._opened.close()

    def _fill(self) -> None:
        try:
            self._copy()
            self._base = duckdb.connect(self._file, config=SEALED | {"temp_directory": f"{self._file}.tmp"})
            count = self.ask("SELECT count(*) AS images FROM images")[0]["images"]
            self._state = State("", 1.0, count, time.monotonic() - self._begun, ready=True)
        except (MoleError, duckdb.Error, OSError) as reason:
            if not self._closing:
                self._state = State("", error=str(reason))
        finally:
            self._builder = None
            if not (self._state.ready or self._state.error):
                self._state = State(
                    "",
                    error="reading the table ended unexpectedly; the terminal where the command was started says more",
                )

    def _copy(self) -> None:
        """Copy the newest row of each image.

        Raises:
            StorageError: the table cannot be read.
        """
        with open_views(self.table, self._file) as views:
            self._builder = views
            views.execute(
                f"SET memory_limit = '{MEMORY}'; SET threads = {THREADS}; SET preserve_insertion_order = false"
            )
            self._state = State("counting rows")
            [(rows,)] = views.execute("SELECT count(*) FROM verdicts").fetchall()
            self._state = State("looking for the newest row of each image", images=rows)
            if views.execute("SELECT count(*) FROM current").fetchall() == [(rows,)]:
                # every row is the newest of its image, so that the window over all rows can be skipped
                views.execute("CREATE OR REPLACE VIEW current AS FROM verdicts")
            self._state = State("copying rows", images=rows)
            self._find_thresholds(views)
            columns = f"{ADDED_COLUMNS}, {self._doubt()} AS doubt"
            views.execute(
                f"CREATE TABLE images AS SELECT row_number() OVER () AS id, * EXCLUDE (last), {columns} FROM evidence"
            )
            self._state = State("comparing models", images=rows)
            views.execute(OTHER_MODELS_SQL)
            views.execute(LABELS_SQL)
            self._builder = None  # about to be closed

    def _find_thresholds(self, views: duckdb.DuckDBPyConnection) -> None:
        found = {model: (low, high) for model, low, high in views.execute(THRESHOLDS_SQL).fetchall()}
        self.thresholds = found | dict(self._known)

    def _doubt(self) -> str:
        """Return the SQL for the distance of a logit to its model's nearest threshold."""
        cases = []
        for model, edges in self.thresholds.items():
            distances = [f"abs(logit - ({edge!r}))" for edge in edges if edge is not None]
            if distances:
                name = model.replace("'", "''")
                cases.append(f"WHEN '{name}' THEN least({', '.join(distances)})")
        return f"CASE model {' '.join(cases)} END" if cases else "NULL::FLOAT"

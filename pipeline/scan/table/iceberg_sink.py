"""Iceberg sink: the verdict table as an Iceberg table, partitioned by model, with one commit a wave.

A commit is atomic for every reader, so there are no duplicate rows to repair; files that a killed run wrote but did not
commit are not part of the table. The catalog is pyiceberg's, with its own settings and credentials.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from ray.data._internal.datasource.iceberg_datasink import IcebergDatasink
from ray.data.datasource.datasink import WriteResult

from mole.errors import MoleError, SettingsError, StorageError
from pipeline.records import MODEL, SCHEMA_VERSION, VERDICT, VERSION_KEY
from pipeline.runtime import cluster
from pipeline.scan.table import lease
from pipeline.scan.table.ledger import NO_PLACES, PLACES, Ledger, register, sql_list, unreadable
from pipeline.scan.table.verdicts import Verdicts
from pipeline.storage import storage
from pipeline.storage.guard import Guard

PROPERTY = "mole-scan"
ADDED = """
    SELECT model, filename AS file, sum(rows)::BIGINT AS rows,
           coalesce(sum(rows) FILTER (status <> 'ok'), 0)::BIGINT AS faults, sum(units)::BIGINT AS units,
           list(struct_pack(status := status, verdict := verdict, images := rows)) AS outcomes
    FROM (
        SELECT model, filename, status, verdict, count(*) AS rows, count(*) FILTER ("last") AS units
        FROM read_parquet({files}, filename = true) GROUP BY ALL
    )
    GROUP BY ALL ORDER BY ALL
"""


def flat(verdicts: pa.Table) -> pa.Table:
    """Decode the dictionary column `unit` to strings, since Iceberg has no dictionaries."""
    return verdicts.set_column(verdicts.schema.get_field_index("unit"), "unit", verdicts["unit"].cast(pa.string()))


class LeasedDatasink(IcebergDatasink):
    """Ray's sink for Iceberg, which commits only under the run's lease.

    pyiceberg repeats a commit that the catalog refused, on the table as it has become meanwhile. So the lease is
    checked before every attempt: if another run takes it after a check and commits, the catalog refuses the attempt,
    and the next check fails.

    Attributes:
        guard: checks the lease.
    """

    guard: Guard

    def on_write_complete(self, write_result: WriteResult[Any]) -> None:
        """Commit all data files.

        Raises:
            HeldError: another run holds the lease, or held it and has ended.
            CommitFailedException: the catalog refused every attempt.
        """
        catalog = self._table.catalog
        commit = catalog.commit_table
        lost: list[MoleError] = []

        def commit_table(*args: Any, **options: Any) -> Any:
            """Check the lease, then make one attempt."""
            try:
                self.guard()
            except MoleError as reason:
                lost.append(reason)
                raise
            return commit(*args, **options)

        catalog.commit_table = commit_table  # type: ignore[method-assign]
        try:
            super().on_write_complete(write_result)
        except Exception:  # Ray repeats an error whose words look transient, such as a path with 503
            if lost:
                raise lost[0] from None
            raise


class IcebergSink:
    """A table of a catalog.

    Args:
        name: `catalog.namespace.table`; pyiceberg finds the catalog in its own settings.

    Raises:
        SettingsError: the name has another form, or pyiceberg does not know the catalog.
        StorageError: the catalog does not answer, or another schema version created the table.
    """

    def __init__(self, name: str) -> None:
        catalog, dot, self.name = name.partition(".")
        if not dot or "." not in self.name:
            raise SettingsError(f"--output {name!r}: an Iceberg table is named catalog.namespace.table")
        try:
            self.catalog = load_catalog(catalog)
        except Exception as reason:
            raise SettingsError(
                f"--output {name!r}: pyiceberg does not know the catalog {catalog!r} ({reason}); name it in "
                f".pyiceberg.yaml or in PYICEBERG_CATALOG__{catalog.upper()}__URI"
            ) from reason
        try:
            table = self._load(self.catalog)
        except Exception as reason:
            raise StorageError(f"the catalog {catalog!r} does not give {self.name!r}: {reason}") from reason
        version = table.properties.get(VERSION_KEY.decode())
        if version != SCHEMA_VERSION:
            raise StorageError(f"{name} has verdict schema {version!r}, this version writes {SCHEMA_VERSION!r}")
        self.output = storage.absolute(table.location())

    def _load(self, catalog: Catalog) -> Table:
        """Load the table; create it where there is none."""
        try:
            return catalog.load_table(self.name)
        except NoSuchTableError:
            catalog.create_namespace_if_not_exists(self.name.rpartition(".")[0])
            columns = [pa.field(MODEL, pa.string()), *VERDICT]
            schema = pa.schema([field.with_type(pa.string()) if field.name == "unit" else field for field in columns])
            created = catalog.create_table(self.name, schema, properties={VERSION_KEY.decode(): SCHEMA_VERSION})
            with created.update_spec() as spec:
                spec.add_identity(MODEL)
            return catalog.load_table(self.name)

    def ledger(self, model: str) -> Ledger:
        """Open a model's partition."""
        return IcebergLedger(storage.join(self.output, "data", f"{MODEL}={model}"), self, model)

    def files(self, model: str | None = None) -> list[str]:
        """List the data files of the current snapshot, of one model or of all."""
        table = self.catalog.load_table(self.name)
        scan = table.scan() if model is None else table.scan(row_filter=EqualTo(term=MODEL, value=model))
        return [storage.absolute(task.file.file_path) for task in scan.plan_files()]

    def put(self, verdicts: Verdicts, generation: str, rows: int, units: list[str]) -> Iterator[dict[str, Any]]:
        """Write a wave, and commit it atomically.

        Args:
            verdicts: as `conclude` writes them; nothing runs before this.
            generation: the lease under which this run writes.
            rows: rows of a data file.
            units: names of the wave's units.

        Yields:
            A row of `WRITTEN_FILES` for each data file.

        Raises:
            StorageError: another run holds the lease on the table, or others kept committing to it.
        """
        check = partial(lease.check, self.output, generation)
        check()  # a run without the lease need not score a wave
        before = set(self.files())
        digest = hashlib.blake2b("\n".join(sorted(units)).encode(), digest_size=16).hexdigest()
        properties = {"generation": generation, "units": str(len(units)), "units-digest": digest}
        datasink = LeasedDatasink(
            self.name,
            catalog_kwargs={"name": self.catalog.name, **self.catalog.properties},
            snapshot_properties={f"{PROPERTY}.{name}": value for name, value in properties.items()},
        )
        datasink.guard = check
        rows_of_files = verdicts.dataset.map_batches(
            flat, batch_size=rows, batch_format="pyarrow", **cluster.write_resources()
        )
        try:
            rows_of_files.write_datasink(datasink)
        except CommitFailedException as reason:
            raise StorageError(
                f"others kept committing to {self.name!r}; run this command again when they have ended: {reason}"
            ) from reason
        added = [file for file in self.files() if file not in before]
        with duckdb.connect() as database:
            self.register(database)
            found = database.sql(ADDED.format(files=sql_list(added))).to_arrow_table().to_pylist() if added else []
        for written_file in found:
            yield written_file | {"content": None}

    def register(self, database: duckdb.DuckDBPyConnection) -> None:
        """Register the table's store with a database."""
        fs, _ = storage.filesystem(self.output)
        if not isinstance(fs, LocalFileSystem):
            register(database, fs)


@dataclass(frozen=True)
class IcebergLedger(Ledger):
    """One model's rows of an Iceberg table.

    Attributes:
        folder: URL of its data files.
        table: the table.
        model: the model's digest.
    """

    table: IcebergSink
    model: str

    def attach(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create a view of the current snapshot's places; see `Ledger.attach`.

        Raises:
            StorageError: the catalog does not answer, or a file cannot be read.
        """
        try:
            files = self.table.files(self.model)
            self.table.register(database)
            found = f"SELECT {PLACES} FROM read_parquet({sql_list(files)})" if files else NO_PLACES
            database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {found}")
        except Exception as reason:
            raise unreadable(self.folder, reason) from reason

    def files(self) -> list[str]:
        """List the data files of the current snapshot; see `Ledger.files`.

        Raises:
            StorageError: the catalog does not answer.
        """
        try:
            return self.table.files(self.model)
        except Exception as reason:
            raise unreadable(self.folder, reason) from reason

    def repair(self, _guard: Guard | None = None) -> int:
        """Do nothing: a wave is committed atomically under the lease, so it has no duplicate rows."""
        return 0

"""Compaction: merges the small files of each model's partition; every image keeps its row at any moment.

A merged file is written and read back first. The small files are removed after a grace period in which readers that had
listed them can finish. In between a row is in two files: the views show one of them, and the next run repairs what a
killed compaction left.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mole.errors import CompletenessError, StorageError
from pipeline.records import MODEL, check_version
from pipeline.scan.settings import CompactSettings
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.part import encode, part_name
from pipeline.scan.table.views import partitions, require_table
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS
from pipeline.storage.retry import with_retries
from pipeline.telemetry.terminal import ProgressDisplay

READERS = 16


@dataclass(frozen=True)
class File:
    """A file of a partition.

    Attributes:
        url: its URL.
        rows: its number of rows.
        schema: its columns and their types.
        first: its smallest unit by name, as far as its footer has statistics.
    """

    url: str
    rows: int
    schema: pa.Schema
    first: str


@dataclass(frozen=True)
class Compacted:
    """The result of compacting a model's partition.

    Attributes:
        model: the model's digest.
        rows: its rows, which stay.
        before: files before.
        after: files after.
        repaired: duplicate rows that were removed.
    """

    model: str
    rows: int
    before: int
    after: int
    repaired: int


def compact(settings: CompactSettings, wait: Callable[[float], None] = time.sleep) -> list[Compacted]:
    """Merge the small files of a verdict table.

    Args:
        settings: which table, and how large its files may be.
        wait: sleeps for some seconds.

    Raises:
        SettingsError: there is no such table.
        StorageError: a store failed, the table has another schema, or a run holds its lease; no row is lost.
        CompletenessError: a merged file does not have the rows of the files that it was made of.
    """
    require_table(settings.table)
    with Lease(settings.table) as held:
        return [_partition(folder, settings, held, wait) for folder in partitions(storage.absolute(settings.table))]


def _partition(folder: str, settings: CompactSettings, held: Lease, wait: Callable[[float], None]) -> Compacted:
    """Merge the small files of one partition; what a killed compaction left is repaired first."""
    storage.remove_temporary_files(folder)
    repaired = Ledger(folder).repair(held.check)
    files = _files(folder)
    groups = list(_groups(files, settings.rows_per_file))
    progress = ProgressDisplay.shown()
    for group in progress.track(groups, "joining files", len(groups), "files"):
        _merge(folder, group, held)
    if groups:
        progress.enter("waiting for those who read the small files")
        wait(settings.grace)
    for group in groups:
        with ThreadPoolExecutor(READERS) as removers:
            # without the lease another run may have removed the merged rows in place of these
            list(removers.map(partial(storage.remove, guard=held.check), [file.url for file in group]))
    removed = sum(len(group) - 1 for group in groups)
    rows = sum(file.rows for file in files)
    return Compacted(folder.rpartition(f"{MODEL}=")[2], rows, len(files), len(files) - removed, repaired)


def _files(folder: str) -> list[File]:
    """Read the footers of a partition's files."""
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(_file, storage.list_files(folder, ".parquet")))


def _file(url: str) -> File:
    fs, path = storage.filesystem(url)
    try:
        with fs.open(path, "rb") as stream:
            file = pq.ParquetFile(stream)
            footer, schema = file.metadata, file.schema_arrow
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read {url!r}: {reason}") from reason
    check_version(schema.metadata, url)
    statistics = [footer.row_group(number).column(0).statistics for number in range(footer.num_row_groups)]
    smallest = [str(facts.min) for facts in statistics if facts is not None and facts.has_min_max]
    return File(url, footer.num_rows, schema, min(smallest, default=""))


def _groups(files: Sequence[File], max_rows: int) -> Iterator[list[File]]:
    """Group small files of one schema, in the order of their units, up to `max_rows` rows."""
    alike: dict[str, list[File]] = defaultdict(list)
    for file in sorted(files, key=lambda file: (file.first, file.url)):
        if 2 * file.rows < max_rows:
            alike[file.schema.to_string(show_field_metadata=False)].append(file)
    for same in alike.values():
        group: list[File] = []
        for file in same:
            if group and sum(member.rows for member in group) + file.rows > max_rows:
                if len(group) > 1:
                    yield group
                group = []
            group.append(file)
        if len(group) > 1:
            yield group


def _merge(folder: str, group: Sequence[File], held: Lease) -> None:
    """Write one file with the rows of several, sorted by unit and index.

    Raises:
        CompletenessError: it does not have exactly these rows.
        StorageError: the store failed.
    """
    rows = pa.concat_tables([_read(file.url) for file in group])
    places = pa.table({"unit": rows["unit"].cast(pa.string()), "index": rows["index"]})
    order = pc.sort_indices(places, [("unit", "ascending"), ("index", "ascending")])
    rows = rows.take(order)
    field = group[0].schema.field("unit")
    if pa.types.is_dictionary(field.type):  # one dictionary in place of each file's
        unit = rows["unit"].cast(pa.string()).combine_chunks().dictionary_encode()
        rows = rows.set_column(rows.schema.get_field_index("unit"), field, pa.chunked_array([unit]))
    name = part_name(rows)
    url = storage.join(folder, name)
    if url in {
        file.url for file in group
    }:  # left by a killed compaction, shortened by a repair, and still named by all its rows
        url = storage.join(folder, f"joined-{name}")
    storage.write(url, encode(rows.replace_schema_metadata(group[0].schema.metadata)), guard=held.check)
    written = _read(url)
    if written.num_rows != sum(file.rows for file in group) or part_name(written) != name:
        raise CompletenessError(
            f"{url} does not have the rows of the {len(group)} files that it was merged from; these stay, remove it"
        )


def _read(url: str) -> pa.Table:
    fs, path = storage.filesystem(url)

    def once() -> pa.Table:
        """Read the file in one attempt."""
        with fs.open(path, "rb") as stream:
            return pq.ParquetFile(stream).read()

    try:
        return with_retries(once, url)
    except (*STORE_FAULTS, pa.ArrowException) as reason:
        raise StorageError(f"cannot read {url!r}: {reason}") from reason

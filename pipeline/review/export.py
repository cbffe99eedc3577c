"""Export flow: reads the bytes of selected images again and writes them as WebDataset shards.

A shard and the record of its rows are the checkpoint: a killed export continues after the last one.
"""

import csv
import io
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from mole.errors import CompletenessError
from pipeline.command.settings import JobSettings
from pipeline.review import webdataset_sample
from pipeline.review.analysis.original_bytes import Unavailable, originals
from pipeline.review.export_selection import (
    FILE,
    Selection,
    read_listing,
    require_same_selection,
    require_selection,
    write_listing,
)
from pipeline.review.shard_writer import FOLDER, Part, Shards, Size, parts
from pipeline.scan.table.lease import Lease
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay

MISSING = "missing.csv"
MISSING_COLUMNS = ("uri", "key", "unit", "index", "status", "detail")
SUMMARY = "export.json"


class ExportSettings(JobSettings):
    """Write images of a verdict table, with their rows and labels, as WebDataset shards: to look at or to train with.

    Only the selected images are read again, those in a shard by byte range. Each is written with its row (.json) and,
    if it is labelled real or generated, its class (.cls). The extension of an image follows its format; if the format
    is unknown, it is that of the image's name, or .bin. Images that are empty, missing or changed since the scan are
    listed in missing.csv. A stopped export continues when the same command is started again.

    exit codes: 0 every selected image is exported or listed as missing, 2 a setting is invalid or a path does not
    exist, 3 a store failed, 5 an image was lost or written twice, 7 another run is writing to the output, 130 Ctrl-C,
    143 SIGTERM
    """

    prefix = "MOLE_EXPORT_"
    positional = "table"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    output: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the shards")
    where: str | None = Field(
        None,
        description='export only images for which this SQL condition on the view evidence holds, such as "verdict = '
        "'unsure'\". As in mole-scan browse, generator is the generator that the file names, and source the image's "
        "folder or domain; doubt, which browse also has, depends on the model's thresholds and is not available here. "
        "With --labels there are also label, label_generator, note, labelled_by and labelled_at (default: all images)",
    )
    labels: str | None = Field(
        None,
        description="export only labelled images, with their labels: the folder URL of a table of labels, as "
        "mole-scan browse writes it (default: labels are ignored)",
    )
    sample: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="export only this share of the images; the same command always draws the same ones"
    )
    limit: PositiveInt | None = Field(None, description="export at most this many images (default: no limit)")
    images_per_shard: PositiveInt = Field(1000, description="at most this many images in a shard")
    bytes_per_shard: PositiveInt = Field(256 << 20, description="begin a new shard once one holds this many bytes")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")


class Exported(BaseModel):
    """The result of an export over all its runs.

    Attributes:
        asked: the selection.
        output: the folder of the shards.
        images: number of images in shards.
        missing: images whose bytes are not available, listed in `missing.csv`.
        shards: number of shards.
    """

    model_config = ConfigDict(frozen=True)

    asked: Selection
    output: str
    images: int
    missing: int
    shards: int


def require_exportable(settings: ExportSettings) -> Selection:
    """Check, before anything is written, that an export is possible.

    Returns:
        The selection.

    Raises:
        SettingsError: a path does not exist, the condition is invalid, or the output holds another export.
        StorageError: a store failed.
    """
    labels = settings.labels
    asked = Selection(
        table=storage.absolute(settings.table),
        where=settings.where,
        labels=None if labels is None else storage.absolute(labels),
        sample=settings.sample,
        limit=settings.limit,
    )
    output = storage.absolute(settings.output)
    if _done(asked, output) is None:
        require_selection(asked, output)
    return asked


def export(settings: ExportSettings, asked: Selection, progress: ProgressDisplay) -> Exported:
    """Write each selected image to one shard, or to the list of missing ones.

    Args:
        settings: give the output and the shard size.
        asked: the selection from `require_exportable`.
        progress: the progress display.

    Raises:
        SettingsError: the condition fails on a row, or the output holds another export.
        StorageError: a store failed, or another run holds the output; written shards stay valid.
        CompletenessError: a selected image is neither in a shard nor missing, or is exported twice.
    """
    output = storage.absolute(settings.output)
    with Lease(output):
        storage.remove_temporary_files(output)
        storage.remove_temporary_files(storage.join(output, FOLDER))
        if done := _done(asked, output):
            progress.log("already complete, nothing to do")
            storage.remove(storage.join(output, FOLDER, FILE))
            return done
        with progress.during("choosing images"):
            chosen = write_listing(asked, output)
        write(output, chosen, Size(settings.images_per_shard, settings.bytes_per_shard), progress)
        return conclude(asked, output, chosen)


def _done(asked: Selection, output: str) -> Exported | None:
    """Read the result of a complete export; None if there is none.

    Raises:
        SettingsError: it is one of something else.
    """
    summary = storage.join(output, SUMMARY)
    if not storage.exists(summary):
        return None
    done = Exported.model_validate_json(storage.read(summary))
    require_same_selection(asked, done.asked.model_dump(), output)
    return done


def write(output: str, chosen: int, size: Size, progress: ProgressDisplay) -> None:
    """Read the listed images again, continuing after the last run, and write the shards.

    Args:
        output: the folder's URL, which has the listing.
        chosen: number of listed images.
        size: maximum size of a shard.
        progress: the progress display.

    Raises:
        StorageError: the output cannot be written, or the listing cannot be read.
    """
    with Shards(output, size) as shards:
        begin = f", {shards.rows:,} of them done by an earlier run" if shards.rows else ""
        progress.log(f"{chosen:,} image{'' if chosen == 1 else 's'} selected{begin}")
        with progress.during("exporting", chosen - shards.rows):
            for row, found in originals(read_listing(output, shards.rows)):
                if isinstance(found, Unavailable):
                    place = {name: row[name] for name in MISSING_COLUMNS if name in row}
                    shards.miss(place | {"status": str(found.status), "detail": found.detail})
                else:
                    shards.write(webdataset_sample.members(shards.rows, row, found))
                progress.advance(faults=isinstance(found, Unavailable))


def conclude(asked: Selection, output: str, chosen: int) -> Exported:
    """Check that every selected image is in one shard or missing, list the missing ones, and write the summary.

    Raises:
        CompletenessError: an image is neither, both, or in two shards.
    """
    done = list(parts(output))
    _require_whole(done, output, chosen)
    missing = sum(len(part.missing) for part in done)
    if missing:
        text = io.StringIO()
        table = csv.DictWriter(text, MISSING_COLUMNS)
        table.writeheader()
        for part in done:
            table.writerows(part.missing)
        storage.write(storage.join(output, MISSING), text.getvalue().encode())
    images = sum(part.images for part in done)
    shards = sum(part.name is not None for part in done)
    found = Exported(asked=asked, output=output, images=images, missing=missing, shards=shards)
    storage.write(storage.join(output, SUMMARY), found.model_dump_json(indent=2).encode())
    storage.remove(storage.join(output, FOLDER, FILE))  # it would be taken for a verdict table
    return found


def _require_whole(done: Sequence[Part], output: str, chosen: int) -> None:
    """Check that the parts hold each listed row once, and that their shards exist.

    Raises:
        CompletenessError: they do not.
    """
    at = 0
    there = {file.rpartition("/")[2] for file in storage.list_files(output, ".tar")}
    for part in done:
        begin, end = part.rows
        if begin != at or end - begin != part.images + len(part.missing):
            raise CompletenessError(
                f"{part.name} in {output!r} should hold the rows from {at:,} on; export to another --output"
            )
        if part.name is not None and part.name not in there:
            raise CompletenessError(f"{part.name} is gone from {output!r}; export to another --output")
        at = end
    if at != chosen:
        raise CompletenessError(f"{chosen:,} images were chosen and {at:,} exported or missing; start the export again")

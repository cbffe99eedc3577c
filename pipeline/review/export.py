"""The flow of an export: images of a verdict table that are chosen, their bytes read again, as WebDataset shards.

A shard and the record of its rows are the checkpoint: an export that was killed goes on after the last one.
"""

import csv
import io
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from mole.errors import CompletenessError
from pipeline.command.settings import JobSettings
from pipeline.review import sample
from pipeline.review.evidence.original import Unavailable, originals
from pipeline.review.selection import FILE, Selection, demand_choice, demand_same, list_chosen, listed
from pipeline.review.shards import FOLDER, Part, Shards, Size, parts
from pipeline.scan.table.lease import Lease
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay

MISSING = "missing.csv"
TOLD = ("uri", "key", "unit", "index", "status", "detail")
SUMMARY = "export.json"


class ExportSettings(JobSettings):
    """Write images of a verdict table, with their rows and labels, as WebDataset shards: to look at or to train with.

    Only the chosen images are read again, those in a shard by byte range. Each is written with its row (.json) and, if
    it was labelled real or generated, its class (.cls). The extension of an image follows its bytes; where these are
    not a known image format, it is that of the image's name, or .bin. Images that are empty, gone or changed since the
    scan are listed in missing.csv. A stopped export continues when the same command is started again.

    exit codes: 0 every chosen image is exported or listed as missing, 2 a setting is refused or a place does not exist,
    3 a store failed, 5 an image was lost or written twice, 7 another run is writing to the output, 130 Ctrl-C, 143
    SIGTERM
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
        "mole-scan browse writes it (default: labels are not looked at)",
    )
    sample: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="export only this share of the images; the same command always draws the same ones"
    )
    limit: PositiveInt | None = Field(None, description="export at most this many images (default: no limit)")
    images_per_shard: PositiveInt = Field(1000, description="at most this many images in a shard")
    bytes_per_shard: PositiveInt = Field(256 << 20, description="begin a new shard once one holds this many bytes")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")


class Exported(BaseModel):
    """What an export has done, in all its runs.

    Attributes:
        asked: which images were asked for.
        output: the folder of the shards.
        images: in shards.
        missing: images whose bytes are gone, listed in `missing.csv`.
        shards: how many there are.
    """

    model_config = ConfigDict(frozen=True)

    asked: Selection
    output: str
    images: int
    missing: int
    shards: int


def demand(settings: ExportSettings) -> Selection:
    """Check, before anything is written, that an export can be done.

    Returns:
        Which images are asked for.

    Raises:
        SettingsError: a place is not there, the condition is refused, or the output holds another export.
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
        demand_choice(asked, output)
    return asked


def export(settings: ExportSettings, asked: Selection, progress: ProgressDisplay) -> Exported:
    """Put each image that is chosen into one shard, or into the list of missing ones.

    Args:
        settings: where to, and when a shard is full.
        asked: which images of which table, as `demand` found them.
        progress: told of what is done.

    Raises:
        SettingsError: the condition fails on a row, or the output holds another export.
        StorageError: a store failed, or another run holds the output; shards that are written stay good.
        CompletenessError: a chosen image is in no shard and not missing, or twice.
    """
    output = storage.absolute(settings.output)
    with Lease(output):
        storage.sweep(output)
        storage.sweep(storage.join(output, FOLDER))
        if done := _done(asked, output):
            progress.log("already complete, nothing to do")
            storage.remove(storage.join(output, FOLDER, FILE))
            return done
        with progress.during("choosing images"):
            chosen = list_chosen(asked, output)
        write(output, chosen, Size(settings.images_per_shard, settings.bytes_per_shard), progress)
        return conclude(asked, output, chosen)


def _done(asked: Selection, output: str) -> Exported | None:
    """Read what an export that is whole has done; None if there is none.

    Raises:
        SettingsError: it is one of something else.
    """
    summary = storage.join(output, SUMMARY)
    if not storage.exists(summary):
        return None
    done = Exported.model_validate_json(storage.read(summary))
    demand_same(asked, done.asked.model_dump(), output)
    return done


def write(output: str, chosen: int, size: Size, progress: ProgressDisplay) -> None:
    """Read the listed images again, from where the last run came to, and write the shards.

    Args:
        output: the folder's URL, with the listing.
        chosen: how many images are listed.
        size: when a shard is full.
        progress: told of each image.

    Raises:
        StorageError: the output cannot be written, or the listing not read.
    """
    with Shards(output, size) as shards:
        begin = f", {shards.rows:,} of them done by an earlier run" if shards.rows else ""
        progress.log(f"{chosen:,} image{'' if chosen == 1 else 's'} chosen{begin}")
        with progress.during("exporting", chosen - shards.rows):
            for row, found in originals(listed(output, shards.rows)):
                if isinstance(found, Unavailable):
                    place = {name: row[name] for name in TOLD if name in row}
                    shards.miss(place | {"status": str(found.status), "detail": found.detail})
                else:
                    shards.write(sample.members(shards.rows, row, found))
                progress.advance(faults=isinstance(found, Unavailable))


def conclude(asked: Selection, output: str, chosen: int) -> Exported:
    """Check that every chosen image is in one shard or missing, list the missing ones, and write the summary.

    Raises:
        CompletenessError: one is neither, or both, or twice.
    """
    done = list(parts(output))
    _demand_whole(done, output, chosen)
    missing = sum(len(part.missing) for part in done)
    if missing:
        text = io.StringIO()
        table = csv.DictWriter(text, TOLD)
        table.writeheader()
        for part in done:
            table.writerows(part.missing)
        storage.write(storage.join(output, MISSING), text.getvalue().encode())
    images = sum(part.images for part in done)
    shards = sum(part.name is not None for part in done)
    found = Exported(asked=asked, output=output, images=images, missing=missing, shards=shards)
    storage.write(storage.join(output, SUMMARY), found.model_dump_json(indent=2).encode())
    storage.remove(storage.join(output, FOLDER, FILE))  # it would pass for a verdict table
    return found


def _demand_whole(done: Sequence[Part], output: str, chosen: int) -> None:
    """Check that the parts hold each listed row once, and that their shards are there.

    Raises:
        CompletenessError: they do not.
    """
    at = 0
    there = {file.rpartition("/")[2] for file in storage.names(output, ".tar")}
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

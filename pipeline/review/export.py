"""The flow of an export: images of a verdict table that are chosen, their bytes read again, as WebDataset shards.

A shard and the record of its rows are the checkpoint: an export that was killed goes on behind the last one.
"""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from mole.errors import LawError
from pipeline import storage
from pipeline.commandline import JobSettings
from pipeline.review import sample
from pipeline.review.chosen import FILE, Asked, demand_same, list_chosen, listed
from pipeline.review.evidence.original import Gone, originals
from pipeline.review.shards import FOLDER, Part, Shards, Size, parts
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.views import demand_table

MISSING = "missing.csv"
TOLD = ("uri", "key", "unit", "index", "status", "detail")
SUMMARY = "export.json"


class ExportSettings(JobSettings):
    """Write images of a verdict table, with their rows and labels, as WebDataset shards: to look at or to train with.

    Only the chosen images are read again: inside a shard by the byte range that the table kept. An image whose bytes
    are gone, or are others than were judged, is listed in missing.csv. An export that was stopped goes on where it was
    when the same command is started again.

    exit codes: 0 every chosen image exported or listed as missing, 2 a setting or a place that is not there, 3 a store
    failed, 5 an image lost or written twice, 7 another run holds the output, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_EXPORT_"
    positional = "table"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    output: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the shards")
    where: str | None = Field(
        None,
        description="a condition in SQL on a row of the view evidence: \"verdict = 'unsure'\"; with --labels also on "
        "label, generator, note, labelled_by and labelled_at (default: all images)",
    )
    labels: str | None = Field(
        None,
        description="the folder URL of a table of labels, as mole-scan browse writes it: only labelled images are "
        "exported, with their labels (default: none)",
    )
    sample: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="only this share of them, drawn by their place, so that the same command draws the same"
    )
    limit: PositiveInt | None = Field(None, description="so many images at most (default: no limit)")
    images_per_shard: PositiveInt = Field(1000, description="images of a shard at most")
    bytes_per_shard: PositiveInt = Field(256 << 20, description="a shard that holds so many bytes is full")
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

    asked: Asked
    output: str
    images: int
    missing: int
    shards: int


def export(settings: ExportSettings, say: Callable[[str], None]) -> Exported:
    """Put each image that is chosen into one shard, or into the list of missing ones.

    Args:
        settings: which images of which table, and where to.
        say: told of what is found and of each shard.

    Raises:
        SettingsError: a setting or the condition is refused, or the output holds another export.
        StorageError: a store failed, or another run holds the output; shards that are written stay good.
        LawError: a chosen image is in no shard and not missing, or twice.
    """
    demand_table(settings.table)
    labels = settings.labels and storage.absolute(settings.labels)
    if settings.labels is not None:
        storage.demand(settings.labels, "--labels")
    asked = Asked(
        table=storage.absolute(settings.table),
        where=settings.where,
        labels=labels,
        sample=settings.sample,
        limit=settings.limit,
    )
    output = storage.absolute(settings.output)
    with Lease(output):
        storage.sweep(output)
        storage.sweep(storage.join(output, FOLDER))
        if storage.exists(storage.join(output, SUMMARY)):
            done = Exported.model_validate_json(storage.read(storage.join(output, SUMMARY)))
            demand_same(asked, done.asked.model_dump(), output)
            say("this export is whole already: nothing is to be done")
            storage.remove(storage.join(output, FOLDER, FILE))
            return done
        chosen = list_chosen(asked, output)
        write(output, chosen, Size(settings.images_per_shard, settings.bytes_per_shard), say)
        return conclude(asked, output, chosen)


def write(output: str, chosen: int, size: Size, say: Callable[[str], None]) -> None:
    """Read the listed images again, from where the last run came to, and write the shards.

    Args:
        output: the folder's URL, with the listing.
        chosen: how many images are listed.
        size: when a shard is full.
        say: told of what is found and of each shard.

    Raises:
        StorageError: the output cannot be written, or the listing not read.
    """
    with Shards(output, size) as shards:
        told = len(shards.done)
        begin = f", {shards.rows:,} of them done by an earlier run" if shards.rows else ""
        say(f"{chosen:,} images chosen{begin}")
        for row, found in originals(listed(output, shards.rows)):
            if isinstance(found, Gone):
                place = {name: row[name] for name in TOLD if name in row}
                shards.miss(place | {"status": str(found.status), "detail": found.detail})
            else:
                shards.write(sample.members(shards.rows, row, found))
            if len(shards.done) > told:
                told = len(shards.done)
                say(f"{shards.done[-1].name}: {shards.done[-1].rows[1]:,} of {chosen:,} images")


def conclude(asked: Asked, output: str, chosen: int) -> Exported:
    """Check that every chosen image is in one shard or missing, list the missing ones, and write the summary.

    Raises:
        LawError: one is neither, or both, or twice.
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
    """Insist that the parts hold each listed row once, and that their shards are there.

    Raises:
        LawError: they do not.
    """
    at = 0
    there = {file.rpartition("/")[2] for file in storage.names(output, ".tar")}
    for part in done:
        begin, end = part.rows
        if begin != at or end - begin != part.images + len(part.missing):
            raise LawError(f"{part.name} in {output!r} should hold the rows from {at:,} on; export to another --output")
        if part.name is not None and part.name not in there:
            raise LawError(f"{part.name} is gone from {output!r}; export to another --output")
        at = end
    if at != chosen:
        raise LawError(f"{chosen:,} images were chosen and {at:,} exported or missing; start the export again")

"""Settings of the commands scan, rescan, tables, compact and estimate."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from mole.measuring.calibration import PREVALENCE
from pipeline.command.default_output import default_output, reason_for_none
from pipeline.command.settings import JobSettings, split_commas
from pipeline.command.settings_sources import SourcedValue
from pipeline.registry import PROMOTED

View = Literal["current", "evidence", "faults", "changed", "progress", "verdicts", "runs"]


class DetectorSettings(JobSettings):
    """Settings of every command that runs a detector over images."""

    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    shadow: str | None = Field(
        None,
        description="a challenger with the same tower as --model, named like it; it scores the same images in the "
        "same pass, and its rows go into a partition of its own (default: none)",
    )
    dedupe: Literal["content"] | None = Field(
        None,
        description="an image whose bytes already have a verdict of the model is not scored again "
        "(default: every image is scored)",
    )
    prevalence: Annotated[float, Field(gt=0, lt=1)] = Field(
        PREVALENCE,
        description="share of generated images among those scanned, assumed by the column probability; "
        "verdicts do not depend on it",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the detector runs")
    num_actors: PositiveInt | None = Field(
        None, description="scoring actors (default: one per GPU, or one per machine)"
    )
    score_resource: str | None = Field(
        None,
        description="a custom Ray resource of the machines that score: each scoring actor requires one unit of it "
        "(default: any machine)",
    )
    batch_size: PositiveInt | None = Field(
        None, description="images per forward pass (default: 256 on a GPU, 16 on CPU)"
    )
    rows_per_file: PositiveInt | None = Field(
        None, description="rows per file of the table (default: 50000 on a GPU, 256 on CPU)"
    )
    image_member: str | None = Field(None, description="the extension of a shard sample's image (default: any image)")
    max_bytes: PositiveInt = Field(64 << 20, description="a larger file, in bytes, is too_large and not read")
    max_pixels: PositiveInt = Field(100_000_000, description="an image with more pixels is too_large and not decoded")
    min_side: NonNegativeInt = Field(16, description="an image with a shorter side, in pixels, is too_small")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else")
    ray_address: str | None = Field(None, description="a running cluster (default: RAY_ADDRESS, or a local Ray)")
    spot_notice: bool = Field(
        False, description="on an EC2 spot machine: end cleanly, as at SIGTERM, when EC2 announces its interruption"
    )
    ray_logs: bool = Field(False, description="show the output of Ray and its workers")

    @model_validator(mode="after")
    def _dedupe_without_shadow(self) -> Self:
        if self.dedupe and self.shadow:
            raise ValueError("--dedupe and --shadow exclude each other: the index of known contents is one model's")
        return self

    @field_validator("image_member")
    @classmethod
    def _bare_extension(cls, value: str | None) -> str | None:
        return None if value is None else value.lstrip(".").lower()


class RunSettings(DetectorSettings):
    """Settings of scan and rescan, with the limits of a run."""

    flags: ClassVar[dict[str, str]] = {**DetectorSettings.flags, "limit": "--max-images"}
    aliases: ClassVar[dict[str, str]] = {"limit": "--limit"}

    limit: PositiveInt | None = Field(
        None,
        description="end after this many images, with exit code 0; the same command continues from there (default: no "
        "limit)",
    )
    max_hours: PositiveFloat | None = Field(
        None,
        description="end after this many hours, with exit code 0: no new images are read, those being scored are "
        "written, and the same command continues from there (default: no limit)",
    )


class ScanSettings(RunSettings):
    """Find AI-generated images: every image of a shard, a listing or a folder gets exactly one row.

    exit codes: 0 done, or stopped by a limit, 2 an invalid setting or a missing file, 3 a store failed, 4 the model
    cannot be used, 5 the completeness check failed, 7 another run holds the output, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_SCAN_"
    positional = "source"

    source: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="a WebDataset shard, a glob or braces of shards, a folder, a listing (.parquet .csv .tsv .json "
        ".jsonl .txt with a column uri, url, path or key), Parquet files that hold the images, an S3 Inventory's "
        "manifest.json or an image; a path or a URL; may be repeated",
    )
    output: Annotated[str, Field(min_length=1)] = Field(
        description="the folder URL of the verdict table, whose own content is never scanned; with --sink iceberg "
        "catalog.namespace.table (default: for local sources NAME-verdicts in the current folder, where NAME is that "
        "of the source's folder or file, or of the innermost folder with all sources; otherwise required)"
    )
    sink: Literal["files", "iceberg"] = Field(
        "files",
        description="Parquet files in a folder, or a table of an Iceberg catalog that pyiceberg is configured for",
    )
    model: Annotated[str, Field(min_length=1)] = Field(
        "embedded",
        description="a checkpoint folder, a registry (its promoted version is used), or 'embedded' for the included "
        "detector",
    )

    no_report: bool = Field(False, description="do not write report.html and suspicious.csv into a local output")
    carry: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (),
        description="columns of the source to carry into the table, separated by commas: url,caption (default: none)",
    )
    all_files: bool = Field(False, description="try every file of a folder as an image, whatever its name")

    @classmethod
    def supplied(cls, given: Mapping[str, SourcedValue]) -> dict[str, SourcedValue]:
        """Choose the output where it is not given and every source is local."""
        sources, reason = cls._unnamed(given)
        return {} if reason or "output" in given else {"output": SourcedValue(default_output(sources), "--output")}

    @property
    def output_is_default(self) -> bool:
        """Tell whether the output is the default one."""
        return not reason_for_none(self.source, self.sink) and self.output == default_output(self.source)

    @classmethod
    def _format_error(cls, error: Any, given: Mapping[str, SourcedValue]) -> str:
        text, (_, reason) = super()._format_error(error, given), cls._unnamed(given)
        return f"{text}, since {reason}" if error["type"] == "missing" and error["loc"] == ("output",) else text

    @classmethod
    def _unnamed(cls, given: Mapping[str, SourcedValue]) -> tuple[list[str], str]:
        """Return the sources as given, and the reason why they have no default output."""
        named = given["source"].value if "source" in given else []
        sources = [text for text in named if isinstance(text, str) and text] if isinstance(named, list) else []
        return sources, reason_for_none(sources, str(given["sink"].value) if "sink" in given else "files")

    def durable_places(self) -> dict[str, list[str]]:
        """List the places that must outlast the run; an Iceberg table is not on this machine."""
        places = super().durable_places()
        return places if self.sink == "files" else {name: own for name, own in places.items() if name != "output"}


class RescanSettings(RunSettings):
    """Score images of a verdict table again: those that a model has not scored, or those that SQL selects.

    Reads only the selected images, in shards by the byte range that the table has.

    exit codes: 0 done, or stopped by a limit, 2 an invalid setting or a missing file, 3 a store failed, 4 the model
    cannot be used, 5 the completeness check failed, 7 another run holds the table, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_RESCAN_"
    positional = "table"

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    model: Annotated[str, Field(min_length=1)] = Field(
        description="'promoted' or a version's digest or its first characters (4 or more), of --registry; a checkpoint "
        "folder; or 'embedded'"
    )
    registry: str | None = Field(
        None, description="the registry in which 'promoted' and digests are looked up (default: none)"
    )
    where: str | None = Field(
        None,
        description="an SQL condition on the newest row of each image: \"verdict = 'unsure'\"; may also select images "
        "that this model could not read: missing, forbidden, unreachable, crashed (default: all it has not scored)",
    )
    newer_than: datetime | None = Field(
        None, description="only images whose newest row has this time or a later one, UTC (default: any time)"
    )
    sample: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="only this share of them, drawn by a hash of their place, so that the same command draws the same "
        "images",
    )

    @field_validator("newer_than")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @model_validator(mode="after")
    def _promoted_needs_a_registry(self) -> Self:
        if self.model == PROMOTED and self.registry is None:
            raise ValueError("--model promoted needs --registry, the folder URL of the registry")
        return self


class TablesSettings(JobSettings):
    """Query a verdict table: show one of its views, run SQL, or write the views into a DuckDB file.

    The views: current (the newest verdict of each image), evidence (the same, with what the file declares about
    itself: generated or camera, and whether the verdict contradicts it), faults (images without a verdict, and why),
    changed (images whose verdict differs between the two newest models, with both scores), progress (images scored by
    each model), verdicts (every row of every model), runs (each run's settings, times, counts, exit code, error).

    exit codes: 0 shown, 2 an invalid setting or a missing file, 3 a store failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_TABLES_"
    positional = "table"
    flags: ClassVar[dict[str, str]] = {"json_rows": "--json"}

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    view: View | None = Field(None, description="what to show (default: progress)")
    sql: str | None = Field(None, description="a query on the views, instead of a view (default: the view)")
    limit: NonNegativeInt = Field(20, description="show this many rows; 0 shows all")
    database: Path | None = Field(
        None, description="write the views into this DuckDB file; they read the table at each query (default: none)"
    )
    json_rows: bool = Field(False, description="print each row as a line of JSON")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.sql is not None and self.view is not None:
            raise ValueError("--sql and --view exclude each other: name the view in the SQL")
        return self


class CompactSettings(JobSettings):
    """Merge the small files of each model's partition of a verdict table, while others read it.

    A merged file is written before the small ones are removed, so a reader of the views always sees each row once. A
    reader of the files themselves may see rows of a merged file twice until the grace period ends, and misses none.

    exit codes: 0 done, 2 an invalid setting or a missing file, 3 a store failed, 5 a merged file does not have its
    rows, 7 another run holds the table, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_COMPACT_"
    positional = "table"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    rows_per_file: PositiveInt = Field(
        1_000_000, description="maximum rows of a merged file; files with half as many are not merged"
    )
    grace: NonNegativeFloat = Field(
        60.0, description="seconds between writing a merged file and removing the small ones"
    )
    json_summary: bool = Field(False, description="print one JSON list, with exact numbers, on stdout and nothing else")


class EstimateSettings(DetectorSettings):
    """Forecast a scan of a source: images, bytes, hours, requests, size of the table, and cost at given prices.

    Lists the source, scans a sample on the connected cluster with the scan's own stages, and shows the arithmetic.

    exit codes: 0 done, 2 an invalid setting or a missing file, 3 a store failed, 4 the model cannot be used, 130
    Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_ESTIMATE_"
    positional = "source"

    source: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="like --source of the scan; may be repeated"
    )
    model: str = Field("embedded", description="like --model of the scan")
    images: PositiveInt = Field(256, description="images of the sample, from at most 16 shards or slices")
    seed: int = Field(0, description="random seed of the sample")
    core_price: NonNegativeFloat = Field(0.0, description="price per core-hour")
    gpu_price: NonNegativeFloat = Field(0.0, description="price per GPU-hour")
    request_price: NonNegativeFloat = Field(0.0, description="price per 1,000 requests to the store")
    transfer_price: NonNegativeFloat = Field(0.0, description="price per gigabyte read")
    storage_price: NonNegativeFloat = Field(0.0, description="price per gigabyte-month of the table")
    all_files: bool = Field(False, description="like --all-files of the scan")

    @model_validator(mode="after")
    def _without_shadow_and_dedupe(self) -> Self:
        if self.shadow or self.dedupe:
            raise ValueError("--shadow and --dedupe are not supported by the forecast; leave them out")
        return self

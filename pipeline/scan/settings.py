"""The settings of a scan, of a rescan, and of a look at the table that both write."""

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
from pipeline.command.output import default_output, unnamed
from pipeline.command.settings import JobSettings, split_commas
from pipeline.command.settings_sources import SourcedValue
from pipeline.registry import PROMOTED

View = Literal["current", "evidence", "faults", "changed", "progress", "verdicts", "runs"]


class DetectorSettings(JobSettings):
    """How a detector is run over images."""

    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    shadow: str | None = Field(
        None,
        description="a challenger on the same tower, named as --model is; it judges the same images in the same pass, "
        "and its rows go into its own partition (default: none)",
    )
    dedupe: Literal["content"] | None = Field(
        None,
        description="an image whose bytes have a verdict of the model already is not scored again "
        "(default: all are scored)",
    )
    prevalence: Annotated[float, Field(gt=0, lt=1)] = Field(
        PREVALENCE,
        description="share of generated images among those that are scanned, which the column probability assumes; "
        "verdicts do not depend on it",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the detector runs")
    num_actors: PositiveInt | None = Field(None, description="scorers (default: one a GPU, or one a machine)")
    score_resource: str | None = Field(
        None,
        description="a custom resource of the machines that score: a scorer takes one of it, and runs nowhere "
        "else (default: anywhere)",
    )
    batch_size: PositiveInt | None = Field(None, description="images a forward pass (default: 256 on a GPU, 16 on CPU)")
    rows_per_file: PositiveInt | None = Field(None, description="rows a part (default: 50000 on a GPU, 256 on CPU)")
    image_member: str | None = Field(
        None, description="the extension that holds a shard sample's image (default: that of any image)"
    )
    max_bytes: PositiveInt = Field(64 << 20, description="a file of more bytes is too_large, unread")
    max_pixels: PositiveInt = Field(100_000_000, description="an image of more pixels is too_large, undecoded")
    min_side: NonNegativeInt = Field(16, description="an image with a shorter side, in pixels, is too_small")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")
    ray_address: str | None = Field(None, description="a running cluster (default: RAY_ADDRESS, or a Ray of its own)")
    spot_notice: bool = Field(
        False, description="on a spot machine of EC2: end cleanly, as at SIGTERM, once that is to be taken away"
    )
    ray_logs: bool = Field(False, description="show what Ray itself and its workers print")

    @model_validator(mode="after")
    def _known_of_one_model(self) -> Self:
        if self.dedupe and self.shadow:
            raise ValueError("--dedupe and --shadow exclude each other: what is known is one model's")
        return self

    @field_validator("image_member")
    @classmethod
    def _bare_extension(cls, value: str | None) -> str | None:
        return None if value is None else value.lstrip(".").lower()


class RunSettings(DetectorSettings):
    """How a detector is run over images, and how far a run goes."""

    flags: ClassVar[dict[str, str]] = {**DetectorSettings.flags, "limit": "--max-images"}
    aliases: ClassVar[dict[str, str]] = {"limit": "--limit"}

    limit: PositiveInt | None = Field(
        None,
        description="end after so many images, with exit code 0; the same command goes on from there (default: no "
        "limit)",
    )
    max_hours: PositiveFloat | None = Field(
        None,
        description="end after so many hours, with exit code 0: nothing new is read then, what is being scored is "
        "written, and the same command goes on from there (default: no limit)",
    )


class ScanSettings(RunSettings):
    """Find AI-generated images: every image of a shard, a listing or a folder gets exactly one verdict.

    exit codes: 0 every row written, 2 a setting or a place that is not there, 3 a store failed, 4 the model cannot be
    used, 5 an image lost or counted twice, 7 another run holds the output, 130 Ctrl-C, 143 SIGTERM
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
        "catalog.namespace.table (default: for sources on this machine NAME-verdicts in the current folder, NAME being "
        "that of the source's folder or file, of several sources that of the innermost folder with all of them; else "
        "required)"
    )
    sink: Literal["files", "iceberg"] = Field(
        "files", description="Parquet files in a folder, or a table of an Iceberg catalog that pyiceberg is told of, as"
    )
    model: Annotated[str, Field(min_length=1)] = Field(
        "embedded",
        description="a checkpoint folder, a registry, whose promoted version is meant, or 'embedded' for the detector "
        "that is shipped",
    )

    no_report: bool = Field(False, description="write no page (report.html) into a local output")
    carry: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (), description="columns of the source to take along, with commas between them: url,caption (default: none)"
    )
    all_files: bool = Field(False, description="try every file of a folder, whatever its name")

    @classmethod
    def supplied(cls, given: Mapping[str, SourcedValue]) -> dict[str, SourcedValue]:
        """Choose the output where it is not given and every source lies on this machine."""
        sources, reason = cls._unnamed(given)
        return {} if reason or "output" in given else {"output": SourcedValue(default_output(sources), "--output")}

    @property
    def output_is_default(self) -> bool:
        """Tell whether the verdicts go where they go without `--output`."""
        return not unnamed(self.source, self.sink) and self.output == default_output(self.source)

    @classmethod
    def _complaint(cls, error: Any, given: Mapping[str, SourcedValue]) -> str:
        told, (_, reason) = super()._complaint(error, given), cls._unnamed(given)
        return f"{told}, since {reason}" if error["type"] == "missing" and error["loc"] == ("output",) else told

    @classmethod
    def _unnamed(cls, given: Mapping[str, SourcedValue]) -> tuple[list[str], str]:
        """Read the sources as they were given, and why no output follows from them."""
        named = given["source"].value if "source" in given else []
        sources = [text for text in named if isinstance(text, str) and text] if isinstance(named, list) else []
        return sources, unnamed(sources, str(given["sink"].value) if "sink" in given else "files")

    def durable_places(self) -> dict[str, list[str]]:
        """List the places that must outlast the run; a table of a catalog is none of this machine."""
        places = super().durable_places()
        return places if self.sink == "files" else {name: own for name, own in places.items() if name != "output"}


class RescanSettings(RunSettings):
    """Judge images of a verdict table again: those that a model has not judged, or those of them that SQL chooses.

    Reads only the chosen images, inside shards by the byte range that the table kept.

    exit codes: 0 every row written, 2 a setting or a place that is not there, 3 a store failed, 4 the model cannot be
    used, 5 an image lost or counted twice, 7 another run holds the table, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_RESCAN_"
    positional = "table"

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    model: Annotated[str, Field(min_length=1)] = Field(
        description="'promoted' or a version's digest or its first characters (4 or more), of --registry; a checkpoint "
        "folder; or 'embedded'"
    )
    registry: str | None = Field(
        None, description="the registry that 'promoted' and digests are looked up in (default: none)"
    )
    where: str | None = Field(
        None,
        description="a condition in SQL on the newest row of each image: \"verdict = 'unsure'\"; may also choose images"
        " that this model could not read: missing, forbidden, unreachable (default: all that it has not judged)",
    )
    newer_than: datetime | None = Field(
        None, description="only images whose newest row is of this time or later, UTC (default: of any time)"
    )
    sample: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="only this share of them, drawn by their place, so that the same command draws the same"
    )

    @field_validator("newer_than")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @model_validator(mode="after")
    def _promoted_needs_a_registry(self) -> Self:
        if self.model == PROMOTED and self.registry is None:
            raise ValueError("--model promoted needs --registry, the folder URL whose promoted version is meant")
        return self


class TablesSettings(JobSettings):
    """Look at a verdict table: one of its views, or an answer in SQL, or a DuckDB file that keeps the views.

    The views: current (the newest verdict of each image), evidence (the same, with what the file declares about
    itself: generated or camera, and whether its verdict contradicts that), faults (images that got none, and why),
    changed (what the newest model called other than the one before it, with both scores), progress (how far each model
    is), verdicts (every row of every model), runs (the record of each run: settings, times, counts, exit code, error).

    exit codes: 0 shown, 2 a setting or a place that is not there, 3 a store failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_TABLES_"
    positional = "table"
    flags: ClassVar[dict[str, str]] = {"json_rows": "--json"}

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    view: View | None = Field(None, description="what to show (default: progress)")
    sql: str | None = Field(None, description="a question about the views, in place of a view (default: the view)")
    limit: NonNegativeInt = Field(20, description="show so many rows of it; 0 shows all")
    database: Path | None = Field(
        None, description="write the views into this DuckDB file; they read the table anew (default: none)"
    )
    json_rows: bool = Field(False, description="print each row as a line of JSON")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.sql is not None and self.view is not None:
            raise ValueError("--sql and --view exclude each other: name the view in the SQL")
        return self


class CompactSettings(JobSettings):
    """Join the small files of a verdict table, each model's by themselves, while others read it.

    A joined file is put in place before the small ones go, so a reader of the views sees each row once at any moment. A
    reader of the bare files may see rows of a joined file twice until the grace ends, and misses none.

    exit codes: 0 done, 2 a setting or a place that is not there, 3 a store failed, 5 a joined file that does not hold
    its rows, 7 another run holds the table, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_COMPACT_"
    positional = "table"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    rows_per_file: PositiveInt = Field(1_000_000, description="rows of a joined file at most; half as many stay alone")
    grace: NonNegativeFloat = Field(60.0, description="seconds between a joined file and the end of the small ones")
    json_summary: bool = Field(
        False, description="print one JSON list, with exact numbers, on stdout and nothing else there"
    )


class EstimateSettings(DetectorSettings):
    """Forecast what a scan of a source takes: images, bytes, hours, requests, the table, and the cost at given prices.

    Reads the source's list, scans a sample with the scan's own steps on the cluster at hand, and shows the arithmetic.

    exit codes: 0 told, 2 a setting or a place that is not there, 3 a store failed, 4 the model cannot be used, 130
    Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_ESTIMATE_"
    positional = "source"

    source: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="as the scan's --source; may be repeated"
    )
    model: str = Field("embedded", description="as the scan's --model")
    images: PositiveInt = Field(256, description="images of the sample, of at most 16 units")
    seed: int = Field(0, description="of the draw of those units")
    core_price: NonNegativeFloat = Field(0.0, description="of a core for an hour")
    gpu_price: NonNegativeFloat = Field(0.0, description="of a GPU for an hour")
    request_price: NonNegativeFloat = Field(0.0, description="of 1,000 requests to the store")
    transfer_price: NonNegativeFloat = Field(0.0, description="of a gigabyte read")
    storage_price: NonNegativeFloat = Field(0.0, description="of a gigabyte of the table for a month")
    all_files: bool = Field(False, description="as the scan's --all-files")

    @model_validator(mode="after")
    def _no_forecast_of_these(self) -> Self:
        if self.shadow or self.dedupe:
            raise ValueError("--shadow and --dedupe are not forecast; leave them out")
        return self

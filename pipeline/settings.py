"""The settings of a scan."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from pipeline.commandline import JobSettings, split_commas


class ScanSettings(JobSettings):
    """Find AI-generated images: every image of a shard, a listing or a folder gets exactly one verdict.

    Each flag may also stand in the environment (MOLE_SCAN_OUTPUT=...) or in a TOML file (--config scan.toml); a flag
    wins over the environment, and the environment over the file.

    exit codes: 0 every row written, 2 settings, 3 storage, 4 model, 5 an image lost or counted twice
    """

    model_config = SettingsConfigDict(env_prefix="MOLE_SCAN_")
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    source: Annotated[list[str], Field(min_length=1)] = Field(
        description="a WebDataset shard, a glob or braces of shards, a folder, a listing (.parquet .csv .tsv .jsonl "
        ".txt with a column uri, url, path or key) or an image; any fsspec URL; may be repeated",
    )
    output: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    model: str = Field("embedded", description="a checkpoint folder, or 'embedded' for the detector that is shipped")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the detector runs")
    num_actors: PositiveInt | None = Field(None, description="scorers; one a GPU, or one a machine, where not given")
    batch_size: PositiveInt | None = Field(None, description="images a forward pass; 256 on a GPU, 16 on CPU")
    rows_per_file: PositiveInt | None = Field(None, description="rows a part; 50000 on a GPU, 256 on CPU")
    limit: PositiveInt | None = Field(None, description="stop after so many images; a later run goes on from there")
    carry: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)] = Field(
        (), description="columns of the source to take along, with commas between them: url,caption"
    )
    image_member: str | None = Field(None, description="the extension that holds a shard sample's image")
    all_files: bool = Field(False, description="try every file of a folder, whatever its name")
    max_bytes: PositiveInt = Field(64 << 20, description="a file above this is too_large, unread")
    max_pixels: PositiveInt = Field(100_000_000, description="an image above this is too_large, undecoded")
    min_side: NonNegativeInt = Field(16, description="an image with a shorter side is too_small")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")
    ray_address: str | None = Field(None, description="a running cluster; a Ray of its own where not given")
    ray_logs: bool = Field(False, description="show what Ray itself and its workers print")

    @field_validator("image_member")
    @classmethod
    def _bare_extension(cls, value: str | None) -> str | None:
        return None if value is None else value.lstrip(".").lower()

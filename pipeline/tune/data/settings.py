"""The settings of every job over labelled images: where they lie, and what their labels mean."""

from typing import Annotated

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt

from pipeline.command.settings import JobSettings, read_json, split_commas
from pipeline.tune.data.source_options import SourceOptions

Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
Share = Annotated[float, Field(ge=0, lt=0.5)]


class SampleSettings(JobSettings):
    """What every job over labelled images has in common."""

    samples: Annotated[list[str], Field(min_length=1)] = Field(
        description="labelled images: folders in any of the usual layouts, a CSV, Parquet or JSON Lines file with uri, "
        "label, generator, labelled WebDataset shards, or a verdict table with --reviews; may be repeated",
    )
    labels: Names = Field(
        (),
        description="what folder names mean, where they do not say: human=real,machine=fake (default: the usual words)",
    )
    reviews: str | None = Field(
        None,
        description="labels of a verdict table's images: the folder that browse writes, or a table with label and "
        "unit and index, uri, key or content_hash (default: none)",
    )
    grids: Names = Field(
        (), description="sources whose images are 2 x 2 grids: one cell of each is taken (default: none)"
    )
    seams: Names = Field(
        (), description="sources some of whose images are 2 x 2 grids, known by the line between panels (default: none)"
    )
    edges: Annotated[dict[str, Share], BeforeValidator(read_json)] = Field(
        {}, description='by source, the share of each side that is cut off, in JSON: {"album": 0.06} (default: none)'
    )
    split_sources: Names = Field(
        (), description="sources of several generators, each of which counts alone (default: none)"
    )
    most: PositiveInt | None = Field(None, description="images a source, at most (default: all)")
    seed: NonNegativeInt = Field(0, description="decides every random draw")
    ray_address: str | None = Field(None, description="a running cluster (default: RAY_ADDRESS, or a Ray of its own)")
    ray_logs: bool = Field(False, description="show what Ray itself and its workers print")

    @property
    def source_options(self) -> SourceOptions:
        """How what is listed becomes samples."""
        return SourceOptions(self.grids, self.seams, self.split_sources, self.edges)

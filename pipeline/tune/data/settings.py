"""Settings shared by all jobs on labelled images: where the images are, and what their labels mean."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt

from pipeline.command.settings import JobSettings, read_json, split_commas
from pipeline.tune.data.source_options import SourceOptions

Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
Share = Annotated[float, Field(ge=0, lt=0.5)]


class SampleSettings(JobSettings):
    """Settings of every job that reads labelled images."""

    renamed: ClassVar[dict[str, str]] = {
        "labels": "label_names",
        "seams": "detect_grids",
        "edges": "crop_edges",
        "most": "max_per_source",
    }

    samples: Annotated[list[str], Field(min_length=1)] = Field(
        description="labelled images: a folder in one of the usual layouts, a CSV, Parquet or JSON Lines file with the "
        "columns uri, label and generator, labelled WebDataset shards, or a verdict table with --reviews; repeatable",
    )
    label_names: Names = Field(
        (),
        description="meaning of other folder names or labels, for example human=real,machine=fake (default: the usual "
        "words)",
    )
    reviews: str | None = Field(
        None,
        description="labels for the images of a verdict table: a folder written by browse, or a table with the column "
        "label and either unit and index, uri, key or content_hash (default: none)",
    )
    grids: Names = Field(
        (), description="sources whose images are 2 x 2 grids, of which one cell each is used (default: none)"
    )
    detect_grids: Names = Field(
        (),
        description="sources of which some images are 2 x 2 grids, which are detected by the seam between their cells "
        "(default: none)",
    )
    crop_edges: Annotated[dict[str, Share], BeforeValidator(read_json)] = Field(
        {}, description='by source, the share of each side to crop away, as JSON: {"album": 0.06} (default: none)'
    )
    split_sources: Names = Field(
        (), description="sources with several generators, each of which becomes a source of its own (default: none)"
    )
    max_per_source: PositiveInt | None = Field(None, description="maximum number of images per source (default: all)")
    seed: NonNegativeInt = Field(0, description="random seed")
    ray_address: str | None = Field(
        None, description="address of a running Ray cluster (default: RAY_ADDRESS, or a local Ray)"
    )
    ray_logs: bool = Field(False, description="show the output of Ray and its workers")

    @property
    def source_options(self) -> SourceOptions:
        """How the images of each source are turned into samples."""
        return SourceOptions(self.grids, self.detect_grids, self.split_sources, self.crop_edges)

"""Source options: how the images of each source are turned into samples."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mole.errors import SettingsError


@dataclass(frozen=True)
class SourceOptions:
    """How the images of each source are turned into samples.

    Attributes:
        grids: sources whose images are 2 x 2 grids; one cell of each is a sample, in rotation.
        detect_grids: sources that contain some such grids, detected by their seam; their images are opened.
        split: sources with several generators, each of which becomes a source of its own.
        crop_edges: by source, the share of each side to crop away, for example to remove a watermark.
    """

    grids: Collection[str] = ()
    detect_grids: Collection[str] = ()
    split: Collection[str] = ()
    crop_edges: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for source, share in self.crop_edges.items():
            if not 0 <= share < 0.5:
                raise SettingsError(f"the edge of {source!r} must lie in [0, 0.5) of a side, got {share}")


DEFAULT_OPTIONS = SourceOptions()
"""Every image is a whole picture, and no source is split."""

"""Reading: what a user says of the sources in a list of images, before any of them is opened."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mole.errors import SettingsError


@dataclass(frozen=True)
class SourceOptions:
    """How the rows of a list become samples.

    Attributes:
        grids: sources whose images are 2 x 2 grids; of each grid one cell is a sample, each of the four in its turn.
        seams: sources of which some images are such grids, known by their seam; these images are opened.
        split: sources that hold several generators; each generator counts as a source of its own.
        edges: of sources whose images carry a mark in a corner, the share of each side that is cut off.
    """

    grids: Collection[str] = ()
    seams: Collection[str] = ()
    split: Collection[str] = ()
    edges: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for source, share in self.edges.items():
            if not 0 <= share < 0.5:
                raise SettingsError(f"the edge of {source!r} must lie in [0, 0.5) of a side, got {share}")


DEFAULT_OPTIONS = SourceOptions()
"""Every image is a whole picture, and every source counts as one."""

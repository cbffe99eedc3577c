"""Heat map process: computes heat maps in a separate process and draws them over the view.

Shapes: C views, S side of a view, R rows and columns of a map.

The process is started at the first request and keeps its checkpoint, so torch is imported only if maps are requested.
"""

import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mole.config import Description
from mole.errors import MoleError
from mole.views.view import Pixels
from pipeline.review.browsing.pictures import Absent
from pipeline.review.browsing.rendering import png, tiled

SIDE = 448
"""Side of the drawing in pixels."""
SECONDS = 120.0


@dataclass(frozen=True)
class Drawn:
    """A heat map, and the share of the logit that it shows.

    Attributes:
        picture: a PNG overlay of the view: orange is evidence for generated, blue for real.
        places: sum of the map in logits, mean over the views.
        rest: the part of the logit that belongs to no place.
    """

    picture: bytes
    places: float
    rest: float

    @property
    def words(self) -> str:
        """A sentence on how much of the logit the map shows."""
        whole = self.places + self.rest
        text = (
            f"Places {_signed(self.places)}, no place in particular {_signed(self.rest)}, together {_signed(whole)}: "
            "this is the logit, computed again here; the higher it is, the more speaks for generated."
        )
        if self.places * whole < 0:
            colour, other = ("orange", "real") if self.places > 0 else ("blue", "generated")
            text += f" The places alone are mostly {colour} here; the rest, which no picture shows, speaks for {other}."
        elif abs(self.rest) > abs(self.places):
            text += " Most of it comes from no place in particular, so the picture shows the smaller part."
        return text


class Heat:
    """Computes and draws heat maps."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def drawn(self, checkpoint: Description, views_C3SS: Pixels) -> Drawn | Absent:
        """Draw the heat maps of an image's views.

        Args:
            checkpoint: the checkpoint of the row's model.
            views_C3SS: the model's input; uint8.
        """
        try:
            return self._started().submit(drawing, str(checkpoint.folder), views_C3SS).result(SECONDS)
        except TimeoutError:
            return Absent(f"The map took over {SECONDS:.0f} s")
        except MoleError as reason:
            return Absent(f"The map could not be computed: {reason}")
        except BrokenProcessPool:
            self.close()
            return Absent("The process that computes maps ended; ask once more")

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _started(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_quiet)
            return self._pool


def drawing(folder: str, views_C3SS: Pixels) -> Drawn:
    """Compute heat maps in the separate process, and draw them side by side like the views.

    Args:
        folder: the checkpoint's folder.
        views_C3SS: the model's input; uint8.

    Returns:
        The overlay; all maps share the scale of the strongest cell.

    Raises:
        ModelError: the checkpoint cannot be used.
    """
    heatmap, drawn = import_module("mole.inference.heatmap"), import_module("mole.inference.heatmap_overlay")
    checkpoint = _loaded(folder)
    split = [heatmap.split_views(checkpoint, view_3SS[None]) for view_3SS in views_C3SS]
    maps_RC = [drawn.smoothed(part_1RC[0]) for part_1RC, _ in split]
    strongest = max(float(np.abs(part_RC).max()) for part_RC in maps_RC)
    painted = [Image.fromarray(drawn.colours(part_RC, strongest)) for part_RC in maps_RC]
    picture = png(tiled([cells.resize((SIDE, SIDE), Image.Resampling.NEAREST) for cells in painted]))
    places = np.mean([part_1RC.sum(dtype=np.float64) for part_1RC, _ in split])
    return Drawn(picture, float(places), float(np.mean([rest_1 for _, rest_1 in split])))


@lru_cache(maxsize=2)
def _loaded(folder: str) -> Any:
    """Load a checkpoint; imported by name, so that the server's process does not import torch."""
    return import_module("mole.checkpoint").load_checkpoint(Path(folder))


def _signed(logit: float) -> str:
    return f"{logit:+.2f}".replace("-", "\N{MINUS SIGN}")


def _quiet() -> None:
    """Ignore Ctrl-C; the server ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""The heat map: where in an image its score comes from, computed in one process beside the server, drawn over the view.

Shapes: C views, S their side, R rows and columns of a map.

The process is started when the first map is asked for and keeps the checkpoint that it loaded, so torch costs nobody
anything who asks for none.
"""

import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mole.config import Description
from mole.errors import MoleError
from mole.view import Pixels
from pipeline.review.browsing.pictures import Absent
from pipeline.review.browsing.rendering import png, tiled

SIDE = 448
"""Of the drawing, pixels."""
SECONDS = 120.0


class Heat:
    """Draws where scores come from."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def drawn(self, checkpoint: Description, views_C3SS: Pixels) -> bytes | Absent:
        """Draw the maps of an image's views.

        Args:
            checkpoint: of the model that judged it.
            views_C3SS: what it saw; uint8.

        Returns:
            A PNG to lie over what the model saw: orange speaks for generated, blue for real, the more the stronger.
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


def drawing(folder: str, views_C3SS: Pixels) -> bytes:
    """Compute maps in the process of their own, and draw them side by side, as the views are.

    Args:
        folder: of the checkpoint.
        views_C3SS: what it saw; uint8.

    Returns:
        A PNG that is clear where nothing speaks; all maps are drawn to the scale of the strongest cell of all.

    Raises:
        ModelError: the checkpoint cannot be used.
    """
    heatmap, drawn = import_module("mole.heatmap"), import_module("mole.drawing")
    checkpoint = _loaded(folder)
    maps_RC = [drawn.smoothed(heatmap.heat_map(checkpoint, view_3SS)) for view_3SS in views_C3SS]
    most = max(float(np.abs(part_RC).max()) for part_RC in maps_RC)
    painted = [Image.fromarray(drawn.colours(part_RC, most)) for part_RC in maps_RC]
    return png(tiled([cells.resize((SIDE, SIDE), Image.Resampling.NEAREST) for cells in painted]))


@lru_cache(maxsize=2)
def _loaded(folder: str) -> Any:
    """Load a checkpoint; named to the importer, since nothing of the server's process is to import torch."""
    return import_module("mole.checkpoint").load_checkpoint(Path(folder))


def _quiet() -> None:
    """Leave Ctrl-C to the server, at whose end this process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""The heat map: where in an image its score comes from, computed in one process beside the server, drawn over the view.

Shapes: C views, S their side, R rows and K columns of a map.

The process is started when the first map is asked for and keeps the checkpoint that it loaded, so torch costs nobody
anything who asks for none.
"""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mole.config import Description
from mole.errors import MoleError
from mole.view import Pixels
from pipeline.review.browsing.pictures import Absent
from pipeline.review.browsing.rendering import png, tiled

METHOD = ("mole.heatmap", "heat_map")
"""A function of a loaded checkpoint and a view, uint8 (3, S, S): float32 (R, K), what each cell adds to the logit."""
SIDE = 448
"""Of the drawing, pixels."""
GENERATED, REAL = (214, 64, 32), (32, 96, 214)
STRONGEST = 190
"""Of 255: how opaque the cell with the largest share is drawn."""
SECONDS = 120.0

Maps = NDArray[np.float32]


class Heat:
    """Draws where scores come from.

    Args:
        method: module and name of the function that computes maps, see `METHOD`.
    """

    def __init__(self, method: tuple[str, str] = METHOD) -> None:
        self._method = method
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def drawn(self, checkpoint: Description, views_C3SS: Pixels) -> bytes | Absent:
        """Draw the maps of an image's views.

        Args:
            checkpoint: of the model that judged it.
            views_C3SS: what it saw; uint8.

        Returns:
            A PNG to lie over what the model saw: red speaks for generated, blue for real, the more the stronger.
        """
        try:
            found = self._started().submit(computed, self._method, str(checkpoint.folder), views_C3SS).result(SECONDS)
        except TimeoutError:
            return Absent(f"The map took over {SECONDS:.0f} s")
        except (MoleError, ImportError, AttributeError) as reason:
            return Absent(f"The map could not be computed: {reason}")
        except BrokenProcessPool:
            self.close()
            return Absent("The process that computes maps ended; ask once more")
        return drawing(found)

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


def computed(named: tuple[str, str], folder: str, views_C3SS: Pixels) -> Maps:
    """Compute maps, in the process of its own.

    Args:
        named: module and name of the function.
        folder: of the checkpoint.
        views_C3SS: what it saw; uint8.

    Returns:
        float32 (C, R, K); each cell's share of its view's logit.

    Raises:
        ModelError: the checkpoint cannot be used.
    """
    method: Callable[..., Maps] = getattr(import_module(named[0]), named[1])
    checkpoint = _loaded(folder)
    return np.stack([np.asarray(method(checkpoint, view_3SS), np.float32) for view_3SS in views_C3SS])


@lru_cache(maxsize=2)
def _loaded(folder: str) -> Any:
    """Load a checkpoint; named to the importer, since nothing of the server's process is to import torch."""
    return import_module("mole.checkpoint").load_checkpoint(Path(folder))


def drawing(maps_CRK: Maps) -> bytes:
    """Draw maps side by side, as the views are; a PNG that is clear where nothing speaks.

    Args:
        maps_CRK: float32; all are drawn to the scale of the strongest cell of all.
    """
    strength_CRK = np.abs(maps_CRK) / max(float(np.abs(maps_CRK).max()), 1e-9)
    cells_CRK4 = np.zeros((*maps_CRK.shape, 4), np.uint8)
    cells_CRK4[..., :3] = np.where(maps_CRK[..., None] > 0, GENERATED, REAL)
    cells_CRK4[..., 3] = strength_CRK * STRONGEST
    drawn = [Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.NEAREST) for cells in cells_CRK4]
    return png(tiled(drawn))


def _quiet() -> None:
    """Leave Ctrl-C to the server, at whose end this process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

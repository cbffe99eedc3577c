"""The heat map: where in an image its score comes from, computed in one process beside the server, drawn over the view.

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
from pipeline.review.browsing.rendering import pillow, png

METHOD = ("mole.heatmap", "heat_map")
"""A function of a loaded checkpoint and an image: float32 (rows, columns), each cell's signed share of the logit."""
SIDE = 448
"""Of the drawing, pixels."""
GENERATED, REAL = (214, 64, 32), (32, 96, 214)
STRONGEST = 190
"""Of 255: how opaque the cell with the largest share is drawn."""
SECONDS = 120.0

Map = NDArray[np.float32]


class Heat:
    """Draws where scores come from.

    Args:
        method: module and name of the function that computes maps, see `METHOD`.
    """

    def __init__(self, method: tuple[str, str] = METHOD) -> None:
        self._method = method
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def drawn(self, checkpoint: Description, pixels_3HW: Pixels) -> bytes | Absent:
        """Draw the map of an image.

        Args:
            checkpoint: of the model that judged it.
            pixels_3HW: the image, decoded; uint8, upright, RGB.

        Returns:
            A PNG to lie over what the model saw: red speaks for generated, blue for real, the more the stronger.
        """
        try:
            found = self._started().submit(computed, self._method, str(checkpoint.folder), pixels_3HW).result(SECONDS)
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


def computed(named: tuple[str, str], folder: str, pixels_3HW: Pixels) -> Map:
    """Compute a map, in the process of its own.

    Args:
        named: module and name of the function.
        folder: of the checkpoint.
        pixels_3HW: the image; uint8, upright, RGB.

    Returns:
        float32 (rows, columns); each cell's share of the logit.

    Raises:
        ModelError: the checkpoint cannot be used.
    """
    method: Callable[..., Map] = getattr(import_module(named[0]), named[1])
    return np.asarray(method(_loaded(folder), pillow(pixels_3HW)), np.float32)


@lru_cache(maxsize=2)
def _loaded(folder: str) -> Any:
    """Load a checkpoint; named to the importer, since nothing of the server's process is to import torch."""
    return import_module("mole.checkpoint").load_checkpoint(Path(folder))


def drawing(map_RC: Map) -> bytes:
    """Draw a map; a PNG with transparent cells where nothing speaks.

    Args:
        map_RC: float32 (rows, columns).
    """
    strength_RC = np.abs(map_RC) / max(float(np.abs(map_RC).max()), 1e-9)
    cells_RC4 = np.zeros((*map_RC.shape, 4), np.uint8)
    cells_RC4[..., :3] = np.where(map_RC[..., None] > 0, GENERATED, REAL)
    cells_RC4[..., 3] = strength_RC * STRONGEST
    return png(Image.fromarray(cells_RC4).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def _quiet() -> None:
    """Leave Ctrl-C to the server, at whose end this process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

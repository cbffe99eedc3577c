"""Laws of the heat map: computed beside the server, drawn to scale, and refused in words."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mole.config import describe
from pipeline.review.browsing.heat import GENERATED, REAL, SIDE, STRONGEST, Heat, drawing
from pipeline.review.browsing.pictures import Absent


def test_what_speaks_for_generated_is_red_and_the_strongest_cell_the_most_opaque() -> None:
    drawn = np.asarray(Image.open(io.BytesIO(drawing(np.array([[[2.0, -1.0], [0.0, 0.5]]], np.float32)))))
    assert drawn.shape == (SIDE, SIDE, 4)
    assert tuple(drawn[0, 0]) == (*GENERATED, STRONGEST)
    assert tuple(drawn[0, -1]) == (*REAL, STRONGEST // 2)
    assert drawn[-1, 0, 3] == 0 and tuple(drawn[-1, -1, :3]) == GENERATED


def test_a_map_of_nothing_is_clear() -> None:
    drawn = np.asarray(Image.open(io.BytesIO(drawing(np.zeros((1, 3, 3), np.float32)))))
    assert not drawn[..., 3].any()


def test_a_method_that_is_not_there_is_told(tiny: Path) -> None:
    heat = Heat(("mole.nowhere", "heat_map"))
    found = heat.drawn(describe(tiny), np.zeros((1, 3, 32, 32), np.uint8))
    heat.close()
    assert isinstance(found, Absent) and found.words.startswith("The map could not be computed")

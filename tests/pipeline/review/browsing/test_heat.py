"""Laws of the heat map: computed beside the server, drawn to scale over the views, and refused in words."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mole.checkpoint import load_checkpoint
from mole.config import describe
from mole.drawing import GENERATED, REAL, smoothed
from mole.heatmap import heat_map
from pipeline.review.browsing.heat import SIDE, Heat
from pipeline.review.browsing.pictures import Absent


def test_the_drawing_has_the_colour_of_each_cells_part_of_the_logit(tiny: Path) -> None:
    found = describe(tiny)
    views_C3SS = np.random.default_rng(0).integers(
        0, 256, (2, 3, found.preprocess.size, found.preprocess.size), np.uint8
    )
    heat = Heat()
    try:
        made = heat.drawn(found, views_C3SS)
    finally:
        heat.close()
    assert isinstance(made, bytes)
    drawn = np.asarray(Image.open(io.BytesIO(made)))
    assert drawn.shape == (SIDE, 2 * SIDE, 4)
    checkpoint = load_checkpoint(tiny)
    for number, view_3SS in enumerate(views_C3SS):
        part_RC = smoothed(heat_map(checkpoint, view_3SS))
        step = SIDE // len(part_RC)
        cells = drawn[step // 2 :: step, number * SIDE : (number + 1) * SIDE][:, step // 2 :: step]
        assert cells.shape[:2] == part_RC.shape
        assert (cells[part_RC > 0][:, :3] == GENERATED).all() and (cells[part_RC < 0][:, :3] == REAL).all()
        assert np.corrcoef(cells[..., 3].ravel(), np.abs(part_RC).ravel())[0, 1] > 0.99


def test_a_checkpoint_that_cannot_be_used_is_told(tiny: Path, tmp_path: Path) -> None:
    found = describe(tiny)
    heat = Heat()
    try:
        gone = found.__class__(**{**vars(found), "folder": tmp_path})
        told = heat.drawn(gone, np.zeros((1, 3, 32, 32), np.uint8))
    finally:
        heat.close()
    assert isinstance(told, Absent) and told.words.startswith("The map could not be computed")

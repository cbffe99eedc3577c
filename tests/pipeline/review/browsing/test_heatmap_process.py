"""Laws of the heat map: computed beside the server, drawn to scale over the views, and refused in words."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mole.checkpoint import load_checkpoint
from mole.config import describe
from mole.inference.heatmap import heat_map, split_views
from mole.inference.heatmap_overlay import GENERATED, REAL, smoothed
from pipeline.review.browsing.heatmap_process import SIDE, Drawn, Heat
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
    assert isinstance(made, Drawn)
    drawn = np.asarray(Image.open(io.BytesIO(made.picture)))
    assert drawn.shape == (SIDE, 2 * SIDE, 4)
    checkpoint = load_checkpoint(tiny)
    parts_VRC, rest_V = split_views(checkpoint, views_C3SS)
    assert made.places == pytest.approx(parts_VRC.sum(axis=(1, 2)).mean(), abs=1e-5)
    assert made.rest == pytest.approx(rest_V.mean(), abs=1e-5)
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


def test_what_the_picture_leaves_out_is_told() -> None:
    told = Drawn(b"", 0.78, -3.16).words
    assert told.startswith("Places +0.78, no place in particular −3.16, together −2.38")
    assert "mostly orange here; the rest, which no picture shows, speaks for real" in told
    assert "the smaller part" in Drawn(b"", 0.5, 2.0).words
    assert Drawn(b"", 2.0, 0.5).words.endswith("generated.")

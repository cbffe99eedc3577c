"""Laws of drawings: the sign is the colour, the size the opacity, and a view's own colours are gone."""

import numpy as np

from mole.drawing import GENERATED, OPAQUE, REAL, colours, overlay
from mole.heatmap import HeatMap
from mole.view import Box

PART = np.array([[1.0, -0.5], [0.0, 0.25]], np.float32)


def test_the_sign_is_the_colour_and_the_size_the_opacity() -> None:
    painted = colours(PART)
    assert tuple(painted[0, 0]) == (*GENERATED, round(255 * OPAQUE))
    assert tuple(painted[0, 1, :3]) == REAL and abs(painted[0, 1, 3] - 127.5 * OPAQUE) <= 1
    assert painted[1, 0, 3] == 0
    assert colours(PART, most=2.0)[0, 0, 3] < painted[0, 0, 3] and colours(PART, most=0.1)[0, 1, 3] == painted[0, 0, 3]
    assert not colours(np.zeros((2, 2), np.float32))[..., 3].any()


def test_what_speaks_for_nothing_is_grey() -> None:
    view = np.zeros((3, 8, 8), np.uint8)
    view[0] = 200
    drawing = np.asarray(overlay(HeatMap(PART, 0.0, view, Box(0, 0, 8, 8)), side=64))
    assert drawing.shape == (64, 64, 3)
    quiet, orange, blue = drawing[48, 8], drawing[8, 8], drawing[8, 48]
    assert quiet[0] == quiet[1] == quiet[2]
    assert orange[0] > orange[2] and blue[2] > blue[0]

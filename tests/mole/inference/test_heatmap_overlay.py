"""Laws of drawings: the sign is the colour, the size the opacity, and a view's own colours are gone."""

import numpy as np

from mole.inference.heatmap import HeatMap
from mole.inference.heatmap_overlay import GENERATED, MAX_OPACITY, REAL, colours, overlay, smoothed
from mole.views.view import Box

PART = np.array([[1.0, -0.5], [0.0, 0.25]], np.float32)


def test_the_sign_is_the_colour_and_the_size_the_opacity() -> None:
    painted = colours(PART)
    assert tuple(painted[0, 0]) == (*GENERATED, round(255 * MAX_OPACITY))
    assert tuple(painted[0, 1, :3]) == REAL and abs(painted[0, 1, 3] - 127.5 * MAX_OPACITY) <= 1
    assert painted[1, 0, 3] == 0
    assert (
        colours(PART, strongest=2.0)[0, 0, 3] < painted[0, 0, 3]
        and colours(PART, strongest=0.1)[0, 1, 3] == painted[0, 0, 3]
    )
    assert not colours(np.zeros((2, 2), np.float32))[..., 3].any()


def test_a_patch_is_smoothed_with_the_neighbours_that_it_has() -> None:
    lone = np.zeros((4, 4), np.float32)
    lone[0, 0] = 9
    even = smoothed(lone)
    assert even.dtype == np.float32
    assert even[:3, :3].tolist() == [[2.25, 1.5, 0], [1.5, 1, 0], [0, 0, 0]]


def test_what_speaks_for_nothing_is_grey() -> None:
    view = np.zeros((3, 8, 8), np.uint8)
    view[0] = 200
    part = np.zeros((8, 8), np.float32)
    part[:2, :2], part[:2, 6:] = 1, -1
    drawing = np.asarray(overlay(HeatMap(part, 0.0, view, Box(0, 0, 8, 8)), side=64))
    assert drawing.shape == (64, 64, 3)
    quiet, orange, blue = drawing[48, 8], drawing[4, 4], drawing[4, 60]
    assert quiet[0] == quiet[1] == quiet[2]
    assert orange[0] > orange[2] and blue[2] > blue[0]

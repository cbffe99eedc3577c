"""Laws of the curves."""

import io

import numpy as np
from PIL import Image

from pipeline.tune.training.curves import draw
from tests.pipeline.tune.training.test_metrics_log import epoch


def ink(png: bytes) -> int:
    """Count the pixels that are not white."""
    with Image.open(io.BytesIO(png)) as picture:
        return int((np.asarray(picture.convert("L")) < 250).sum())


def test_a_longer_training_draws_more() -> None:
    short, long = draw([epoch(1)]), draw([epoch(number) for number in range(1, 5)])
    assert short.startswith(b"\x89PNG") and ink(long) > ink(short) > 0


def test_a_warm_up_epoch_and_a_detector_without_a_router_are_drawn_too() -> None:
    assert ink(draw([epoch(1, loss=None, losses=[], gate_entropy=None, load=[]), epoch(2, load=[])])) > 0


def test_no_epoch_at_all_is_an_empty_picture() -> None:
    assert draw([]).startswith(b"\x89PNG")

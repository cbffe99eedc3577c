"""Laws of colour: an image in bands is the image in one."""

import numpy as np
import pytest
from PIL import Image

from mole.views.preprocess import Window
from pipeline.images.formats import colour
from pipeline.images.formats.colour import rgb
from pipeline.images.formats.layout import Layout, RefusalError
from tests.imagefiles import HEIGHT, WIDTH, scene

LAYOUT = Layout(b"")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "La", "P", "1", "CMYK", "I;16", "F"])
def test_bands_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = scene("LA").convert("La") if mode == "La" else scene("L").convert("I;16") if mode == "I;16" else scene(mode)
    whole_HW3 = rgb(image, Window(0, 0, HEIGHT, WIDTH), LAYOUT)
    part_HW3 = rgb(image, Window(7, 11, 30, 40), LAYOUT)
    monkeypatch.setattr(colour, "PIXELS_PER_BAND", 200)
    assert (rgb(image, Window(0, 0, HEIGHT, WIDTH), LAYOUT) == whole_HW3).all()
    assert (whole_HW3[7:37, 11:51] == part_HW3).all()
    if mode in ("RGB", "L", "CMYK"):
        assert (whole_HW3 == np.asarray(image.convert("RGB"))).all()


def test_a_grey_whose_white_nothing_tells_is_refused() -> None:
    with pytest.raises(RefusalError, match="white"):
        rgb(Image.new("I", (4, 4)), Window(0, 0, 4, 4), Layout(b"", white=None))

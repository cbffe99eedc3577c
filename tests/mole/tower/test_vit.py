"""What goes into the tower is as its training had it."""

import torch
from torchvision import transforms

from mole.tower.vit import normalise
from mole.views.preprocess import CLIP_MEAN, CLIP_STD, Preprocess


def test_normalising_is_torchvisions() -> None:
    pixels_B3SS = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    theirs = transforms.Normalize(CLIP_MEAN, CLIP_STD)(pixels_B3SS.float() / 255)
    torch.testing.assert_close(normalise(pixels_B3SS, Preprocess()), theirs)

"""What the tests of a training share: a folder of labelled pictures, and a small tower that open_clip knows by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mole.tower.hub import architecture_of
from mole.tower.vit import Tower

SMALL = "ViT-S-32"
SOURCES = (("photos", "real"), ("holiday", "real"), ("painter", "fake"), ("dreamer", "fake"))
EACH = 6


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of two real and two generated sources; generated pictures are redder."""
    folder = tmp_path_factory.mktemp("labelled")
    draw, rows = np.random.default_rng(0), ["path,label,generator,source"]
    for source, label in SOURCES:
        for number in range(EACH):
            pixels = draw.integers(0, 256, (6, 8, 3), np.uint8)
            pixels[..., 0] = pixels[..., 0] // 2 + (128 if label == "fake" else 0)
            name = f"{source}-{number}.png"
            Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC).save(folder / name)
            rows.append(f"{name},{label},{source}-{number % 2},{source}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tower with drawn weights."""
    torch.manual_seed(0)
    state = Tower(architecture_of(SMALL)).state_dict()
    weights = {name: torch.randn_like(tensor) * 0.05 for name, tensor in state.items()}
    file = tmp_path_factory.mktemp("tower") / "tower.safetensors"
    save_file(weights, file)
    return file

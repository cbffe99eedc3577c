"""Laws of the door to a study."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from jobs.crossvalidate import main
from mole.checkpoint import load_checkpoint
from mole.errors import SettingsError
from mole.hub import architecture_of
from mole.tower import Tower

SMALL = "ViT-S-32"
FOLDS = 'folds = [["photos", "painter"], ["holiday", "dreamer"]]\n'


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a study of four sources of six pictures needs."""
    folder, draw = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    rows = ["path,label,generator,source"]
    for source, label in (("photos", "real"), ("holiday", "real"), ("painter", "fake"), ("dreamer", "fake")):
        for number in range(6):
            Image.fromarray(draw.integers(0, 256, (72, 96, 3), np.uint8)).save(folder / f"{source}{number}.png")
            rows.append(f"{source}{number}.png,{label},{source},{source}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "recipe.toml").write_text(FOLDS)
    torch.manual_seed(0)
    state = Tower(architecture_of(SMALL)).state_dict()
    save_file({name: torch.randn_like(tensor) * 0.05 for name, tensor in state.items()}, folder / "t.safetensors")
    places = [f"--manifest={folder / 'manifest.csv'}", f"--tower={folder / 't.safetensors'}", f"--backbone={SMALL}"]
    short = ["--draws=1", "--steps=1", "--alone=2", "--pairs=0", "--false-positive-rate=0.25"]
    return [*places, *short, f"--config={folder / 'recipe.toml'}"]


def test_a_table_names_every_source_and_method(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "--methods=linear,mole"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("photos", "holiday", "painter", "dreamer", "linear", "mole"))


def test_json_stands_alone_on_stdout(flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "--json", f"--output={tmp_path}"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["mole"]["held_out_sources"]) == 4
    assert load_checkpoint(tmp_path).description.config.provenance["measured"]["held_out_sources"]


def test_a_refused_setting_is_told_with_its_code(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*flags, "--calibration=nobody"]) == SettingsError.exit_code
    assert "'nobody'" in capsys.readouterr().err

"""Laws of the door to thresholds of one's own, and of the way of such a version through the gate."""

import json
from pathlib import Path

import pytest

from jobs import calibrate, promote
from mole.config import ADAPTERS, describe
from pipeline import registry
from pipeline.registry import Registry
from tests.pictures import picture
from tests.tiny import tiny_checkpoint

EACH = 32


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images without labels, and others with labels."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(EACH):
        for place in ("own", "labelled/mixed/0_real", "labelled/mixed/1_fake"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            (folder / place / f"{number}.jpg").write_bytes(picture(1000 * len(place) + number))
    return folder


def test_own_reals_give_a_version_with_the_same_weights_which_the_gate_takes_and_a_rollback_leads_back_from(
    local_ray: None, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny_checkpoint(tmp_path / "base")
    models = Registry(str(tmp_path / "models"))
    flags = ["--registry", models.url, "--reals", str(pictures / "own"), "--collection", "own photographs"]
    code = calibrate.main([*flags, "--model", str(base), "--false-positive-rate", "0.1", "--json"])
    made = json.loads(capsys.readouterr().out)
    assert code == 0 and made["parent"] == describe(base).digest
    version = describe(registry.locate(models.version(made["digest"])))
    assert (version.folder / ADAPTERS).read_bytes() == (base / ADAPTERS).read_bytes()
    assert version.calibration.collection == "own photographs" and version.calibration.reals == EACH
    assert made["called_after"]["hits"] <= made["called_before"]["images"] * 0.1

    gate = ["--registry", models.url, "--candidate", made["digest"], "--json"]
    assert promote.main(gate) == 6  # the base lies nowhere that the version knows
    assert "--base" in capsys.readouterr().err and models.promoted() is None
    wide = ["--samples", str(pictures / "labelled"), "--max-false-positive-rate", "0.999", "--max-detection-drop", "1"]
    assert promote.main([*gate, "--base", str(base), *wide]) == 0
    told = json.loads(capsys.readouterr().out)
    assert any("same weights" in note for note in told["notes"])
    assert all(row["old"] == row["new"] for row in told["rows"] if row["figure"] == "AUROC")
    assert models.promoted() == made["digest"]

    assert promote.main(["--registry", models.url, "--rollback"]) == 0
    assert describe(registry.locate(models.url)).digest == describe(base).digest
    assert promote.main(["--registry", models.url, "--rollback"]) == 2


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--reals", "nowhere", "--collection", "own"], "nowhere"),
        (["--reals", "x"], "--collection"),
        (["--reals", "x", "--collection", "own", "--false-positive-rate", "0"], "--false-positive-rate"),
    ],
)
def test_what_cannot_be_calibrated_ends_with_the_code_of_settings(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate.main(["--registry", str(tmp_path / "models"), *flags]) == 2
    assert told in capsys.readouterr().err


def test_too_few_images_end_with_the_code_of_settings_and_the_number_it_takes(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--registry", str(tmp_path / "models"), "--reals", str(pictures / "own"), "--collection", "own"]
    assert calibrate.main(flags) == 2
    assert "at least 299 real images" in capsys.readouterr().err

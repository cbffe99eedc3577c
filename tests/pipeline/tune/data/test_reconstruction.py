"""Laws of the reconstruction flow."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.tune.data.layout import recognise
from pipeline.tune.data.reconstruction import ReconstructSettings, make_pairs


def settings(manifest: Path, output: Path, weights: Path, *more: str) -> ReconstructSettings:
    """Read settings as the command line gives them."""
    places = ["--samples", str(manifest), "--output", str(output), "--autoencoder", str(weights)]
    return ReconstructSettings.from_command_line([*places, "--max-side", "64", *more])


def test_photographs_alone_become_pairs(local_ray: None, manifest: Path, shared: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made = make_pairs(settings(manifest, tmp_path / "out", shared / "weights", "--max-per-source", "2"), said.append)
    assert (made.pairs, made.made, made.faults.total()) == (4, 4, 0)
    assert said == ["a table of path, label, source (manifest.csv): 12 real, 12 fake, 4 sources"]
    samples = recognise(str(tmp_path / "out")).samples
    assert {sample.source for sample in samples} == {"photos", "holiday", "taef2"}


def test_an_upsampler_makes_pairs_in_place_of_an_autoencoder(local_ray: None, manifest: Path, tmp_path: Path) -> None:
    flags = [
        "--samples",
        str(manifest),
        "--output",
        str(tmp_path / "out"),
        "--upsampler",
        "resample",
        "--max-per-source",
        "1",
    ]
    made = make_pairs(ReconstructSettings.from_command_line(flags), lambda line: None)
    assert (made.pairs, made.faults.total()) == (2, 0)
    samples = recognise(str(tmp_path / "out")).samples
    assert {(sample.source, sample.artefact) for sample in samples if sample.label} == {("resampled", "upsampling")}


def test_what_must_be_named_is_asked_for() -> None:
    with pytest.raises(SettingsError, match="--output is required"):
        ReconstructSettings.from_command_line(["--samples", "a", "--autoencoder", "c"])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "one of --autoencoder and --upsampler is required, got neither"),
        (["--autoencoder", "a", "--upsampler", "resample"], "is required, got both"),
        (["--upsampler", "resample", "--noise", "0.1"], "--noise must be 0 with --upsampler, .* got 0.1"),
    ],
)
def test_photographs_are_passed_through_one_thing(flags: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make_pairs(ReconstructSettings.from_command_line(["--samples", "a", "--output", "b", *flags]), print)


def test_a_bound_below_a_decodable_picture_is_refused() -> None:
    with pytest.raises(SettingsError, match="--max-side.*16"):
        ReconstructSettings.from_command_line(
            ["--samples", "a", "--output", "b", "--autoencoder", "c", "--max-side", "8"]
        )

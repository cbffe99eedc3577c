"""Settings: refused when they are read, with the name of the flag, the value and the bound."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.scan.settings import RescanSettings, ScanSettings

read = ScanSettings.from_command_line
NEEDED = ["--source", "a.tar", "--output", "out"]


def test_flags_fill_the_settings() -> None:
    settings = read(
        [*NEEDED, "--source", "b", "--carry", "url, caption", "--image-member", ".SEG.png", "--json", "--limit", "3"]
    )
    assert settings.source == ["a.tar", "b"]
    assert settings.carry == ("url", "caption")
    assert settings.image_member == "seg.png"
    assert settings.json_summary and settings.limit == 3 and settings.model == "embedded"


def test_a_source_with_braces_or_commas_is_one_source() -> None:
    assert read(["--source", "a/{0..2}.tar", "--source", "b,c.tar", "--output", "o"]).source == [
        "a/{0..2}.tar",
        "b,c.tar",
    ]


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    file.write_text('source = ["f"]\noutput = "f"\nmodel = "f"\ncarry = ["url"]\n')
    monkeypatch.setenv("MOLE_SCAN_OUTPUT", "e")
    monkeypatch.setenv("MOLE_SCAN_MODEL", "e")
    settings = read(["--config", str(file), "--model", "c"])
    assert (settings.source, settings.output, settings.model, settings.carry) == (["f"], "e", "c", ("url",))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "o"], "--source is required"),
        ([*NEEDED, "--batch-size", "0"], "--batch-size must be above 0, got '0'"),
        ([*NEEDED, "--device", "tpu"], "--device must be auto, cpu or cuda, got 'tpu'"),
        ([*NEEDED, "--config", "none.toml"], "none.toml"),
    ],
)
def test_a_refusal_names_the_flag_the_bound_and_the_value(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read(arguments)


def test_an_unknown_name_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('sauce = "x"\n')
    with pytest.raises(SettingsError, match="sauce"):
        read([*NEEDED, "--config", str(tmp_path / "s.toml")])


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(read(NEEDED), "limit", 5)  # noqa: B010 - a plain assignment does not even type-check


def test_where_every_source_is_local_the_output_is_named_after_them_and_known_to_be() -> None:
    chosen = read(["photos/"])
    assert (chosen.output, chosen.output_is_default) == ("photos-verdicts", True)
    assert read(["photos/", "--output", "out"]).output_is_default is False
    assert read(["s3://lake/a.tar", "--output", "a-verdicts"]).output_is_default is False


def test_an_output_that_a_variable_or_a_file_names_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.toml").write_text('output = "f"\n')
    assert read(["photos/", "--config", str(tmp_path / "s.toml")]).output == "f"
    monkeypatch.setenv("MOLE_SCAN_OUTPUT", "e")
    assert read(["photos/"]).output == "e"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["photos/", "s3://u:p@lake/a.tar"],
            r"since the source 's3://\*\*\*@lake/a.tar' is not on this machine$",
        ),
        (["photos/", "--sink", "iceberg"], "since a catalog's table has no default name$"),
        ([], "since no source is given$"),
    ],
)
def test_elsewhere_the_output_is_required_and_the_reason_told(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        read(arguments)
    assert "--output is required (as a flag, as MOLE_SCAN_OUTPUT in" in str(refused.value)


def test_both_names_of_the_bound_of_images_are_taken_and_hours_may_be_parts() -> None:
    assert read([*NEEDED, "--max-images", "3"]).limit == read([*NEEDED, "--limit", "3"]).limit == 3
    assert read([*NEEDED, "--max-hours", "0.5"]).max_hours == 0.5
    assert RescanSettings.from_command_line(["t", "--model", "m", "--max-images", "3"]).limit == 3
    with pytest.raises(SettingsError, match="--max-hours must be above 0, got '0'"):
        read([*NEEDED, "--max-hours", "0"])

"""Settings are refused where they are born, by the name of the flag, the value and the bound."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.settings import ScanSettings

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

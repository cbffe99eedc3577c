"""What a user writes into the environment or a file is a setting, or is refused by its own name; nothing is passed over."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.command.settings_sources import SettingNames, SourcedValue

NAMES = SettingNames(
    {"source": "source", "output": "output", "batch-size": "batch_size", "json": "json_summary", "config": "config"},
    frozenset({"source"}),
    "MOLE_SCAN_",
)


def test_a_list_in_a_variable_is_the_one_value_or_a_list_in_json() -> None:
    def read(text: str) -> object:
        return NAMES.variables({"MOLE_SCAN_SOURCE": text})["source"].value

    assert read("photos/") == ["photos/"]
    assert read("a/{0..2},b.tar") == ["a/{0..2},b.tar"]
    assert read("[0-9].tar") == ["[0-9].tar"]
    assert read(' ["a", "b,c"]') == ["a", "b,c"]
    with pytest.raises(
        SettingsError, match=r"^MOLE_SCAN_SOURCE='\[\"a\", b\]' begins like a JSON list and is not valid: "
    ):
        read('["a", b]')


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("MOLE_SCAN_SORCE", "did you mean MOLE_SCAN_SOURCE?"),
        ("MOLE_SCAN_BATCHSIZE", "did you mean MOLE_SCAN_BATCH_SIZE?"),
        ("MOLE_SCAN_JSON_SUMMARY", "did you mean MOLE_SCAN_JSON?"),
        ("mole_scan_Ouput", "did you mean MOLE_SCAN_OUTPUT?"),
        ("MOLE_SCAN_XYZ", "unset it, or see --help"),
        ("MOLE_SCAN_", "unset it, or see --help"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_with_the_nearest(variable: str, advice: str) -> None:
    with pytest.raises(SettingsError) as refused:
        NAMES.variables({variable: "1"})
    assert str(refused.value) == f"the variable {variable} is not a setting of this command; {advice}"


def test_other_variables_are_nobodys_business() -> None:
    others = ["MOLE_PATIENCE", "MOLE_SCANNER", "MOLE_RESCAN_TABLE", "MOLE_SCANNER_SOURCE", "PATH"]
    kubernetes = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_DASHBOARD", "PORT", "PORT_8265_TCP"]
    kubernetes += ["PORT_8265_TCP_ADDR", "HEAD_SVC_SERVICE_HOST", "HEAD_SVC_PORT_6379_TCP_PROTO"]
    assert NAMES.variables(dict.fromkeys(others + [f"MOLE_SCAN_{name}" for name in kubernetes], "x")) == {}


def test_one_setting_stands_in_one_place_of_a_kind(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MOLE_SCAN_BATCH_SIZE and MOLE_SCAN_BATCH-SIZE are one setting"):
        NAMES.variables({"MOLE_SCAN_BATCH_SIZE": "1", "MOLE_SCAN_BATCH-SIZE": "2"})
    file = tmp_path / "s.toml"
    file.write_text("batch-size = 1\nbatch_size = 2\n")
    with pytest.raises(SettingsError, match="batch-size in .* and batch_size in .* are one setting"):
        NAMES.file(SourcedValue(str(file), "--config"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sauce = 1", "'sauce' in {file!r} is not a setting of this command; did you mean 'source'?"),
        ("json_summary = true", "'json_summary' in {file!r} is not a setting of this command; did you mean 'json'?"),
        (
            "[scan]\noutput = 'o'",
            "'scan' in {file!r} is not a setting of this command; its names are those of the flags",
        ),
        ("config = 'other.toml'", "'config' in {file!r} is not a setting of this command"),
        ("source = [", "--config {file!r} cannot be read as TOML: "),
        ("source = '\xff'", "--config {file!r} cannot be read as TOML: "),
    ],
)
def test_a_file_with_an_unknown_name_or_no_toml_is_refused_by_its_name(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError) as refused:
        NAMES.file(SourcedValue(str(file), "--config"))
    assert str(refused.value).startswith(words.format(file=str(file)))

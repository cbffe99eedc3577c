"""One settings model is the flags, the environment and the file of any job."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import BeforeValidator, Field, PositiveInt
from pydantic_settings import NoDecode, SettingsConfigDict

from mole.errors import SettingsError
from pipeline.commandline import JobSettings, split_commas


class Shop(JobSettings):
    """What every shop has."""

    open_on: Literal["weekdays", "sundays"] = Field("weekdays", description="when")


class Bakery(Shop):
    """Bake.

    With love.
    """

    model_config = SettingsConfigDict(env_prefix="MOLE_BAKERY_")
    flags: ClassVar[dict[str, str]] = {"as_json": "--json"}

    flour: list[str] = Field(description="may be repeated")
    spices: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)] = Field((), description="with commas")
    loaves: PositiveInt = Field(1, description="how many; 100 % by default")
    as_json: bool = Field(False, description="a switch")


def test_a_list_is_repeated_a_tuple_has_commas_and_a_switch_has_no_value() -> None:
    read = Bakery.from_command_line(["--flour", "a,b", "--flour", "c", "--spices", "salt, caraway", "--json"])
    assert (read.flour, read.spices, read.loaves, read.as_json) == (["a,b", "c"], ("salt", "caraway"), 1, True)
    assert isinstance(read, Bakery)


def test_flag_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.toml").write_text('flour = ["file"]\nloaves = 2\nspices = ["file"]\n')
    monkeypatch.setenv("MOLE_BAKERY_LOAVES", "3")
    monkeypatch.setenv("MOLE_BAKERY_SPICES", "environment,two")
    read = Bakery.from_command_line(["--config", str(tmp_path / "b.toml"), "--spices", "flag"])
    assert (read.flour, read.loaves, read.spices) == (["file"], 3, ("flag",))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--flour: Field required$"),
        (["--flour", "a", "--loaves", "0"], "--loaves: .*greater than 0, got '0'"),
        (["--flour", "a", "--config", "no.toml"], "--config 'no.toml' is no file"),
    ],
)
def test_a_refusal_names_the_flag_the_bound_and_the_value(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Bakery.from_command_line(arguments)


def test_a_file_that_is_no_toml_or_has_unknown_names_is_refused(tmp_path: Path) -> None:
    for text in ("flour = [", 'flour = ["a"]\nyeast = 1\n'):
        (tmp_path / "b.toml").write_text(text)
        with pytest.raises(SettingsError):
            Bakery.from_command_line(["--config", str(tmp_path / "b.toml")])


def test_help_tells_every_flag_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Bakery.from_command_line(["--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(flag in told for flag in ("--flour", "--spices", "--loaves", "--json", "--config"))
    assert "100 % by default (default: 1)" in told and "\nBake.\n\nWith love.\n" in told
    assert "may be repeated (required)" in told and "when: weekdays, sundays (default: weekdays)" in told
    assert told.rindex("--flour") < told.rindex("--loaves") < told.rindex("--open-on"), "its own flags stand first"

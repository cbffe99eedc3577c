"""One settings model validates flags, environment and file of any job, with errors in the user's own words."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from mole.errors import SettingsError
from pipeline.command.settings import JobSettings, read_json, split_commas
from pipeline.runtime.invocation import invoked


class Shop(JobSettings):
    """What every shop has."""

    open_on: Literal["weekdays", "saturdays", "sundays"] = Field("weekdays", description="when")


class Bakery(Shop):
    """Bake.

    With love.
    """

    prefix = "MOLE_BAKERY_"
    flags: ClassVar[dict[str, str]] = {"as_json": "--json"}

    flour: list[str] = Field(description="may be repeated")
    spices: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        ("salt", "rye"), description="with commas"
    )
    loaves: PositiveInt = Field(1, description="how many; 100 % by default")
    oven_heat: float | None = Field(None, ge=100, lt=300, description="degrees (default: the dough decides)")
    prices: Annotated[dict[str, PositiveInt], BeforeValidator(read_json)] = Field(
        {}, description="in JSON (default: none)"
    )
    as_json: bool = Field(False, description="a switch")

    @field_validator("oven_heat")
    @classmethod
    def _tens(cls, value: float | None) -> float | None:
        if value is not None and value % 10:
            raise ValueError("must be whole tens")
        return value

    @model_validator(mode="after")
    def _hot_enough(self) -> "Bakery":
        if self.loaves > 10 and self.oven_heat is not None and self.oven_heat < 200:
            raise ValueError("--loaves above 10 need an --oven-heat of 200")
        return self


class Delivery(Bakery):
    """Deliver."""

    prefix = "MOLE_DELIVERY_"
    positional = "flour"
    aliases: ClassVar[dict[str, str]] = {"loaves": "--breads"}


class Oven(JobSettings):
    """Heat."""

    prefix = "MOLE_OVEN_"
    positional = "kind"

    kind: str = Field(description="of oven")
    hot: bool = Field(False, description="a switch")


def file(folder: Path, text: str) -> list[str]:
    """Write a settings file, and the flag that names it."""
    (folder / "b.toml").write_text(text, encoding="utf-8")
    return ["--config", str(folder / "b.toml")]


def test_a_list_is_repeated_a_tuple_has_commas_and_a_switch_has_no_value() -> None:
    read = Bakery.from_command_line(
        ["--flour", "a,b", "--flour", "c", "--spices", "salt, caraway", "--json", "--prices", '{"rye": 3}']
    )
    assert (read.flour, read.spices, read.loaves, read.as_json) == (["a,b", "c"], ("salt", "caraway"), 1, True)
    assert read.prices == {"rye": 3} and isinstance(read, Bakery)
    assert read.model_fields_set == {"flour", "spices", "as_json", "prices"}


def test_flag_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = file(tmp_path, 'flour = ["file"]\nloaves = 2\nspices = ["file"]\n')
    monkeypatch.setenv("MOLE_BAKERY_LOAVES", "3")
    monkeypatch.setenv("MOLE_BAKERY_SPICES", "environment,two")
    read = Bakery.from_command_line([*config, "--spices", "flag"])
    assert (read.flour, read.loaves, read.spices) == (["file"], 3, ("flag",))


@pytest.mark.parametrize(
    "lines",
    [
        'flour = "a"\njson = true\noven-heat = 200\nopen-on = "sundays"',
        'flour = ["a"]\njson = "yes"\noven_heat = 200.0\nopen_on = "sundays"',
    ],
)
def test_a_file_takes_each_setting_under_its_flags_name(tmp_path: Path, lines: str) -> None:
    read = Bakery.from_command_line(file(tmp_path, lines))
    assert (read.flour, read.as_json, read.oven_heat, read.open_on) == (["a"], True, 200, "sundays")


@pytest.mark.parametrize("sign", ["_", "-"])
def test_a_variable_has_its_flags_name(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FLOUR": "a,b", "JSON": "1", f"OVEN{sign}HEAT": "200", "PRICES": '{"rye": 3}'}.items():
        monkeypatch.setenv(f"MOLE_BAKERY_{name}", value)
    read = Bakery.from_command_line([])
    assert (read.flour, read.as_json, read.oven_heat, read.prices) == (["a,b"], True, 200, {"rye": 3})


def test_the_variable_that_names_the_file_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLE_BAKERY_CONFIG", file(tmp_path, 'flour = "a"')[1])
    assert Bakery.from_command_line([]).flour == ["a"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], r"^--flour is required \(as a flag, as MOLE_BAKERY_FLOUR in the environment or flour in a file\)$"),
        (["--flour", "a", "--loaves", "0"], "^--loaves must be above 0, got '0'$"),
        (["--flour", "a", "--loaves", "2.5"], "^--loaves must be a whole number, got '2.5'$"),
        (["--flour", "a", "--oven-heat", "99"], "^--oven-heat must be at least 100, got '99'$"),
        (["--flour", "a", "--oven-heat", "300"], "^--oven-heat must be below 300, got '300'$"),
        (["--flour", "a", "--oven-heat", "nan"], "^--oven-heat must be a finite number, got 'nan'$"),
        (["--flour", "a", "--oven-heat", "hot"], "^--oven-heat must be a number, got 'hot'$"),
        (["--flour", "a", "--oven-heat", "105"], "^--oven-heat must be whole tens, got '105'$"),
        (["--flour", "a", "--open-on", "x"], "^--open-on must be weekdays, saturdays or sundays, got 'x'$"),
        (["--flour", "a", "--prices", "{"], "^--prices must be JSON: "),
        (["--flour", "a", "--prices", '{"rye": 0}'], "^--prices must be above 0, got 0$"),
        (["--flour", "a", "--config", "no.toml"], "^--config 'no.toml' cannot be read as TOML: No such file"),
        (["--flour"], "^--flour: a value must follow$"),
        (["--flour", "a", "--json=1"], "^--json: takes no value, got '1'$"),
        (["--flouer", "a"], r"^there is no flag --flouer; did you mean --flour\?$"),
        (["--oven_heat=200"], r"^there is no flag --oven_heat; did you mean --oven-heat\?$"),
        (["--as-json"], r"^there is no flag --as-json; did you mean --json\?$"),
        (["--zzz"], "^there is no flag --zzz; --help lists the flags$"),
        (["--flour", "a", "b"], "^'b' belongs to no flag: .* repeat the flag"),
        (["--flour", "a", "--loaves", "11", "--oven-heat", "100"], "^--loaves above 10 need an --oven-heat of 200$"),
    ],
)
def test_a_refusal_names_the_flag_the_bound_and_the_value(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Bakery.from_command_line(arguments)


def test_a_refusal_names_variables_and_names_of_files_as_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = file(tmp_path, 'flour = ["a", 1]\noven_heat = 100\n')
    with pytest.raises(SettingsError, match=r"^flour in '.*b.toml' must be text, got 1$"):
        Bakery.from_command_line(config)
    monkeypatch.setenv("mole_bakery_loaves", "11")
    with pytest.raises(SettingsError, match=r"^mole_bakery_loaves above 10 need an oven_heat in '.*b.toml' of 200$"):
        Bakery.from_command_line([*config, "--flour", "a"])


def test_true_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^loaves in '.*b.toml' must not be true or false, got True$"):
        Bakery.from_command_line(file(tmp_path, 'flour = "a"\nloaves = true\n'))


def test_help_tells_every_flag_its_choices_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Bakery.from_command_line(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert all(flag in told for flag in ("--flour", "--spices", "--loaves", "--json", "--config"))
    assert "100 % by default (default: 1)" in told and "Bake. With love." in told
    assert "may be repeated (required)" in told and "with commas (default: salt,rye)" in told
    assert "when: weekdays, saturdays or sundays (default: weekdays)" in told
    assert "a switch (default: off)" in told and "degrees (default: the dough decides)" in told
    assert "(MOLE_BAKERY_FLOUR=...)" in told and "None" not in told
    assert told.rindex("--flour") < told.rindex("--loaves") < told.rindex("--open-on"), "its own flags stand first"


@pytest.mark.parametrize(
    "words",
    [
        "rye wheat --json --loaves 2",
        "--json rye --loaves 2 wheat",
        "--flour rye --json --loaves 2 wheat",
        "--flour rye wheat --breads 2 --json",
        "--json --loaves 2 -- rye wheat",
    ],
)
def test_words_without_a_flag_are_the_list_wherever_they_stand(words: str) -> None:
    read = Delivery.from_command_line(words.split())
    assert (read.flour, read.as_json, read.loaves) == (["rye", "wheat"], True, 2)


def test_behind_two_dashes_a_word_may_begin_with_one() -> None:
    assert Delivery.from_command_line(["rye", "--", "-w", "--json"]).flour == ["rye", "-w", "--json"]


def test_a_word_is_the_setting_that_takes_one_and_a_second_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Oven.from_command_line(["stone", "--hot"]).kind == "stone"
    monkeypatch.setenv("MOLE_OVEN_KIND", "steel")
    assert Oven.from_command_line(["stone"]).kind == "stone" and Oven.from_command_line([]).kind == "steel"
    with pytest.raises(SettingsError, match="^'stone' and 'clay' are both given, and one kind is taken; leave one out"):
        Oven.from_command_line(["stone", "clay"])
    with pytest.raises(SettingsError, match="^--kind 'stone' and 'clay' are both given"):
        Oven.from_command_line(["--kind", "stone", "clay"])


def test_an_unknown_flag_is_refused_before_the_words_around_it() -> None:
    with pytest.raises(SettingsError, match=r"^there is no flag --hott; did you mean --hot\?$"):
        Oven.from_command_line(["stone", "--hott", "very"])


def test_what_is_required_says_that_it_may_be_a_word() -> None:
    with pytest.raises(SettingsError, match=r"^--kind is required \(as a flag, as an argument, as MOLE_OVEN_KIND in"):
        Oven.from_command_line([])


def test_a_second_name_is_taken_as_flag_variable_and_in_a_file_but_not_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Delivery.from_command_line(file(tmp_path, 'flour = "a"\nbreads = 3')).loaves == 3
    monkeypatch.setenv("MOLE_DELIVERY_BREADS", "4")
    assert Delivery.from_command_line(["a"]).loaves == 4
    monkeypatch.setenv("MOLE_DELIVERY_LOAVES", "5")
    with pytest.raises(SettingsError, match="MOLE_DELIVERY_LOAVES are one setting; keep one of them"):
        Delivery.from_command_line(["a"])


def test_help_shows_words_second_names_and_the_command_that_was_started(capsys: pytest.CaptureFixture[str]) -> None:
    with invoked("scan"), pytest.raises(SystemExit):
        Delivery.from_command_line(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("usage: mole-scan scan [") and "[flour ...]" in told
    assert "--loaves N, --breads N" in told or "--loaves, --breads N" in told
    with pytest.raises(SystemExit):
        Oven.from_command_line(["--help"])
    assert "[KIND ...]" in capsys.readouterr().out


class Renamed(Bakery):
    """Bake."""

    prefix = "MOLE_RENAMED_"
    renamed: ClassVar[dict[str, str]] = {"heat": "oven_heat"}


def test_the_old_name_of_a_renamed_flag_is_read_everywhere_and_named_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--flour", "a"]
    for written in (["--heat", "210"], ["--oven-heat", "210"], file(tmp_path, "heat = 210")):
        assert Renamed.from_command_line([*asked, *written]).oven_heat == 210
    assert Renamed.from_command_line([*asked, *file(tmp_path, "oven_heat = 210")]).oven_heat == 210
    for variable in ("MOLE_RENAMED_HEAT", "MOLE_RENAMED_OVEN_HEAT"):
        with monkeypatch.context() as environment:
            environment.setenv(variable, "210")
            assert Renamed.from_command_line(asked).oven_heat == 210
    shown = Renamed.command_line().format_help()
    assert "--oven-heat" in shown and "--heat" not in shown
    with pytest.raises(SettingsError, match="did you mean --oven-heat"):
        Renamed.from_command_line([*asked, "--oven-hea", "210"])
    with pytest.raises(SettingsError, match="are one setting"):
        Renamed.from_command_line([*asked, *file(tmp_path, "heat = 210\noven-heat = 220")])

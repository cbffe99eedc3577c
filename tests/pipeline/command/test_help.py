"""What --help shows of a setting: its text with choices and default, and a metavar that says what to write."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, PositiveInt

from pipeline.command.help import help_text, metavar


@pytest.mark.parametrize(
    ("flag", "annotation", "shown"),
    [
        ("--max-images", PositiveInt | None, "N"),
        ("--sample", Annotated[float, Field(gt=0, le=1)], "NUMBER"),
        ("--config", Path | None, "FILE"),
        ("--newer-than", datetime | None, "TIME"),
        ("--source", list[str], "URL"),
        ("--carry", tuple[str, ...], "A,B,..."),
        ("--expert-ranks", tuple[PositiveInt, ...] | None, "A,B,..."),
        ("--folds", tuple[tuple[str, ...], ...], "JSON"),
        ("--folds", tuple[Annotated[tuple[str, ...], "names"], ...], "JSON"),
        ("--stages", tuple[BaseModel, ...], "JSON"),
        ("--methods", dict[str, Any], "JSON"),
        ("--device", Literal["auto", "cpu"], "{auto,cpu}"),
        ("--view", Literal["a" * 20, "b" * 20] | None, "VIEW"),
        ("--ray-address", str | None, "ADDRESS"),
        ("--init-from", str | None, "INIT_FROM"),
    ],
)
def test_a_metavar_says_what_to_write(flag: str, annotation: object, shown: str) -> None:
    assert metavar(flag, flag.lstrip("-").replace("-", "_"), annotation) == shown


class Oven(BaseModel):
    """A model with a choice."""

    device: Literal["auto", "cpu"] = Field("cpu", description="where it runs")


def test_the_text_ends_with_choices_and_the_default() -> None:
    assert help_text(Oven.model_fields["device"]) == "where it runs: auto or cpu (default: cpu)"

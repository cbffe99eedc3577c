"""Laws of the door to an evaluation."""

from pathlib import Path

import pytest
from rich.console import Console

from jobs.evaluate import main, show, show_protocol
from mole.config import describe
from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.universal_fake_detect import Protocol, SetFigures
from tests.judged import judge_here, labelled


def printed(console: Console) -> str:
    return console.export_text()


def test_every_generator_and_the_mean_and_the_minimum_are_printed(tiny: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=160)
    show(judge_here(labelled(tmp_path), tiny).evaluation, console)
    told = printed(console)
    for word in ("painter", "progan", "all generators", "lowest", "needs 299 real images", "1 truncated"):
        assert word in told


def test_the_papers_table_leaves_absent_sets_empty() -> None:
    own = SetFigures(
        folder="san",
        reals=100,
        fakes=100,
        average_precision=0.8123,
        real_accuracy=0.9,
        fake_accuracy=0.6,
        accuracy=0.75,
    )
    console = Console(record=True, width=160)
    show_protocol(Protocol(model="d", sets=(own,), absent=("progan",), excluded=0, note=""), console)
    lines = printed(console).splitlines()
    assert next(line for line in lines if line.startswith("SAN")).split() == [
        "SAN", "79.02", "72.67", "80.99", "84.95", "81.23", "75.00", "100", "+", "100",
    ]  # fmt: skip
    assert next(line for line in lines if line.startswith("BigGAN")).split() == [
        "BigGAN",
        "99.59",
        "98.12",
        "99.66",
        "99.93",
    ]
    assert any("absent: progan" in line for line in lines)


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        ([], 2, "--samples"),
        (["--samples", "/no/such/place"], 2, "/no/such/place"),
        (["--perturbations", "sepia"], 2, "sepia"),
    ],
)
def test_what_cannot_be_measured_ends_with_its_code(
    flags: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == code
    assert told in capsys.readouterr().err


def test_one_class_alone_is_an_error_of_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = [sample for sample in labelled(tmp_path, each=2) if sample.label == 0]
    rows = "\n".join(f"{sample.uri},real,{sample.source}" for sample in samples)
    (tmp_path / "list.csv").write_text(f"uri,label,generator\n{rows}\n")
    assert main(["--samples", str(tmp_path / "list.csv")]) == 2
    assert "fake" in capsys.readouterr().err


def test_one_command_measures_and_reports_and_json_is_the_only_thing_on_stdout(
    local_ray: None, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(f"{s.uri},{('real', 'fake')[s.label]},{s.source}" for s in labelled(tmp_path, each=2))
    (tmp_path / "list.csv").write_text(f"uri,label,generator\n{rows}\n")
    page = tmp_path / "report.html"
    flags = ["--samples", str(tmp_path / "list.csv"), "--model", str(tiny), "--report", str(page), "--batch-size", "8"]
    assert main([*flags, "--json"]) == 0
    told = capsys.readouterr()
    found = Evaluation.model_validate_json(told.out)
    assert found.excluded == {"missing": 1, "truncated": 1}
    assert found.deliveries == ("shipped", "aligned") and found.generators == ("painter", "progan")
    assert found.digest == describe(tiny).digest
    assert Evaluation.model_validate_json((tmp_path / "report.json").read_text()) == found
    assert str(page) in told.err and page.read_text().startswith("<!doctype html>")

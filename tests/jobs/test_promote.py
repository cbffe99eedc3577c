"""Laws of the door to a promotion; the gate itself is tested beside it, and walked in tests/jobs/test_walkthrough.py."""

from pathlib import Path

import pytest

from jobs.promote import main, show, summary
from pipeline.tune.evaluation.gate import FALSE_POSITIVE_BOUND, Decision, Row
from pipeline.tune.evaluation.promote import PromotionResult

ROWS = [
    Row("progan, original", "AUROC", 0.9, 0.449, 0.88, holds=False, note="few: 1 of 7 images is 0.143"),
    Row(
        "all reals, original: 0 of 43, 0.0%",
        FALSE_POSITIVE_BOUND,
        0.067,
        0.067,
        0.05,
        holds=False,
        note="at this share 59 real images are needed",
    ),
]
REFUSED = PromotionResult(Decision(ROWS, "its base d1, the shipped detector"), None, 50, ("the base is favoured",))


def test_every_comparison_its_note_and_what_it_was_compared_with_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    show(REFUSED)
    told = capsys.readouterr().out
    for word in (
        "compared with its base d1, the shipped detector",
        "0.449",
        "FAILS",
        "1 of 7",
        "59 real images",
        "note: the base",
    ):
        assert word in told


def test_the_summary_says_what_it_was_compared_with_and_that_nothing_was_promoted() -> None:
    told = summary(REFUSED)
    assert (told["passed"], told["promotion"], told["against"]) == (False, None, "its base d1, the shipped detector")
    assert summary(PromotionResult(Decision([], ""), None, 0))["against"] is None


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--rollback"], 2, "nothing was promoted"),
        (["--candidate", "none"], 2, "models' is not there"),
        (["--candidate", "none", "--max-false-positive-rate", "1"], 2, "--max-false-positive-rate"),
    ],
)
def test_what_cannot_be_promoted_or_taken_back_ends_with_its_code(
    flags: list[str], code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--registry", str(tmp_path / "models"), *flags]) == code
    assert told in capsys.readouterr().err

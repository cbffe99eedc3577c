"""Laws of the Markdown helpers."""

from mole.measuring.rates import Rate
from pipeline.tune.evaluation.markdown import counts, interval, percent, rate, table

SEVEN = Rate(7, 1247, 7 / 1247, 0.0022, 0.0115)


def test_a_share_has_its_interval_and_its_counts() -> None:
    assert rate(SEVEN) == "0.6 % (0.2–1.1; 7 of 1,247)" and counts(SEVEN) == "7 of 1,247"


def test_percents_have_three_digits_at_most() -> None:
    assert [percent(share) for share in (0.0, 0.02, 0.01333, 1.0)] == ["0 %", "2 %", "1.33 %", "100 %"]
    assert interval((0.456, 0.789)) == "0.46–0.79"


def test_a_name_cannot_break_out_of_its_cell() -> None:
    assert table(["a", "b"], [["x|y", "z"]]) == "| a | b |\n| --- | --- |\n| x\\|y | z |"


def test_a_table_without_lines_is_a_sentence() -> None:
    assert table(["a"], []).endswith(".")

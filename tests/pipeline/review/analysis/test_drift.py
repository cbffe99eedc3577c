"""Laws of drift: what moved between runs and between models."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.review.analysis.drift import between, flips, index
from pipeline.review.analysis.model_rows import open_rows
from pipeline.scan.table.views import ask
from tests.verdicts import BEGUN, verdict_row, write_verdicts


def test_the_same_distribution_has_an_index_of_nothing() -> None:
    told = index([10, 20, 40, 20, 10], [100, 200, 400, 200, 100])
    assert told is not None and told.value < 1e-3 and told.words == "no more than chance gives with so few images"


def test_an_index_is_the_sum_that_it_says() -> None:
    before, after = [500, 500], [300, 700]
    told = index(before, after)
    shares = [(np.array(counts) + 0.5) / (sum(counts) + 1) for counts in (before, after)]
    assert told is not None
    assert told.value == pytest.approx(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    assert told.words == "a moderate change"


def test_chance_alone_stays_below_its_bound_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(3)
    drawn = [index(*(rng.multinomial(2000, np.full(200, 1 / 200)).tolist() for _ in range(2))) for _ in range(300)]
    assert 0.01 <= np.mean([one is not None and one.value > one.chance for one in drawn]) <= 0.09


def test_an_index_of_no_images_is_none() -> None:
    assert index([0, 0], [1, 2]) is None and index([1, 2], [0, 0]) is None and index([], []) is None


def image(number: int, **given: Any) -> dict[str, Any]:
    return verdict_row("a.tar#1", number, last=number == 39, **given)


def test_a_later_run_is_held_against_an_earlier_one(tmp_path: Path) -> None:
    later = BEGUN + timedelta(days=1)
    rows = [
        image(number, probability=0.02 * (number % 20 + 1) + 0.5 * (number >= 20), logit=float(number),
              scanned_at=later if number >= 20 else BEGUN)
        for number in range(40)
    ]  # fmt: skip
    hour = timedelta(hours=1)
    with open_rows(str(write_verdicts(tmp_path, rows))) as opened:
        told = between(opened, (BEGUN, BEGUN + hour), (later, later + hour))
        assert told is not None and (told.before, told.after) == (20, 20) and told.words == "a large change"
        assert between(opened, (BEGUN - 2 * hour, BEGUN - hour), (later, later + hour)) is None


def test_flips_are_those_of_the_view(tmp_path: Path) -> None:
    words = ("real", "unsure", "generated")
    old = [image(number, model="old", verdict=words[number % 3]) for number in range(40)]
    new = [
        image(number, model="new", verdict=words[number % 2], scanned_at=BEGUN + timedelta(days=1))
        for number in range(40)
    ]
    table = write_verdicts(tmp_path, old, new)
    with open_rows(str(table)) as rows:
        told = flips(rows)
    changed = ask(
        str(table), "SELECT former_verdict, verdict, count(*) AS images FROM changed GROUP BY ALL"
    ).to_pylist()
    assert told is not None and told.images == 40 and told.other.digest == "old"
    assert told.flipped == sum(row["images"] for row in changed)
    assert all(told.changed[row["former_verdict"], row["verdict"]] == row["images"] for row in changed)


def test_one_model_alone_flips_nothing(tmp_path: Path) -> None:
    with open_rows(str(write_verdicts(tmp_path, [image(0)]))) as rows:
        assert flips(rows) is None

"""Laws of the numbers of a page, each from a table made by hand."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole.measuring.calibration import Calibration
from mole.measuring.rates import clopper_pearson
from pipeline.review.analysis import findings
from pipeline.review.analysis.findings import Bounds, Share
from pipeline.review.analysis.model_rows import ModelRows, open_rows
from tests.verdicts import verdict_row, write_verdicts

READ = Calibration(temperature=0.8, bias=0.3, real_below=-1.0, generated_above=2.0)
LOGITS = [-6.0, -3.0, -1.5, -0.9, 0.0, 1.9, 2.0, 2.5, 4.0, 9.0]
GENERATOR = {"generator": "ComfyUI dream.safetensors"}
CAMERA = {"camera": "Canon EOS R5"}


def chance(logit: float) -> float:
    return float(READ.probability(np.array([logit]), 0.1)[0])


def scored(index: int, logit: float, **given: Any) -> dict[str, Any]:
    told = {"logit": logit, "probability": chance(logit), "verdict": str(READ.verdict(np.array([logit]))[0])}
    return verdict_row("a.tar#1", index, **told | given)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRows]:
    """Ten scored images, four of which declare something, and three faults."""
    made = [scored(index, logit) for index, logit in enumerate(LOGITS)]
    made[0]["provenance"], made[4]["provenance"], made[8]["provenance"] = GENERATOR, GENERATOR, CAMERA
    made[2]["provenance"] = CAMERA
    made[9]["content_hash"] = made[7]["content_hash"] = b"0123456789abcdef"
    for index, status in enumerate(("truncated", "truncated", "missing"), len(LOGITS)):
        made.append(verdict_row("a.tar#1", index, status=status, detail=f"why {index}", last=status == "missing"))
    table = write_verdicts(tmp_path_factory.mktemp("table"), made)
    with open_rows(str(table)) as opened:
        yield opened


def test_counts_are_those_of_the_rows(rows: ModelRows) -> None:
    told = findings.counts(rows)
    assert (told.images, told.scored, told.generated, told.unsure, told.real) == (13, 10, 4, 3, 3)
    assert told.declared == {"generated": 2, "camera": 2} and told.contradicted == 2
    assert told.share("generated").interval == clopper_pearson(4, 10)


def test_a_share_of_nothing_is_nothing_and_anything() -> None:
    assert Share(0, 0).share == 0 and Share(0, 0).interval == (0, 1)


def test_the_scale_finds_how_probabilities_were_made(rows: ModelRows) -> None:
    scale = findings.scale(rows)
    assert scale is not None
    assert scale.slope == pytest.approx(1 / 0.8, rel=1e-4)
    assert scale.chance(2.0) == pytest.approx(chance(2.0), rel=1e-3)
    assert scale.logit(scale.odds(1.25)) == pytest.approx(1.25)


def test_bounds_lie_where_the_rows_change_their_verdict(rows: ModelRows) -> None:
    told = findings.bounds(rows)
    assert told.generated_above == 2.0 and told.real_below == pytest.approx(-0.9)


def test_a_histogram_holds_every_score_once_in_bins_of_one_width(rows: ModelRows) -> None:
    bins = findings.histogram(rows)
    assert sum(one.real for one in bins) == 3 and sum(one.unsure + one.generated for one in bins) == 7
    assert len(bins) <= findings.BINS and all(a.high == b.low for a, b in pairwise(bins))
    assert len({round(one.high - one.low, 9) for one in bins}) == 1
    assert bins[0].low <= -6 and bins[-1].high > 9


def test_faults_come_by_kind_the_most_frequent_first_with_examples(rows: ModelRows) -> None:
    truncated, missing = findings.faults(rows)
    assert (truncated["status"], truncated["images"], missing["status"]) == ("truncated", 2, "missing")
    assert {one["detail"] for one in truncated["examples"]} == {"why 10", "why 11"}


def test_galleries_hold_what_their_names_say(rows: ModelRows) -> None:
    chosen = {
        name: [row["index"] for row in some] for name, some in findings.galleries(rows, Bounds(READ.real_below, 2.0))
    }
    assert chosen["suspicious"] == [4, 9, 6]  # declared first, then by score; 7 has the bytes of 9
    assert chosen["doubtful"] == [3, 5, 2]  # within a logit; 6 is shown above
    assert chosen["declared generated"] == [0] and chosen["declared camera"] == [8]


def test_a_table_of_faults_alone_has_counts_and_no_scores(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, [verdict_row("a.tar#1", 0, status="missing", last=True)])
    with open_rows(str(table)) as rows:
        assert findings.counts(rows).scored == 0 and findings.scale(rows) is None and findings.histogram(rows) == []
        assert findings.bounds(rows) == Bounds(None, None)
        assert [name for name, some in findings.galleries(rows, Bounds(None, None)) if some] == []


def test_one_image_is_enough(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, [scored(0, 3.0, last=True)])
    with open_rows(str(table)) as rows:
        scale = findings.scale(rows)
        assert scale is not None and scale.chance(3.0) == pytest.approx(chance(3.0), rel=1e-3)
        (only,) = findings.histogram(rows)
        assert only.generated == 1 and math.isfinite(only.low)

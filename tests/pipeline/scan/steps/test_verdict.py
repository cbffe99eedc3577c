"""Verdict: a row for each score, faults without one, and the prevalence that its probability assumes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mole.config import describe
from mole.measuring.calibration import PREVALENCE, Calibration
from pipeline.records import (
    CARRIED,
    MODEL,
    PREVALENCE_KEY,
    SCORED,
    VERDICT,
    check_version,
    with_carried,
)
from pipeline.scan.steps.score import ScoreActor
from pipeline.scan.steps.verdict import conclude


def test_score_and_verdict_leave_faults_without_either(prepared: pa.Table, tiny: Path) -> None:
    scored = ScoreActor([(str(tiny), describe(tiny).digest)], device="cpu", threads=1, batch_size=4)(prepared)
    assert scored.schema.equals(with_carried(SCORED, ("url",)))
    final = conclude(
        scored, {describe(tiny).digest: Calibration(real_below=-9, generated_above=9)}, "print"
    ).drop_columns([MODEL])
    assert final.schema.remove(final.schema.get_field_index(CARRIED)).equals(VERDICT)
    for row in final.to_pylist():
        sound = row["status"] == "ok"
        assert (row["verdict"] == "unsure") == sound == (row["logit"] is not None)
        assert row["gates"] is None or sum(row["gates"]) == pytest.approx(1, abs=1e-5)
        assert row["preprocess"] == "print"


def test_the_prevalence_moves_probabilities_alone_and_is_told_by_the_file_and_by_each_row(
    prepared: pa.Table, tiny: Path
) -> None:
    scored = ScoreActor([(str(tiny), describe(tiny).digest)], device="cpu", threads=1, batch_size=4)(prepared)
    read = Calibration(temperature=1.5, bias=0.2, real_below=-0.3, generated_above=0.3)
    usual, rare = (
        conclude(scored, {describe(tiny).digest: read}, "print", prevalence=prevalence)
        for prevalence in (PREVALENCE, 0.001)
    )
    assert usual["verdict"].to_pylist() == rare["verdict"].to_pylist()
    assert usual["logit"].to_pylist() == rare["logit"].to_pylist()
    for made, prevalence in ((usual, PREVALENCE), (rare, 0.001)):
        assert float(made.schema.metadata[PREVALENCE_KEY]) == prevalence
        check_version(made.schema.metadata, "part")
        for row in made.filter(pa.compute.is_valid(made["logit"])).to_pylist():
            odds = np.log(row["probability"] / (1 - row["probability"]))
            assumed = odds - (row["logit"] + read.bias) / read.temperature
            assert 1 / (1 + np.exp(-assumed)) == pytest.approx(prevalence, rel=1e-3)

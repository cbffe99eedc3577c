"""Verdict: a logit becomes a calibrated probability and a word; what cannot be scored stays without either."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mole.measuring.calibration import PREVALENCE, Calibration
from pipeline.records import MODEL, PREVALENCE_KEY, TIME, VERDICT, like


def conclude(
    scored: pa.Table, calibrations: Mapping[str, Calibration], fingerprint: str, *, prevalence: float = PREVALENCE
) -> pa.Table:
    """Write rows as the table holds them.

    Args:
        scored: a table of `SCORED`.
        calibrations: of each model by its digest, temperature, bias and thresholds.
        fingerprint: of the preprocessing that the views were made with.
        prevalence: share of generated images that the probabilities assume; the verdicts do not depend on it.

    Returns:
        A table of the model, `VERDICT` and the carried columns; each model's rows in their order. Its metadata name the
        prevalence.
    """
    parts = [
        _conclude(scored.filter(pc.field(MODEL) == model), calibrations[model], fingerprint, prevalence)
        for model in calibrations
    ]
    return pa.concat_tables(parts)


def _conclude(scored: pa.Table, calibration: Calibration, fingerprint: str, prevalence: float) -> pa.Table:
    column = scored["logit"].combine_chunks()
    missing = column.is_null().to_numpy(zero_copy_only=False)
    logit = column.fill_null(0).to_numpy(zero_copy_only=False)
    rows = len(logit)
    chance = calibration.probability(logit, prevalence).astype(np.float32)
    made = {
        "unit": scored["unit"].combine_chunks().dictionary_encode(),
        "probability": pa.array(chance, pa.float32(), mask=missing),
        "verdict": pa.array(calibration.verdict(logit).astype(object), pa.string(), mask=missing),
        "preprocess": pa.repeat(pa.scalar(fingerprint, pa.string()), rows),
        "scanned_at": pa.repeat(pa.scalar(datetime.now(UTC), TIME), rows),
    }
    schema = like(VERDICT, scored).insert(0, scored.schema.field(MODEL))
    schema = schema.with_metadata({**(VERDICT.metadata or {}), PREVALENCE_KEY: f"{prevalence:g}".encode()})
    return pa.Table.from_pydict({name: made[name] if name in made else scored[name] for name in schema.names}, schema)

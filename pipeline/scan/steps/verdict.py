"""Verdict: calibrate logits to probabilities and verdicts; rows without a logit get neither."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mole.measuring.calibration import PREVALENCE, Calibration
from pipeline.records import MODEL, PREVALENCE_KEY, TIME, VERDICT, with_optional_columns


def conclude(
    scored: pa.Table, calibrations: Mapping[str, Calibration], fingerprint: str, *, prevalence: float = PREVALENCE
) -> pa.Table:
    """Turn scores into rows of the verdict table.

    Args:
        scored: a table of `SCORED`.
        calibrations: temperature, bias and thresholds of each model, by its digest.
        fingerprint: of the preprocessing that made the views.
        prevalence: share of generated images that the probabilities assume; the verdicts do not depend on it.

    Returns:
        A table of the model, `VERDICT` and the carried columns, model after model; its metadata holds the prevalence.
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
    probability = calibration.probability(logit, prevalence).astype(np.float32)
    columns = {
        "unit": scored["unit"].combine_chunks().dictionary_encode(),
        "probability": pa.array(probability, pa.float32(), mask=missing),
        "verdict": pa.array(calibration.verdict(logit).astype(object), pa.string(), mask=missing),
        "preprocess": pa.repeat(pa.scalar(fingerprint, pa.string()), rows),
        "scanned_at": pa.repeat(pa.scalar(datetime.now(UTC), TIME), rows),
    }
    schema = with_optional_columns(VERDICT, scored).insert(0, scored.schema.field(MODEL))
    schema = schema.with_metadata({**(VERDICT.metadata or {}), PREVALENCE_KEY: f"{prevalence:g}".encode()})
    return pa.Table.from_pydict(
        {name: columns[name] if name in columns else scored[name] for name in schema.names}, schema
    )

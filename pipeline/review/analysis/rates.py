"""Rates: the measured error rates of a model, with their collections and counts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from mole.config import CheckpointConfig
from mole.measuring.calibration import Calibration
from mole.measuring.rates import Rate, clopper_pearson

UNNAMED = "a collection that the model does not name"
RATES, EVALUATION = "rates.json", "evaluation.json"
"""Files next to a checkpoint: externally measured rates, and the evaluation at the end of a training."""
EVERYONE, SHIPPED = "all generators", "shipped"
"""Values in an evaluation: all generators together, and unmodified files."""


class Kind(IntEnum):
    """The kind of images of a measurement; higher values generalize better to other images."""

    THRESHOLD = 1
    HELD_OUT = 2
    SIBLING = 3
    OTHER = 4


KIND_DESCRIPTIONS = {
    Kind.THRESHOLD: "the real images that set the threshold",
    Kind.HELD_OUT: "held-out images of the collections that it was trained on",
    Kind.SIBLING: "entire held-out collections, each scored by a detector trained in the same way without it",
    Kind.OTHER: "a collection that it never saw",
}


@dataclass(frozen=True)
class Measurement:
    """Measured rates of a model at its threshold.

    Attributes:
        collection: the collection of images.
        kind: their relation to the training data.
        alarms: rate of real images called `generated`.
        found: rate of generated images called `generated`; None if not measured.
    """

    collection: str
    kind: Kind
    alarms: Rate
    found: Rate | None

    @property
    def words(self) -> str:
        """The images' relation to the training data, in words."""
        return KIND_DESCRIPTIONS[self.kind]


def collection_of(config: CheckpointConfig) -> str:
    """Return the name of the collection that a checkpoint's threshold was measured on."""
    return config.calibration.collection or UNNAMED


def measurements(config: CheckpointConfig, digest: str, papers: Mapping[str, bytes]) -> list[Measurement]:
    """List the measurements of a model, the most general first.

    Args:
        config: the checkpoint's configuration.
        digest: its digest; rates of another model, or at another threshold, are ignored.
        papers: the contents of the files `RATES` and `EVALUATION`, if present.
    """
    found = [*_beside(papers, digest), *_evaluated(papers, config.calibration)]
    own = _threshold(config)
    if own is not None and not any(one.alarms == own.alarms for one in found):
        found.append(own)
    return sorted(found, key=lambda one: (-one.kind, one.found is None, one.collection))


def strongest(known: Sequence[Measurement]) -> list[Measurement]:
    """Select the measurements with both rates and the most general kind."""
    whole = [one for one in known if one.found is not None]
    best = max((one.kind for one in whole), default=None)
    return [one for one in whole if one.kind == best]


def rate(hits: int, images: int) -> Rate:
    """Make a rate with its exact 95 % interval from counts."""
    return Rate(hits, images, hits / images, *clopper_pearson(hits, images))


def _beside(papers: Mapping[str, bytes], digest: str) -> list[Measurement]:
    content = json.loads(papers.get(RATES, b"{}"))
    if content.get("digest") != digest:
        return []
    return [
        Measurement(
            row["collection"],
            Kind[row.get("kind", "other").upper()],
            _counted(row["reals"]),
            _counted(row["fakes"]) if row.get("fakes") else None,
        )
        for row in content["measured"]
    ]


def _counted(counts: Mapping[str, int]) -> Rate:
    return rate(counts["called_generated"], counts["images"])


def _evaluated(papers: Mapping[str, bytes], calibration: Calibration) -> list[Measurement]:
    """Return the rates of an evaluation at the same threshold on images not used in training."""
    content = json.loads(papers.get(EVALUATION, b"{}"))
    same = content.get("calibration", {}).get("generated_above") == calibration.generated_above
    if not same or content.get("which") != "unseen":
        return []
    rows = [row for row in content["overall"] if (row["generator"], row["delivery"]) == (EVERYONE, SHIPPED)]
    sources = ", ".join(dict.fromkeys([*(row["generator"] for row in content["rows"]), *_sources(content["reals"])]))
    return [Measurement(sources, Kind.HELD_OUT, Rate(**row["alarms"]), Rate(**row["found"])) for row in rows]


def _sources(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(row["source"]) for row in rows]


def _threshold(config: CheckpointConfig) -> Measurement | None:
    """Return the rate stored with the threshold."""
    calibration = config.calibration
    if calibration.false_positive_rate is None or not calibration.reals:
        return None
    alarms = rate(round(calibration.false_positive_rate * calibration.reals), calibration.reals)
    return Measurement(collection_of(config), Kind.THRESHOLD, alarms, None)

"""Rates: how often a model is known to be wrong, measured on which images, each with the counts behind it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from mole.config import CheckpointConfig
from mole.measuring.calibration import Calibration
from mole.measuring.fitting import clopper_pearson
from mole.measuring.metrics import Rate

UNNAMED = "a collection that the model does not name"
RATES, EVALUATION = "rates.json", "evaluation.json"
"""Files beside a checkpoint: rates that somebody measured, and what a training measured at its end."""
EVERYONE, SHIPPED = "all generators", "shipped"
"""In an evaluation: all generators together, and files as they are."""


class Kind(IntEnum):
    """Which images a rate was measured on; the higher, the more it says about images from elsewhere."""

    THRESHOLD = 1
    HELD_OUT = 2
    SIBLING = 3
    OTHER = 4


WORDS = {
    Kind.THRESHOLD: "the real images that set the threshold",
    Kind.HELD_OUT: "images of the collections that it learned from, held out of its training",
    Kind.SIBLING: "collections held out whole, each scored by a detector made alike that never saw it",
    Kind.OTHER: "a collection that it never saw",
}


@dataclass(frozen=True)
class Measurement:
    """Rates of one model at its threshold.

    Attributes:
        collection: what the images are.
        kind: how they stand to those that taught the model.
        alarms: real images called `generated`.
        found: generated images called `generated`; None if that was not measured.
    """

    collection: str
    kind: Kind
    alarms: Rate
    found: Rate | None

    @property
    def words(self) -> str:
        """Say how the images stand to those that taught the model."""
        return WORDS[self.kind]


def collection_of(config: CheckpointConfig) -> str:
    """Name the real images that a checkpoint's threshold was measured on."""
    return config.calibration.collection or UNNAMED


def measurements(config: CheckpointConfig, digest: str, papers: Mapping[str, bytes]) -> list[Measurement]:
    """List what is known of a model's errors, what says most about other images first.

    Args:
        config: the checkpoint's settings.
        digest: its name; rates of another model, or at another threshold, are left out.
        papers: the files `RATES` and `EVALUATION` that lie beside it, where they do.
    """
    found = [*_beside(papers, digest), *_evaluated(papers, config.calibration)]
    own = _threshold(config)
    if own is not None and not any(one.alarms == own.alarms for one in found):
        found.append(own)
    return sorted(found, key=lambda one: (-one.kind, one.found is None, one.collection))


def strongest(known: Sequence[Measurement]) -> list[Measurement]:
    """Choose those with both rates whose images stand farthest from what taught the model."""
    whole = [one for one in known if one.found is not None]
    best = max((one.kind for one in whole), default=None)
    return [one for one in whole if one.kind == best]


def rate(hits: int, images: int) -> Rate:
    """Make a rate of its counts, with the exact 95 % interval."""
    return Rate(hits, images, hits / images, *clopper_pearson(hits, images))


def _beside(papers: Mapping[str, bytes], digest: str) -> list[Measurement]:
    told = json.loads(papers.get(RATES, b"{}"))
    if told.get("digest") != digest:
        return []
    return [
        Measurement(
            row["collection"],
            Kind[row.get("kind", "other").upper()],
            _counted(row["reals"]),
            _counted(row["fakes"]) if row.get("fakes") else None,
        )
        for row in told["measured"]
    ]


def _counted(told: Mapping[str, int]) -> Rate:
    return rate(told["called_generated"], told["images"])


def _evaluated(papers: Mapping[str, bytes], calibration: Calibration) -> list[Measurement]:
    """Take the rates of an evaluation that was made at the same threshold on images that taught nothing."""
    told = json.loads(papers.get(EVALUATION, b"{}"))
    same = told.get("calibration", {}).get("generated_above") == calibration.generated_above
    if not same or told.get("which") != "unseen":
        return []
    rows = [row for row in told["overall"] if (row["generator"], row["delivery"]) == (EVERYONE, SHIPPED)]
    sources = ", ".join(dict.fromkeys([*(row["generator"] for row in told["rows"]), *_sources(told["reals"])]))
    return [Measurement(sources, Kind.HELD_OUT, Rate(**row["alarms"]), Rate(**row["found"])) for row in rows]


def _sources(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(row["source"]) for row in rows]


def _threshold(config: CheckpointConfig) -> Measurement | None:
    """Take the rate that lies with the threshold itself."""
    calibration = config.calibration
    if calibration.false_positive_rate is None or not calibration.reals:
        return None
    alarms = rate(round(calibration.false_positive_rate * calibration.reals), calibration.reals)
    return Measurement(collection_of(config), Kind.THRESHOLD, alarms, None)

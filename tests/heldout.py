"""Held-out logits: tables of them made by hand, with what their detectors are good and bad at known beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipeline.tune.evaluation.held_out_logits import HELD_OUT

DELIVERIES = {"shipped": 0.0, "aligned": 0.5, "native": 0.25, "jpeg-30": 1.5}
"""What each takes from the logits of generated images."""


@dataclass(frozen=True)
class Part:
    """Images of one source whose logits lie around a mean, with a spread of one."""

    fold: int
    label: int
    source: str
    mean: float
    images: int = 60
    collection: str = ""
    content: str = "photo"
    artefact: str = ""


PARTS = (
    Part(0, 0, "phones", -3),
    Part(0, 1, "gan", 3),
    Part(1, 0, "cameras", -3),
    Part(1, 1, "flow", 2),
    Part(1, 1, "poor", -2.5),
    Part(2, 0, "paintings", -2.5, content="art"),
    Part(2, 0, "web", -3),
    Part(2, 1, "style", 2.5, content="art"),
    Part(2, 1, "tiny-a", 2, images=4, collection="tiny"),
    Part(2, 1, "tiny-b", 2, images=7, collection="tiny"),
    Part(2, 0, "few-a", -3, images=3),
    Part(1, 0, "few-b", -3, images=4),
    Part(0, 1, "phones", -2, artefact="reconstruction"),
)


def heldout(
    *parts: Part,
    methods: Mapping[str, float] | None = None,
    deliveries: Mapping[str, float] = DELIVERIES,
    seed: int = 0,
) -> pa.Table:
    """Make a table of `HELD`.

    Args:
        parts: what is held out; `PARTS` where none is named.
        methods: each with what it adds to the logits of generated images; one named `mole` by default.
        deliveries: each with what it takes from them.
        seed: of the draws, which are the same for all methods and deliveries.
    """
    rows = []
    for given in parts or PARTS:
        part = replace(given, collection=given.collection or given.source)
        draw = np.random.default_rng(
            [seed, *part.collection.encode(), *part.source.encode(), part.label, len(part.artefact)]
        )
        logit_N = draw.normal(part.mean, 1, part.images)
        for number, logit in enumerate(logit_N):
            facts = {
                "image": f"{part.collection}/{part.source}/{part.artefact or part.label}/{number}",
                **{
                    name: getattr(part, name)
                    for name in ("fold", "label", "source", "collection", "content", "artefact")
                },
                "group": f"{part.collection}/{number}" if part.label == 0 or part.artefact else "",
            }
            rows += [
                {**facts, "method": method, "delivery": delivery, "logit": logit + part.label * (gain - loss)}
                for method, gain in (methods or {"mole": 0.0}).items()
                for delivery, loss in deliveries.items()
            ]
    return pa.Table.from_pylist(rows, HELD_OUT)
